"""Exactly one autoscaler per workload, and a warning if it has no metrics."""

from collections.abc import Callable

import pytest
from fake_api import CLASSES, GROUPS, NODES, FakeApi, storage_class, with_namespace

from tierup.findings.model import Code, Finding, Severity
from tierup.io.cluster.checks import check
from tierup.io.cluster.client import Cluster, ClusterError
from tierup.io.cluster.owner import Owner
from tierup.io.cluster.scalers import api_groups, metrics_findings, scaler_findings
from tierup.manifests import render
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan
from tierup.resources.identity import STACK_LABEL

MakePlan = Callable[..., Plan]
HPAS = "/apis/autoscaling/v2/namespaces/tierup-test/horizontalpodautoscalers"
SCALED = "/apis/keda.sh/v1alpha1/namespaces/tierup-test/scaledobjects"
OURS = Owner("test", frozenset(), established=True)
MODEL = "model-qwen2-5-7b"


def scaler(name: str, target: str, kind: str | None = "Deployment", **metadata: object) -> Manifest:
    reference = {"name": target} if kind is None else {"name": target, "kind": kind}
    spec = {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 3}
    return {"metadata": {"name": name, **metadata}, "spec": spec}


def findings_of(cluster: Cluster, plan: Plan, groups: set[str] | None = None) -> list[Finding]:
    return scaler_findings(cluster, plan, OURS, render(plan), groups if groups is not None else set())


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("target", [MODEL, "gateway", "prometheus"])
def test_an_autoscaler_of_others_for_one_of_ours_is_refused(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, target: str, enabled: bool
) -> None:
    """With autoscaling off as with it on: then `up` writes the replicas itself."""
    api.has(HPAS, scaler("theirs", target))
    (found,) = findings_of(cluster, make_plan(autoscaling={"enabled": enabled}))
    assert (found.code, found.path) == (Code.SECOND_SCALER, "horizontalpodautoscaler/theirs")
    assert found.got == f"deployment/{target}"
    assert found.fix.startswith("delete it; autoscaling.enabled: false does not help")


@pytest.mark.parametrize(
    "harmless",
    [
        scaler("a", "their-own-deployment"),
        scaler("a", MODEL, "StatefulSet"),
        scaler("a", MODEL, labels={STACK_LABEL: "test"}, uid="u"),  # ours, under an older name
        scaler(MODEL, MODEL),  # refused as a foreign object already, under this name
        scaler("keda-hpa-x", MODEL, ownerReferences=[{"kind": "ScaledObject", "name": "x"}]),
    ],
    ids=["other-target", "other-kind", "ours", "our-name", "of-keda"],
)
def test_autoscalers_of_other_workloads_are_left_alone(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, harmless: Manifest
) -> None:
    api.has(HPAS, harmless)
    assert findings_of(cluster, make_plan()) == []


@pytest.mark.parametrize(("replicas", "refused"), [(1, True), (2, False), (3, False), (4, True)])
def test_an_autoscaler_of_ours_that_leaves_undoes_no_change_of_replicas(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, replicas: int, refused: bool
) -> None:
    """The engine removes it last, and within seconds the controller sets a number that it allows."""
    api.has(HPAS, scaler(MODEL, MODEL, labels={STACK_LABEL: "test"}, uid="u"))
    model = {"id": "qwen2.5-7b", "replicas": replicas}
    nodes = {"server": "standard-2x-a100-80g-pcie", "count": 2}
    found = findings_of(cluster, make_plan(autoscaling={"enabled": False}, models=[model], nodes=nodes))
    assert [(item.code, item.got) for item in found] == [
        (Code.SECOND_SCALER, f"{replicas} replicas"),
    ] * refused


def test_an_autoscaler_that_only_looks_like_ours_is_refused(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    """The label of another deployment of a stack of this name, which this state does not know."""
    api.has(HPAS, scaler("a", MODEL, labels={STACK_LABEL: "test"}, uid="theirs"))
    plan = make_plan()
    stranger = Owner("test", frozenset({"ours"}), established=False)
    (found,) = scaler_findings(cluster, plan, stranger, render(plan), set())
    assert found.code is Code.SECOND_SCALER


@pytest.mark.parametrize("kind", ["Deployment", None])
def test_a_scaled_object_for_one_of_ours_is_refused_once(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, kind: str | None
) -> None:
    """KEDA's default target is a Deployment; its own autoscaler for it is not reported twice."""
    api.has(HPAS, scaler("keda-hpa-x", MODEL, ownerReferences=[{"kind": "ScaledObject", "name": "x"}]))
    api.has(SCALED, scaler("x", MODEL, kind), scaler("y", "their-own-deployment", kind))
    (found,) = findings_of(cluster, make_plan(), {"keda.sh"})
    assert (found.code, found.path) == (Code.SECOND_SCALER, "scaledobject/x")
    assert found.got == f"deployment/{MODEL}"


def test_without_keda_its_api_is_not_requested(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    api.has(HPAS)
    assert findings_of(cluster, make_plan()) == []
    assert api.requested == [HPAS]


def test_a_half_installed_keda_is_no_error(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    """Its API group exists, but this kind does not."""
    api.has(HPAS)
    api.missing.add(SCALED)
    assert findings_of(cluster, make_plan(), {"keda.sh"}) == []


def test_missing_permission_for_keda_is_reported(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    api.has(HPAS)
    api.responses[SCALED] = (403, b"{}")
    with pytest.raises(ClusterError, match=f"answers 403 to {SCALED}"):
        findings_of(cluster, make_plan(), {"keda.sh"})


def test_the_complete_check_covers_second_scalers_in_an_existing_namespace(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan(autoscaling={"enabled": False})
    with_namespace(api, "test")
    api.holds(GROUPS, {"groups": [{"name": "apps"}, {"name": "keda.sh"}]})
    api.has(NODES)
    api.has(CLASSES, storage_class("disks", "ebs.csi.aws.com", default=True))
    api.has(HPAS, scaler("theirs", MODEL))
    api.has(SCALED, scaler("x", "gateway"))
    found = check(cluster, plan, render(plan), frozenset({"ns"}))
    assert [item.path for item in found if item.code is Code.SECOND_SCALER] == [
        "horizontalpodautoscaler/theirs",
        "scaledobject/x",
    ]


def test_api_groups_are_read_by_name(api: FakeApi, cluster: Cluster) -> None:
    api.holds(GROUPS, {"groups": [{"name": "apps"}, {"name": "custom.metrics.k8s.io"}]})
    assert api_groups(cluster) == {"apps", "custom.metrics.k8s.io"}


def growing(make_plan: MakePlan, **autoscaling: object) -> Plan:
    """A tier with a warm spare to grow into."""
    servers = {"server": "entry-2x-rtx-4090", "count": 1, "standby": {"mode": "warm", "count": 1}}
    return make_plan(nodes=servers, autoscaling=autoscaling)


def test_an_autoscaler_without_metrics_is_only_a_warning(make_plan: MakePlan) -> None:
    (found,) = metrics_findings(growing(make_plan), {"apps", "external.metrics.k8s.io", "metrics.k8s.io"})
    assert (found.code, found.severity) == (Code.NO_CUSTOM_METRICS, Severity.WARNING)
    assert "no adapter serves custom.metrics.k8s.io" in found.problem
    assert "install a metrics adapter" in found.fix


def test_missing_metrics_are_reported_only_if_they_are_needed(make_plan: MakePlan) -> None:
    assert metrics_findings(growing(make_plan), {"custom.metrics.k8s.io"}) == []
    assert metrics_findings(growing(make_plan, enabled=False), set()) == []
    fixed = make_plan()  # two cards, two replicas: no metric could change anything
    assert all(model.max_replicas == model.replicas for model in fixed.models)
    assert metrics_findings(fixed, set()) == []
