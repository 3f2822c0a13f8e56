"""A change of the stack file rolls as computed: no deadlock with every GPU busy, no unannounced gap."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from stack_variants import uncomment_variant
from tier_checks import check_pods
from tiers import Tier

from tierup.cli.tier_page import gpus_of_pod
from tierup.local.project import PulumiFailed

NAMED = ("precision: bf16\n      maxNumSeqs", "precision: bf16\n      name: assistant\n      maxNumSeqs")
WARM = ("mode: cold\n      count: 2", "mode: warm\n      count: 1")


def replace(old: str, new: str) -> Callable[[str], str]:
    """An edit of the stack file."""
    return lambda text: text.replace(old, new, 1)


@dataclass
class Seen:
    """What a rollout looked like from outside, moment by moment."""

    available: list[int] = field(default_factory=list)
    revisions: list[set[str]] = field(default_factory=list)  # of the model's pods that hold GPUs

    @property
    def rolled(self) -> bool:
        """The old and the new revision were both seen: there was something to watch."""
        return len(set().union(*self.revisions)) == 2

    @property
    def together(self) -> bool:
        """Both revisions held GPUs at the same moment."""
        return any(len(moment) > 1 for moment in self.revisions)


def watch_up(tier: Tier, name: str) -> Seen:
    """Bring the tier up as its file is now, and look at one Deployment and its pods all the while.

    Fails at any moment in which a node's pods hold more GPUs than it has.
    """
    namespace, api, seen = tier.plan.namespace, tier.cluster.api, Seen()
    engine = tier.start_up()
    told, deadline = None, time.monotonic() + 180
    try:
        while told is None:
            assert time.monotonic() < deadline, "the rollout makes no progress"
            deployment = api.get("apps/v1", "Deployment", name, namespace) or {}
            seen.available.append(deployment.get("status", {}).get("availableReplicas", 0))
            pods = api.list_all("v1", "Pod", namespace=namespace)
            check_gpus(pods, tier)
            seen.revisions.append(
                {
                    pod["metadata"]["labels"]["pod-template-hash"]
                    for pod in pods
                    if gpus_of_pod(pod) and pod["status"].get("phase") == "Running"
                }
            )
            with suppress(subprocess.TimeoutExpired):
                told, _ = engine.communicate(timeout=0.02)
    finally:
        if engine.poll() is None:
            os.killpg(engine.pid, signal.SIGKILL)
            engine.communicate()
    assert engine.returncode == 0, told
    return seen


def check_gpus(pods: list[dict[str, Any]], tier: Tier) -> None:
    """No server holds more GPUs than it has."""
    per_server = tier.plan.nodes.gpus_per_server
    for name in tier.plan.nodes.schedulable:
        live = [
            p for p in pods if p["spec"].get("nodeName") == name and p["status"].get("phase") == "Running"
        ]
        assert sum(map(gpus_of_pod, live)) <= per_server


def precision_of(tier: Tier) -> str:
    """The Deployment's quantization argument, empty without one."""
    (deployment,) = [
        d for d in tier.objects("apps/v1", "Deployment") if d["metadata"]["name"].startswith("model-")
    ]
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    return arguments[arguments.index("--quantization") + 1] if "--quantization" in arguments else ""


def test_a_change_of_precision_with_every_gpu_busy_keeps_half_of_two_replicas(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("standard")
    tier.up()
    check_pods(tier)
    before = {item["metadata"]["name"] for item in tier.objects("batch/v1", "Job")}
    tier.edit(replace("precision: bf16", "precision: awq"))
    model = tier.plan.models[0]
    assert model.replicas * model.gpus == tier.plan.nodes.gpus_schedulable, "this test wants every GPU busy"
    seen = watch_up(tier, "model-qwen2-5-7b")
    assert seen.rolled
    assert min(seen.available) >= model.replicas - model.rollout.unavailable(model.replicas) == 1
    assert precision_of(tier) == "awq_marlin"
    check_pods(tier)
    after = {item["metadata"]["name"] for item in tier.objects("batch/v1", "Job")}
    assert before
    assert after
    assert not before & after, "the old fetch is gone, the new one is there"


def test_an_exchange_of_models_that_would_never_end_is_refused(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard")
    tier.up()
    check_pods(tier)
    tier.edit(replace("id: qwen2.5-7b", "id: qwen3-8b"))
    with pytest.raises(PulumiFailed, match="TIER086 models: model-qwen2-5-7b would hold 2 of 2 GPUs until"):
        tier.up()
    tier.edit(replace("id: qwen3-8b", "id: qwen3-8b\n      name: qwen2.5-7b"))
    seen = watch_up(tier, "model-qwen2-5-7b")
    assert seen.rolled
    assert min(seen.available) >= 1
    check_pods(tier)


def test_a_change_of_precision_with_a_warm_spare_never_loses_a_replica(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard", replace(*NAMED))
    tier.edit(replace(*WARM))
    tier.up()
    check_pods(tier)
    tier.edit(replace("precision: bf16", "precision: awq"))
    seen = watch_up(tier, "model-assistant")
    assert seen.together, "the new pod starts on the spare beside the old ones"
    assert min(seen.available) >= tier.plan.models[0].replicas == 2


def test_one_replica_on_every_gpu_is_recreated_as_the_plan_warned(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard", lambda text: uncomment_variant(text, "fp16-tp2"))
    tier.edit(replace("precision: fp16", "precision: fp16\n      name: assistant"))
    assert "TIER053" in {str(finding.code) for finding in tier.plan.findings}
    tier.up()
    tier.edit(replace("precision: fp16", "precision: bf16"))
    seen = watch_up(tier, "model-assistant")
    assert seen.rolled
    assert not seen.together, "the old pod leaves before the new one comes"
    check_pods(tier)


def test_scaling_to_two_servers_and_back_touches_nothing_else_of_the_node(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("standard")
    tier.up()
    spare = tier.plan.nodes.standby[0]
    before = tier.cluster.api.get("v1", "Node", spare)
    assert before is not None
    assert before["metadata"]["labels"]["tierup/role"] == "standby-cold"
    tier.edit(replace("count: 1\n    standby:", "count: 2\n    standby:"))
    tier.edit(replace("mode: cold\n      count: 2", "mode: cold\n      count: 1"))
    tier.up()
    check_pods(tier)
    assert tier.plan.gpus_used == 4
    promoted = tier.cluster.api.get("v1", "Node", spare)
    assert promoted is not None
    assert promoted["metadata"]["labels"] == {**before["metadata"]["labels"], "tierup/role": "serving"}
    assert promoted["spec"] == before["spec"]
    tier.edit(replace("count: 2\n    standby:", "count: 1\n    standby:"))
    tier.edit(replace("mode: cold\n      count: 1", "mode: none\n      count: 0"))
    tier.up()
    left = tier.cluster.api.get("v1", "Node", spare)
    assert left is not None
    ours = {"tierup/role", "tierup/stack"}
    assert left["metadata"]["labels"] == {
        k: v for k, v in before["metadata"]["labels"].items() if k not in ours
    }
    assert left["spec"] == before["spec"]
    (scaler,) = tier.objects("autoscaling/v2", "HorizontalPodAutoscaler")
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 2)


def test_a_node_that_joins_an_entry_tier_fetches_its_own_model_files(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("entry")
    tier.up()
    tier.edit(replace("count: 1\n  tierup:models:", "count: 2\n  tierup:models:"))
    tier.edit(replace("precision: bf16\n", "precision: bf16\n      cache: {kind: node}\n"))
    tier.edit(replace("capexUsd: 20000", "capexUsd: 40000"))
    tier.up()
    check_pods(tier)
    fetching = {
        p["spec"]["nodeName"]
        for p in tier.objects("v1", "Pod")
        if p["metadata"]["name"].startswith("fetch-models-")
    }
    assert fetching == {"entry-gpu-1", "entry-gpu-2"}


def test_a_longer_queue_replaces_the_gateways_configuration_and_nothing_else(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("standard")
    tier.up()
    tier.edit(lambda text: text + "# a comment changes nothing\n")
    tier.up("--expect-no-changes")
    tier.edit(replace("queueLength: 64", "queueLength: 32"))
    told = tier.up()
    changed = {
        word
        for line in told.splitlines()
        for word in line.split()
        if word.startswith(("configmap-", "deployment-"))
    }
    assert {name.split("-", 3)[3].rsplit("-", 1)[0] for name in changed if name.startswith("configmap-")} == {
        "gateway"
    }
    assert {name for name in changed if name.startswith("deployment-")} == {
        "deployment-tierup-standard-gateway"
    }
    configs = [
        c["metadata"]["name"]
        for c in tier.objects("v1", "ConfigMap")
        if c["metadata"]["name"].startswith("gateway-")
    ]
    assert len(configs) == 1, "the old configuration is removed after the rollout"
