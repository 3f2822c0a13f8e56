"""The plan's nodes: ready, schedulable, tainted only as our pods tolerate, with a kubelet near the API server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fake_api import NODES, VERSION, FakeApi, gpu_node

from tierup.io.cluster.client import Cluster
from tierup.io.cluster.doctor.model import Check, Status
from tierup.io.cluster.doctor.nodes import nodes, runtime
from tierup.io.cluster.owner import Owner
from tierup.manifests import render
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

MakePlan = Callable[..., Plan]
CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
OURS = Owner("test", frozenset(), established=True)
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


def node(ready: str = "True", name: str = "test-gpu-1", kubelet: str = "v1.35.4", **spec: Any) -> Manifest:
    made = gpu_node(name)
    made["spec"] = spec
    made["status"]["conditions"] = [{"type": "Ready", "status": ready, "message": "kubelet stopped"}]
    made["status"]["nodeInfo"] = {"kubeletVersion": kubelet}
    return made


def found(api: FakeApi, cluster: Cluster, plan: Plan, *listed: Manifest) -> list[Check]:
    api.has(NODES, *listed)
    api.holds(VERSION, {"gitVersion": "v1.35.4"})
    return nodes(cluster, plan, OURS, render(plan))


def test_a_node_with_the_usual_gpu_taint_is_ready(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    (check,) = found(api, cluster, make_plan(), node(taints=[GPU_TAINT]))
    assert check.status is Status.OK
    assert check.found == "test-gpu-1: ready, 2 GPUs of NVIDIA-GeForce-RTX-4090"


@dataclass(frozen=True)
class Unfit:
    """A node that cannot run pods, or not well, and what the doctor says."""

    node: Manifest
    text: str
    fix: str
    status: Status = Status.PROBLEM


@pytest.mark.parametrize(
    "case",
    [
        Unfit(node("False"), "is not ready: kubelet stopped", "kubectl describe node test-gpu-1"),
        Unfit(node("Unknown"), "is not ready", "kubectl describe node"),
        Unfit(node(unschedulable=True), "is cordoned", "kubectl uncordon test-gpu-1"),
        Unfit(
            node(kubelet="v1.31.9"), "has kubelet v1.31.9, the API server is v1.35.4", "upg", Status.WARNING
        ),
        Unfit(node(kubelet="v1.36.0"), "has kubelet v1.36.0", "never newer", Status.WARNING),
    ],
    ids=["not ready", "unknown", "cordoned", "old kubelet", "new kubelet"],
)
def test_a_node_that_cannot_run_pods_is_named_with_the_command_to_use(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, case: Unfit
) -> None:
    (check,) = found(api, cluster, make_plan(), case.node)
    assert check.status is case.status
    assert case.text in check.found
    assert case.fix in str(check.fix)


@pytest.mark.parametrize("kubelet", ["v1.35.0", "v1.32.11", "kwok-v0.8.0"])
def test_a_kubelet_within_the_supported_skew_passes(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, kubelet: str
) -> None:
    (check,) = found(api, cluster, make_plan(), node(kubelet=kubelet))
    assert check.status is Status.OK


@pytest.mark.parametrize(
    ("taint", "refused"),
    [
        ({"key": "team", "value": "research", "effect": "NoSchedule"}, "team=research:NoSchedule"),
        ({"key": "maintenance", "effect": "NoExecute"}, "maintenance:NoExecute"),
        ({"key": "nvidia.com/gpu", "effect": "NoExecute"}, "nvidia.com/gpu:NoExecute"),
        ({"key": "team", "value": "research", "effect": "PreferNoSchedule"}, None),
        ({"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}, None),
        # What the node's condition says already.
        ({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}, None),
    ],
)
def test_a_taint_that_pods_do_not_tolerate_is_a_problem(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, taint: dict[str, str], refused: str | None
) -> None:
    (check,) = found(api, cluster, make_plan(), node(taints=[taint]))
    if refused is None:
        assert check.status is Status.OK
    else:
        assert f"has the taint {refused}, which the stack's pods do not tolerate" in check.found
        assert str(check.fix).endswith(f"kubectl taint node test-gpu-1 {refused}-")


def test_a_cold_spare_may_be_off_and_a_warm_one_may_not(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    for mode, statuses in (("cold", [Status.OK]), ("warm", [Status.PROBLEM])):
        plan = make_plan(nodes={"server": "entry-2x-rtx-4090", "standby": {"mode": mode, "count": 1}})
        checks = found(api, cluster, plan, node(), node("False", "test-gpu-2"))
        assert [check.status for check in checks] == statuses, mode


def test_what_the_preview_refuses_is_a_problem_with_its_code(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    (check,) = found(api, cluster, make_plan())
    assert (check.status, check.code) == (Status.PROBLEM, "TIER082")


def test_a_runtime_of_nvidia_that_may_not_be_the_default_is_mentioned(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan()
    api.has(CLASSES, {"metadata": {"name": "gvisor"}, "handler": "runsc"})
    assert runtime(cluster, plan) == []
    api.has(CLASSES, {"metadata": {"name": "nvidia"}, "handler": "nvidia"})
    (check,) = runtime(cluster, plan)
    assert check.status is Status.NOT_CHECKED
    assert "RuntimeClass nvidia exists" in check.found


def test_the_runtime_that_the_stack_names_must_exist(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan(cluster={"runtimeClassName": "nvidia"})
    api.has(CLASSES, {"metadata": {"name": "gvisor"}, "handler": "runsc"})
    (check,) = runtime(cluster, plan)
    assert (check.status, check.code) == (Status.PROBLEM, "TIER132")
    assert "allowed gvisor" in check.found
    api.has(CLASSES, {"metadata": {"name": "nvidia"}, "handler": "nvidia"})
    assert [check.status for check in runtime(cluster, plan)] == [Status.OK]


def test_the_priority_class_that_the_stack_names_must_exist(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan(cluster={"priorityClassName": "urgent"})
    api.has(CLASSES)
    api.has("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": "batch"}})
    (check,) = runtime(cluster, plan)
    assert (check.status, check.code) == (Status.PROBLEM, "TIER132")
    assert "cluster.priorityClassName: the cluster has no such PriorityClass" in check.found
    api.has("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": "urgent"}})
    (check,) = runtime(cluster, plan)
    assert (check.status, check.found) == (Status.OK, "there: PriorityClass urgent")
