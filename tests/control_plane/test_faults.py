"""A killed, interrupted or failed `up` is repaired by running it again, without duplicate objects."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable

import pytest
from tier_checks import check_autoscalers, check_pods
from tiers import Tier

from tierup.local.cluster.api import WAIT_TIMEOUT_S
from tierup.local.cluster.folders import LocalClusterError
from tierup.local.cluster.project import PulumiFailed
from tierup.manifests import render

Appeared = tuple[str, str, str | None]  # a namespace is named after the stack


def wait_for(tier: Tier, engine: subprocess.Popen[str], appeared: Appeared) -> None:
    """Wait until an object is in the cluster while `up` still runs."""
    api_version, kind, name = appeared
    arguments = (tier.plan.namespace,) if name is None else (name, tier.plan.namespace)
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while tier.cluster.api.get(api_version, kind, *arguments) is None:
        assert engine.poll() is None, f"`up` ended before {kind}/{arguments[0]} appeared"
        assert time.monotonic() < deadline, f"{kind}/{arguments[0]} did not appear"


def end(engine: subprocess.Popen[str]) -> None:
    """Kill the rest of a killed engine's process group: language host, program and provider."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(engine.pid, signal.SIGKILL)
    engine.communicate()


def check_complete(tier: Tier) -> None:
    """Check that the cluster has exactly the plan's objects and that another `up` changes nothing."""
    planned = {(m["kind"], m["metadata"]["name"]) for m in render(tier.plan)}
    live = set()
    for api_version, kind in {(m["apiVersion"], m["kind"]) for m in render(tier.plan)}:
        for item in tier.cluster.api.list_all(api_version, kind, selector={"tierup/stack": tier.stack}):
            if not item["metadata"].get("ownerReferences"):
                live.add((kind, item["metadata"]["name"]))
    assert live == planned
    check_pods(tier)
    check_autoscalers(tier)
    tier.up("--expect-no-changes")


KILLED_AT = [
    ("v1", "Namespace", None),
    ("v1", "ResourceQuota", "tier"),
    ("apps/v1", "Deployment", "gateway"),
]


@pytest.mark.parametrize(
    "appeared", KILLED_AT, ids=["at the namespace", "before the first pod", "at the deployments"]
)
def test_an_up_whose_engine_is_killed_is_repaired_by_cancel_and_up(
    tier_of: Callable[..., Tier], appeared: Appeared
) -> None:
    tier = tier_of("standard")
    engine = tier.start_up()
    wait_for(tier, engine, appeared)
    engine.kill()
    end(engine)
    with pytest.raises(PulumiFailed, match="locked"):
        tier.up()
    tier.project.pulumi("cancel", "--yes", quiet=True)
    tier.up()
    check_complete(tier)


def test_a_local_run_clears_only_the_lock_of_a_dead_process(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard")
    engine = tier.start_up()
    wait_for(tier, engine, KILLED_AT[1])
    with pytest.raises(LocalClusterError, match=rf"being updated by process {engine.pid}"):
        tier.project.clear_dead_lock(print)
    engine.kill()
    end(engine)
    lines: list[str] = []
    tier.project.clear_dead_lock(lines.append)
    assert len(lines) == 1
    assert str(engine.pid) in lines[0]
    tier.project.clear_dead_lock(lines.append)
    assert len(lines) == 1, "there is no lock left"
    tier.up()
    check_complete(tier)
    # A process that started after the lock only reuses the dead process's pid.
    lock = tier.project.work_folder / "pulumi/.pulumi/locks/organization/tierup" / tier.stack / "old.json"
    held = {"pid": os.getpid(), "hostname": socket.gethostname(), "timestamp": "2026-01-01T00:00:00.1234567Z"}
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text(json.dumps(held))
    tier.project.clear_dead_lock(lines.append)
    assert len(lines) == 2
    assert not lock.exists()


def test_an_interrupted_up_is_repaired_by_running_it_again(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard")
    engine = tier.start_up()
    wait_for(tier, engine, KILLED_AT[1])
    engine.send_signal(signal.SIGINT)
    engine.communicate(timeout=300)
    tier.up()
    check_complete(tier)


def test_up_survives_a_killed_api_server_or_is_repaired_by_running_it_again(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("standard", own_cluster=True)
    engine = tier.start_up()
    wait_for(tier, engine, KILLED_AT[1])
    tier.cluster.kill("kube-apiserver")
    tier.cluster.restart("kube-apiserver")
    try:
        engine.communicate(timeout=30)
    except subprocess.TimeoutExpired:  # the provider may wait for a lost watch up to the rollout's deadline
        engine.kill()
        end(engine)
        tier.project.clear_dead_lock(print)
    tier.up()
    check_complete(tier)


POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-gateway}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE], resources: [deployments]}
  validations:
    - {expression: "object.metadata.name != 'gateway'", message: no gateway today}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-gateway}
spec: {policyName: no-gateway, validationActions: [Deny]}
"""
PROBE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway, namespace: default}
spec:
  selector: {matchLabels: {a: b}}
  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: "a:1"}]}}
"""


def denied(tier: Tier) -> bool:
    """Whether the policy is in force: the API server takes a moment to compile it."""
    try:
        tier.kubectl("create", "--dry-run=server", "-f", "-", stdin=PROBE)
    except subprocess.CalledProcessError as error:
        return "no gateway today" in error.stderr
    return False


def test_a_failed_up_names_the_object_and_is_repaired_by_running_it_again(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("standard", own_cluster=True)
    tier.kubectl("apply", "--server-side", "-f", "-", stdin=POLICY)
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while not denied(tier):
        assert time.monotonic() < deadline, "the admission policy never came into force"
    with pytest.raises(PulumiFailed, match="no gateway today") as failed:
        tier.up()
    assert f"deployment-{tier.plan.namespace}-gateway" in str(failed.value)
    tier.kubectl("delete", "-f", "-", stdin=POLICY)
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while denied(tier):
        assert time.monotonic() < deadline, "the admission policy stayed in force"
    tier.up()
    check_complete(tier)
