"""Bills of Pulumi's resources: the same as the stack file's, and nothing unknown is priced at zero."""

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import pytest
from golden_plans import GOLDEN
from tier_plans import every_variant, plan_of
from tier_run import run_tier

from tierup.cost import bill_of, bill_of_resources
from tierup.cost.types import Bill, Volume
from tierup.io.pulumi.plan import read_plan
from tierup.plan.model import Plan
from tierup.resources.model import SECRET, UNKNOWN, Resource
from tierup.stack.sections import StandbyMode

MakePlan = Callable[..., Plan]
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
NOTHING = Bill(None, 0, 0, StandbyMode.NONE)


def item(type_: str, name: str = "x", parent: str | None = None, **inputs: Any) -> Resource:
    return Resource(f"urn:pulumi:s::p::{type_}::{name}", type_, name, parent, inputs)


def group(type_: str, named: str = "x", /, **inputs: Any) -> Resource:
    return Resource(f"urn:pulumi:s::p::{type_}::{named}", type_, named, None, inputs, custom=False)


def registered(plan: Plan) -> list[Resource]:
    """The resources that the program registers with the engine."""
    return [
        Resource(item.urn, item.type, item.name, item.parent, item.inputs, item.custom)
        for item in run_tier(plan).resources.values()
    ]


def claim(size: object, name: str = "data", **spec: Any) -> Resource:
    spec = {"resources": {"requests": {"storage": size}}, **spec}
    return item(CLAIM, name, metadata={"name": name}, spec=spec)


def pods(gpus: object, **spec: Any) -> dict[str, Any]:
    containers = [{"resources": {"limits": {"nvidia.com/gpu": gpus}}}, {"image": "sidecar"}]
    return {"template": {"spec": {"containers": containers}}, **spec}


@every_variant
def test_what_the_program_registers_costs_what_the_stack_file_does(plan: Plan) -> None:
    assert bill_of_resources(registered(plan)) == bill_of(plan)


@pytest.mark.parametrize(
    "sections",
    [
        {"gateway": {"serviceType": "LoadBalancer", "sourceRanges": ["10.0.0.0/8"]}},
        {"autoscaling": {"enabled": False}},
        {"nodes": {"server": "entry-2x-rtx-4090", "count": 2, "standby": {"mode": "warm", "count": 1}}},
        {
            "cost": {
                "quotes": {"electricity": {"value": "0.11", "source": "contract 17", "asOf": "2026-11-02"}}
            }
        },
    ],
    ids=["load balancer", "no autoscaler", "warm spare", "quote"],
)
def test_plans_beyond_the_committed_tiers_cost_the_same_too(
    make_plan: MakePlan, sections: dict[str, Any]
) -> None:
    plan = make_plan(**sections)
    assert bill_of_resources(registered(plan)) == bill_of(plan)


@pytest.mark.parametrize(
    ("name", "side"), [("create", "now"), ("no_op", "past"), ("no_op", "now"), ("state", "now")]
)
def test_a_plan_of_the_real_engine_costs_what_its_stack_file_does(name: str, side: str) -> None:
    sides = [getattr(change, side) for change in read_plan(str(GOLDEN / f"{name}.json"))]
    assert bill_of_resources(filter(None, sides)) == bill_of(plan_of("entry"))


def test_each_side_of_a_plan_has_its_own_quotes() -> None:
    changes = read_plan(str(GOLDEN / "tier.json"))
    past = bill_of_resources(change.past for change in changes if change.past is not None)
    now = bill_of_resources(change.now for change in changes if change.now is not None)
    assert past.quotes == {}
    assert str(now.quotes["electricity"].value) == "0.25"
    assert now.quotes["electricity"].source == "our contract"


def test_a_foreign_program_is_priced_as_far_as_possible_and_the_rest_is_named() -> None:
    changes = read_plan(str(GOLDEN / "foreign.json"))
    assert bill_of_resources(change.now for change in changes if change.now is not None) == Bill(
        server=None,
        in_service=0,
        standby=0,
        standby_mode=StandbyMode.NONE,
        volumes=(Volume("data-200gi", 200, "slow"), Volume("log-queue", 2, None, count=3)),
        load_balancers=1,
        models={"own-model": 4},
        unknown=(
            "kubernetes:acme.example.com/v1:Database orders",
            f"{CLAIM} cache",  # its storage class is known only after `up`
            "kubernetes:networking.k8s.io/v1:Ingress shop",
        ),
    )


@pytest.mark.parametrize(
    "resource",
    [
        item("aws:rds/instance:Instance"),
        item("kubernetes:helm.sh/v3:Release"),
        item("kubernetes:core/v1:PersistentVolume", spec={"csi": {"driver": "d"}}),
        item("kubernetes:core/v1:PersistentVolumeClaimPatch"),
        item("kubernetes:core/v1:ServicePatch"),
        item("kubernetes:core/v1:Service", spec={"type": UNKNOWN}),
        item("kubernetes:core/v1:Service", spec=SECRET),
        item("kubernetes:apps/v1:Deployment", spec=pods("1", replicas=UNKNOWN)),
        item("kubernetes:apps/v1:Deployment", spec=pods(SECRET)),
        item("kubernetes:apps/v1:StatefulSet", spec={"volumeClaimTemplates": UNKNOWN}),
        item("acme.example.com/v1:Deployment"),
        claim(UNKNOWN),
        claim(None),
        claim("1Gi", storageClassName=SECRET),
        claim("-1Gi"),
        claim("NaN"),
        claim("1e999999999"),
        claim("ten gigabytes"),
        group("tierup:nodes:GpuNodes", server=UNKNOWN, inService=[], standby=[], standbyMode="cold"),
        group("tierup:nodes:GpuNodes", server="s", inService=UNKNOWN, standby=[], standbyMode="cold"),
        group("tierup:nodes:GpuNodes", server="s", inService=[], standby=[], standbyMode="tepid"),
        group("tierup:index:InferenceTier", quotes={"electricity": {"value": "free"}}),
    ],
    ids=lambda resource: f"{resource.type} {resource.inputs}",
)
def test_unpriced_resources_are_named_and_never_zero(resource: Resource) -> None:
    named = dataclasses.replace(NOTHING, unknown=(f"{resource.type} {resource.name}",))
    assert bill_of_resources([resource]) == named


@pytest.mark.parametrize(
    "resource",
    [
        item("pulumi:pulumi:Stack"),
        item("pulumi:providers:aws"),
        item("pulumi:pulumi:StackReference"),
        group("acme:shop:Shop", size="large"),
        item("kubernetes:core/v1:ConfigMap"),
        item("kubernetes:core/v1:NodePatch"),
        item("kubernetes:core/v1:Service", spec={"type": "ClusterIP"}),
        item("kubernetes:core/v1:PersistentVolume", spec={"local": {"path": "/"}}),
        item("kubernetes:apps/v1:Deployment", spec={"replicas": UNKNOWN}),
        item("kubernetes:apps/v1:StatefulSet", spec={"replicas": 0, "volumeClaimTemplates": [{}]}),
        item("kubernetes:autoscaling/v1:HorizontalPodAutoscaler", spec=UNKNOWN),
    ],
    ids=lambda resource: f"{resource.type} {resource.inputs}",
)
def test_resources_without_a_cost_are_neither_priced_nor_named(resource: Resource) -> None:
    assert bill_of_resources([resource]) == NOTHING


@pytest.mark.parametrize(
    ("storage", "gib"),
    [
        ("20Gi", 20),
        ("1Ti", 1024),
        ("1.5Gi", 2),
        ("1G", 1),
        ("1500M", 2),
        ("1073741824", 1),
        (1073741825, 2),
        (2147483648.0, 2),
        ("1e9", 1),
        ("2048Mi", 2),
    ],
)
def test_a_claim_is_as_large_as_kubernetes_reads_it_rounded_up(storage: object, gib: int) -> None:
    assert bill_of_resources([claim(storage)]).volumes == (Volume("data", gib, None),)


def test_a_claim_on_a_servers_own_disk_was_bought_with_the_server() -> None:
    disk = item("kubernetes:core/v1:PersistentVolume", "p", metadata={"name": "disk"}, spec={"local": {}})
    own, other = claim("1Ti", "own", volumeName="disk"), claim("1Ti", "other", volumeName="elsewhere")
    assert bill_of_resources([own, other, disk]).volumes == (Volume("other", 1024, None),)


def test_base_replicas_are_the_workloads_own_or_its_autoscalers_minimum() -> None:
    def held(*more: Resource, namespace: str = "a", **spec: Any) -> dict[str, int]:
        metadata = {"name": "llm", "namespace": namespace}
        deployment = item("kubernetes:apps/v1:Deployment", metadata=metadata, spec=pods("4", **spec))
        return bill_of_resources([*more, deployment]).models

    def scaler(**spec: Any) -> Resource:
        spec = {"scaleTargetRef": {"kind": "Deployment", "name": "llm"}, **spec}
        type_ = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
        return item(type_, "scaler", metadata={"name": "s", "namespace": "a"}, spec=spec)

    assert held() == {"llm": 4}
    assert held(replicas=2) == {"llm": 8}
    assert held(replicas=0) == {}
    assert held(scaler(minReplicas=3)) == {"llm": 12}
    assert held(scaler()) == {"llm": 4}
    assert held(scaler(minReplicas=3), namespace="b") == {"llm": 4}


def test_a_group_over_several_nodes_holds_its_leaders_and_its_workers_gpus() -> None:
    def held(**group: Any) -> dict[str, int]:
        spec = {"replicas": 2, "leaderWorkerTemplate": group}
        kind = "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet"
        return bill_of_resources([item(kind, "big", spec=spec)]).models

    worker, leader = pods("8")["template"], pods("4")["template"]
    assert held(size=2, workerTemplate=worker) == {"big": 32}
    assert held(size=3, workerTemplate=worker, leaderTemplate=leader) == {"big": 40}
    assert held(workerTemplate=worker) == {"big": 16}


def test_a_model_is_named_as_it_is_served() -> None:
    server = group("tierup:model:ModelServer", "qwen2-5-7b", name="qwen2.5-7b")
    deployment = item("kubernetes:apps/v1:Deployment", "d", server.urn, spec=pods("1", replicas=2))
    assert bill_of_resources([deployment, server]).models == {"qwen2.5-7b": 2}
    older = group("tierup:model:ModelServer", "qwen2-5-7b")  # a state from before it contained the name
    assert bill_of_resources([deployment, older]).models == {"qwen2-5-7b": 2}


def test_servers_of_one_kind_add_up_and_another_kind_is_named() -> None:
    def nodes(name: str, server: str, *names: str) -> Resource:
        inputs = {"inService": list(names), "standby": ["spare"], "standbyMode": "cold"}
        return group("tierup:nodes:GpuNodes", name, server=server, **inputs)

    bill = bill_of_resources([nodes("a", "s", "n1", "n2"), nodes("b", "s", "n3"), nodes("c", "t", "n4")])
    assert (bill.server, bill.in_service, bill.standby) == ("s", 3, 2)
    assert bill.unknown == ("tierup:nodes:GpuNodes c",)


def test_no_malformed_plan_makes_the_bill_raise_another_error() -> None:
    """Real resources in which parts are replaced by values of other types."""
    chance = random.Random(7)
    resources = [
        change.now
        for name in ("tier", "foreign", "state")
        for change in read_plan(str(GOLDEN / f"{name}.json"))
        if change.now is not None
    ]
    odd = [None, SECRET, UNKNOWN, -1, 2.5, True, "", "x", [], [None], {}, {"name": None}]

    def broken(value: Any) -> Any:
        if chance.random() < 0.08:
            return chance.choice(odd)
        if isinstance(value, dict):
            return {key: broken(part) for key, part in value.items()}
        return [broken(part) for part in value] if isinstance(value, list) else value

    for _ in range(300):
        mixed = [
            dataclasses.replace(resource, inputs={key: broken(part) for key, part in resource.inputs.items()})
            for resource in resources
        ]
        bill = bill_of_resources(mixed)
        assert all(volume.gib >= 0 and volume.count >= 1 for volume in bill.volumes)
