"""A change of the stack file rolls out as planned: no deadlock with all GPUs in use, no unannounced gap."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from stack_variants import uncomment_variant
from tier_checks import check_pods
from tiers import Tier

from tierup.cli.tier_page import gpus_of_pod
from tierup.local.cluster.api import WAIT_TIMEOUT_S
from tierup.local.cluster.project import PulumiFailed

MOST_SECONDS = 900  # a rollout that takes longer is stuck
NAMED = ("precision: bf16\n", "precision: bf16\n      name: assistant\n")
WARM = ("mode: cold\n      count: 2", "mode: warm\n      count: 1")


def replace(old: str, new: str) -> Callable[[str], str]:
    """An edit of the stack file."""
    return lambda text: text.replace(old, new, 1)


@dataclass
class Observed:
    """The observed states of a rollout."""

    available: list[int] = field(default_factory=list)
    revisions: list[set[str]] = field(default_factory=list)  # of the model's pods that hold GPUs

    @property
    def rolled(self) -> bool:
        """Whether both the old and the new revision were observed."""
        return len(set().union(*self.revisions)) == 2

    @property
    def together(self) -> bool:
        """Whether both revisions used GPUs at the same moment."""
        return any(len(moment) > 1 for moment in self.revisions)


def watch_up(tier: Tier, name: str) -> Observed:
    """Bring the tier up as its file is now, then go through all that happened to one Deployment and to the pods.

    The API server keeps what happened, so no moment is missed however slowly the test itself runs. Fails at any
    moment in which a node's pods hold more GPUs than it has.
    """
    namespace = tier.plan.namespace
    paths = (f"/apis/apps/v1/namespaces/{namespace}/deployments", f"/api/v1/namespaces/{namespace}/pods")
    before = [ask(tier, path) for path in paths]
    engine = tier.start_up()
    try:
        output, _ = engine.communicate(timeout=MOST_SECONDS)
    finally:
        if engine.poll() is None:
            os.killpg(engine.pid, signal.SIGKILL)
            engine.communicate()
    assert engine.returncode == 0, output
    events = [
        event for path, listed in zip(paths, before, strict=True) for event in since(tier, path, listed)
    ]
    pods = {pod["metadata"]["uid"]: pod for pod in before[1]["items"]}
    observed = Observed([available(item) for item in before[0]["items"] if item["metadata"]["name"] == name])
    for event in sorted(events, key=version_of):
        item = event["object"]
        if item["kind"] == "Deployment":
            observed.available.extend([available(item)] if item["metadata"]["name"] == name else [])
        elif event["type"] == "DELETED":
            del pods[item["metadata"]["uid"]]
        else:
            pods[item["metadata"]["uid"]] = item
        check_gpus(list(pods.values()), tier)
        observed.revisions.append(revisions(pods.values()))
    return observed


def ask(tier: Tier, path: str) -> dict[str, Any]:
    response: dict[str, Any] = json.loads(tier.kubectl("get", "--raw", path))
    return response


def since(tier: Tier, path: str, listed: dict[str, Any]) -> list[dict[str, Any]]:
    """All events of a collection after a list of it, up to how it is now."""
    version, deadline = listed["metadata"]["resourceVersion"], time.monotonic() + WAIT_TIMEOUT_S
    while True:
        query = f"watch=1&resourceVersion={version}&timeoutSeconds=2"
        events = [json.loads(line) for line in tier.kubectl("get", "--raw", f"{path}?{query}").splitlines()]
        assert [event for event in events if event["type"] == "ERROR"] == []
        live = {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in listed["items"]}
        for event in events:
            metadata = event["object"]["metadata"]
            live[metadata["uid"]] = metadata["resourceVersion"]
            if event["type"] == "DELETED":
                del live[metadata["uid"]]
        now = ask(tier, path)["items"]
        if live == {item["metadata"]["uid"]: item["metadata"]["resourceVersion"] for item in now}:
            return events
        assert time.monotonic() < deadline, "the events never reached the current state"


def version_of(event: dict[str, Any]) -> int:
    return int(event["object"]["metadata"]["resourceVersion"])


def available(deployment: dict[str, Any]) -> int:
    count: int = deployment.get("status", {}).get("availableReplicas", 0)
    return count


def revisions(pods: Iterable[dict[str, Any]]) -> set[str]:
    """The revisions of the running pods that hold GPUs."""
    return {
        pod["metadata"]["labels"]["pod-template-hash"]
        for pod in pods
        if gpus_of_pod(pod) and pod["status"].get("phase") == "Running"
    }


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
    assert model.replicas * model.gpus == tier.plan.nodes.gpus_schedulable, "this test needs every GPU busy"
    observed = watch_up(tier, "model-qwen2-5-7b")
    assert observed.rolled
    assert min(observed.available) >= model.replicas - model.rollout.unavailable(model.replicas) == 1
    assert precision_of(tier) == "awq_marlin"
    check_pods(tier)
    after = {item["metadata"]["name"] for item in tier.objects("batch/v1", "Job")}
    assert before
    assert after
    assert not before & after, "the old download job is removed, the new one exists"


def test_an_exchange_of_models_that_would_never_end_is_refused(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard")
    tier.up()
    check_pods(tier)
    tier.edit(replace("id: qwen2.5-7b", "id: qwen3-8b"))
    with pytest.raises(PulumiFailed, match="TIER086 models: model-qwen2-5-7b would hold 2 of 2 GPUs until"):
        tier.up()
    tier.edit(replace("id: qwen3-8b", "id: qwen3-8b\n      name: qwen2.5-7b"))
    observed = watch_up(tier, "model-qwen2-5-7b")
    assert observed.rolled
    assert min(observed.available) >= 1
    check_pods(tier)


def test_a_change_of_precision_with_a_warm_spare_never_loses_a_replica(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard", replace(*NAMED))
    tier.edit(replace(*WARM))
    tier.up()
    check_pods(tier)
    tier.edit(replace("precision: bf16", "precision: awq"))
    observed = watch_up(tier, "model-assistant")
    assert observed.together, "the new pod starts on the spare beside the old ones"
    assert min(observed.available) >= tier.plan.models[0].replicas == 2


def test_one_replica_on_every_gpu_is_recreated_as_the_plan_warned(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard", lambda text: uncomment_variant(text, "fp16-tp2"))
    tier.edit(replace("precision: fp16", "precision: fp16\n      name: assistant"))
    assert "TIER053" in {str(finding.code) for finding in tier.plan.findings}
    tier.up()
    tier.edit(replace("precision: fp16", "precision: bf16"))
    observed = watch_up(tier, "model-assistant")
    assert observed.rolled
    assert not observed.together, "the old pod ends before the new one starts"
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
    assert fetching == {f"{tier.stack}-gpu-1", f"{tier.stack}-gpu-2"}


def test_a_shorter_queue_replaces_the_gateways_configuration_the_boards_and_nothing_else(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("standard")
    tier.up()
    tier.edit(lambda text: text + "# a comment changes nothing\n")
    tier.up("--expect-no-changes")
    tier.edit(replace("queueLength: 64", "queueLength: 32"))
    output = tier.up()
    changed = {
        word
        for line in output.splitlines()
        for word in line.split()
        if word.startswith(("configmap-", "deployment-"))
    }
    namespace = tier.plan.namespace
    assert {name.rsplit("-", 1)[0] for name in changed if name.startswith("configmap-")} == {
        f"configmap-{namespace}-gateway",
        f"configmap-{namespace}-grafana-dashboards",  # they draw the most requests that keep every promise
    }
    assert {name for name in changed if name.startswith("deployment-")} == {
        f"deployment-{namespace}-gateway",
        f"deployment-{namespace}-grafana",
    }
    configs = [
        c["metadata"]["name"]
        for c in tier.objects("v1", "ConfigMap")
        if c["metadata"]["name"].startswith("gateway-")
    ]
    assert len(configs) == 1, "the old configuration is removed after the rollout"
