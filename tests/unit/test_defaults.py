"""Every missing value of a stack file is printed as a default with its reason, and derived values are consistent."""

import importlib
import pkgutil
import re
from decimal import Decimal
from itertools import product
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

import pytest
from own_models import SUPPORT, plan_of_own
from small_stack import MODEL, NODES, WORKLOAD, small_plan
from tier_plans import TIERS, VARIANTS, plan_of, stack_text

import tierup
from tierup.catalog import Server, load_catalog
from tierup.findings.model import Code
from tierup.io.stack.read import load_yaml
from tierup.plan.replicas import rollout_of, spare_replicas
from tierup.plan.times import GRACE_MARGIN_SECONDS, fetch_seconds, startup_seconds
from tierup.stack.parse import SECTIONS
from tierup.stack.sections import EXAMPLE_CERTIFICATE, BudgetMode, CacheKind, Images, Strict

READERS = {
    "tierup.stack.parse",
    "tierup.plan.resolve",
    "tierup.plan.models",
    "tierup.plan.nodes",
    "tierup.rules.preflight",
}
FOUR = "standard-4x-a100-80g-pcie"


def part_of(annotation: Any) -> type[Strict] | None:
    """The model in an optional annotation; none where a list or a mapping holds it."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return annotation
    if get_origin(annotation) in (Annotated, UnionType):
        return next((part for arg in get_args(annotation) if (part := part_of(arg))), None)
    return None


def open_fields(model: type[Strict], path: str) -> list[str]:
    """Paths of all optional values, through nested sections."""
    paths = []
    for name, field in model.model_fields.items():
        at = f"{path}.{field.alias or name}"
        inner = part_of(field.annotation)
        if inner is not None:
            paths.extend(open_fields(inner, at))
        elif not field.is_required():
            paths.append(at)
    return paths


# Cards are not shared unless a stack file says how: a choice that adds a line to its plan, with no value to default.
# An acceptance and an entry of the catalogue are no values of the tier, so their optional keys have no default.
OPEN = [
    path
    for name, kind in SECTIONS.items()
    if name not in ("accept", "catalog")
    for path in open_fields(kind, "models[0]" if name == "models" else name)
    if not path.startswith("nodes.sharing.")
]


def noted(path: str, defaults: set[str]) -> bool:
    """Whether a default is printed at a path, below it, or at a key that holds it."""
    return any(
        f"{one}.".startswith(f"{other}.") for item in defaults for one, other in ((path, item), (item, path))
    )


@pytest.mark.parametrize("path", OPEN)
def test_every_missing_value_is_printed_as_a_default(path: str) -> None:
    variants: tuple[dict[str, object], ...] = ({}, {"standby": {"mode": "cold"}}, {"tenure": "rented"})
    plans = [small_plan(nodes={"server": FOUR} | more) for more in variants]
    plans.append(small_plan(models=[MODEL | {"cache": {"kind": "shared"}}]))
    plans.extend(small_plan(gateway=gateway) for gateway in EXPOSED)
    plans.append(plan_of_own(SUPPORT))
    defaults = [item for plan in plans for item in plan.defaults]
    assert noted(path, {default.path for default in defaults})


def test_every_default_has_a_reason_and_a_value_and_is_listed_once() -> None:
    for plan in [small_plan(), *(plan_of(*case) for case in VARIANTS)]:
        for default in plan.defaults:
            assert len(default.why) > 8, default
            assert default.value not in ("", "None"), default
            assert not default.value.startswith("<"), default
        paths = [default.path for default in plan.defaults]
        assert len(paths) == len(set(paths))


# Values that a plan chooses only for these ways to the gateway.
EXPOSED: tuple[dict[str, Any], ...] = (
    {"serviceType": "NodePort", "sourceRanges": ["10.0.0.0/8"]},
    {"ingress": {"className": "nginx", "host": "llm.example.com"}},
    {"httpRoute": {"parentRefs": [{"name": "public"}]}},
    {"tls": {"issuer": {"name": "letsencrypt"}}},
)

# A value for every field, other than its default.
ALL_VALUES: dict[str, Any] = {
    "workload": WORKLOAD
    | {
        "thinkSeconds": 1,
        "classes": {
            "chat": {
                "promptTokens": 9,
                "answerTokens": 9,
                "ttftMs": 99,
                "tpotMs": 9,
                "share": 1,
                "priority": 9,
                "match": {"stream": True},
            }
        },
    },
    "nodes": NODES
    | {
        "provider": "existing",
        "count": 2,
        "standby": {"mode": "warm", "count": 1},
        "names": ["a", "b", "c"],
        "tenure": "owned",
        "purchased": "2026-10-02",
    },
    "models": [
        {
            "id": "qwen2.5-7b",
            "name": "x",
            "precision": "awq",
            "revision": "0" * 40,
            "engine": "vllm",
            "parallelism": {"tensor": 2, "pipeline": 1},
            "replicas": 1,
            "context": 4096,
            "share": 1,
            "maxNumSeqs": 24,
            "gpuMemoryUtilization": 0.8,
            "kvCacheDtype": "fp8",
            "weights": {"from": "hub"},
            "cache": {"kind": "shared", "storageClass": "nfs"},
            "toolCallParser": "none",
            "reasoningParser": "qwen3",
            "chatTemplate": "c.jinja",
            "adapters": [{"name": "z", "repo": "acme/z", "revision": "0" * 40, "rank": 8}],
            "kvOffloadGib": 4,
            "speculative": {"method": "ngram", "tokens": 3, "promptLookupMin": 2, "promptLookupMax": 4},
            "cpu": 5,
            "memoryGib": 13,
            "engineArgs": {"seed": 1},
            "env": {"VLLM_LOGGING_LEVEL": "WARNING"},
        }
    ],
    "gateway": {
        "replicas": 3,
        "keepaliveTimeoutSeconds": 61,
        "clientBodyBufferSize": "64k",
        "maxBodySize": "8m",
        "balance": "prefix",
        "queueLength": 7,
        "longformCap": 0.4,
        "meterTokens": True,
        "allowedOrigins": ["https://chat.example.com"],
        "readTimeoutSeconds": 900,
        "serviceType": "LoadBalancer",
        "serviceAnnotations": {"example.com/scheme": "internal"},
        "sourceRanges": ["10.0.0.0/8"],
        "namespaces": ["chat-app"],
        "keys": {"web": {"classes": ["chat"], "requestsPerSecond": 5, "inFlight": 3, "setsPriority": True}},
        "aliases": {"y": {"weights": {"x": 1}}},
        "tls": True,
    },
    "files": {"c.jinja": "{{ messages }}"},
    "secrets": frozenset({"key-web", "tls-certificate", "tls-key"}),
    "autoscaling": {
        "enabled": True,
        "maxReplicas": 3,
        "inFlightTarget": 0.6,
        "queueTimeTargetMs": 77,
        "cpuTargetPercent": 80,
        "gpuTargetPercent": 85,
        "scaleDownWindowSeconds": 60,
    },
    "monitoring": {
        "mode": "bundled",
        "retentionDays": 3,
        "storageGib": 5,
        "storageClass": "fast",
        "retain": False,
        "scrapeIntervalSeconds": 30,
        "gpuExporter": "gpu:1",
        "nodeExporter": "node:1",
        "alertmanager": "am.monitoring.svc:9093",
    },
    "budget": {
        "capexUsd": 10**6,
        "monthlyUsd": 10**6,
        "maxIncreaseUsdPerMonth": 10**6,
        "mode": "advisory",
    },
    "cost": {
        "quotes": {"electricity": {"value": 0.11, "source": "contract 17", "asOf": "2026-11-02"}},
        "currency": {"code": "EUR", "perUsd": 0.86, "source": "our bank", "asOf": "2026-11-02"},
    },
    "images": {name: f"{name}:1" for name in Images.model_fields},
    "cluster": {
        "kubeconfig": "x",
        "context": "y",
        "namespace": "z",
        "registry": "mirror.example.com",
        "imagePullSecrets": ["pull"],
        "runtimeClassName": "nvidia",
        "priorityClassName": "high",
        "gpuResource": "amd.com/gpu",
        "tolerations": [{"key": "dedicated"}],
        "nodeSelector": {"pool": "llm"},
        "modelStorageClass": "nfs",
        "components": {
            "modelServer": {"labels": {"team": "ml"}},
            **{
                name: {"labels": {"team": "ml"}, "cpu": "2", "memory": "3Gi"}
                for name in ("modelFetch", "gateway", "prometheus", "grafana")
            },
        },
    },
    "network": {
        "hubUrl": "https://hub",
        "proxy": "http://proxy",
        "noProxy": ["hub"],
        "caBundle": EXAMPLE_CERTIFICATE,
    },
    "accept": [{"code": "TIER118", "reason": "old prices are fine for this tier"}],
}


# Rented servers have other values than owned ones.
RENTED_NODES = {key: value for key, value in ALL_VALUES["nodes"].items() if key != "purchased"} | {
    "tenure": "rented",
    "rent": {"provider": "RunPod", "region": "any", "termMonths": 12},
}


@pytest.mark.parametrize("nodes", [ALL_VALUES["nodes"], RENTED_NODES], ids=["owned", "rented"])
def test_a_value_of_the_stack_file_is_never_a_default(nodes: dict[str, Any]) -> None:
    assert small_plan(**ALL_VALUES | {"nodes": nodes}).defaults == ()


def leaf_paths(value: Any, path: str) -> list[str]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaf_paths(item, f"{path}.{key}")]
    return [path]


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_s_own_lines_are_never_defaults(tier: str) -> None:
    config = load_yaml(stack_text(tier))["config"]
    written = set()
    for key, value in config.items():
        section = key.removeprefix("tierup:")
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, item in items:
            written |= set(leaf_paths(item, section if index is None else f"{section}[{index}]"))
    assert not written & {default.path for default in plan_of(tier).defaults}


def test_the_plan_has_the_values_of_the_stack_file() -> None:
    plan = small_plan(**ALL_VALUES)
    (model,) = plan.models
    assert (model.name, model.tensor, model.replicas, model.max_replicas) == ("x", 2, 1, 3)
    assert (model.context, model.slots, model.gpu_memory_utilization) == (4096, 24, 0.8)
    assert (model.cache_storage_class, model.revision) == ("nfs", "0" * 40)
    assert (plan.nodes.in_service, plan.nodes.standby) == (("a", "b"), ("c",))
    assert (plan.gateway.queue_length, plan.gateway.longform_cap) == (7, 0.4)
    (key,) = plan.gateway.keys
    assert (key.name, key.in_flight, key.requests_per_second, key.sets_priority) == ("web", 3, 5, True)
    assert (plan.gateway.tls, list(plan.gateway.aliases)) == (True, ["y"])
    assert (plan.autoscaling.in_flight_target, plan.autoscaling.queue_time_target_ms) == (0.6, 77)
    assert (plan.monitoring.retain, plan.monitoring.storage_class) == (False, "fast")
    assert (plan.budget.monthly_usd, plan.budget.mode) == (Decimal(10**6), BudgetMode.ADVISORY)
    assert (plan.namespace, plan.images.nginx) == ("z", "mirror.example.com/library/nginx:1")
    assert (plan.cluster.kubeconfig, plan.cluster.context) == ("x", "y")
    assert (plan.users, plan.think_seconds, plan.autoscaling.max_replicas) == (40, 1, 3)
    assert (plan.quotes["electricity"].value, plan.secrets) == (Decimal("0.11"), ALL_VALUES["secrets"])
    assert [item.code for item in plan.accept] == [Code.STALE_PRICE]


def test_a_falsy_value_is_a_value() -> None:
    plan = small_plan(gateway={"queueLength": 0}, autoscaling={"enabled": False, "scaleDownWindowSeconds": 0})
    assert plan.gateway.queue_length == 0
    assert plan.autoscaling.enabled is False
    assert plan.autoscaling.scale_down_window_seconds == 0


def test_only_the_plan_and_its_rules_read_the_configuration() -> None:
    """Another reader could choose a default of its own, which no plan would print."""
    modules = [info.name for info in pkgutil.walk_packages(tierup.__path__, "tierup.")]
    readers = {name for name in modules if hasattr(importlib.import_module(name), "TierConfig")}
    assert readers == READERS


# -- replicas and rollouts


@pytest.mark.parametrize("spare", [0, 1, 3])
def test_a_rollout_never_deadlocks(spare: int) -> None:
    for replicas in range(1, 65):
        rollout, size = rollout_of(replicas, spare), (replicas, spare)
        assert rollout.recreate == (size == (1, 0)), size
        if rollout.recreate:
            continue
        # Below full size and with a spare a new pod starts first; at full size without one an old pod stops first.
        assert rollout.max_surge == 1, size
        assert (rollout.unavailable(replicas) >= 1) == (spare == 0), size
        # Never more at once than needed, and never all.
        assert rollout.unavailable(replicas) < max(2, replicas), size
        below = [rollout.unavailable(count) for count in range(1, replicas)]
        assert max(below, default=0) <= (0 if replicas <= 10 else 1), size


SHARES = [
    (server, count, sizes)
    for server, gpus in (("standard-2x-a100-80g-pcie", 2), (FOUR, 4))
    for count in (1, 2, 3)
    for sizes in ((1,), (2,), (1, 1), (1, 2), (2, 2), (1, 1, 2), (4,), (4, 2))
    if sum(sizes) <= gpus * count and max(sizes) <= gpus  # else another rule refuses it
]


@pytest.mark.parametrize("mode", ["none", "cold", "warm"])
def test_models_without_replicas_share_the_gpus(mode: str) -> None:
    for server, count, sizes in SHARES:
        models = [
            MODEL | {"name": f"m{at}", "parallelism": {"tensor": size}} for at, size in enumerate(sizes)
        ]
        nodes = {"server": server, "count": count, "standby": {"mode": mode}}
        plan, case = small_plan(nodes=nodes, models=models), (server, count, sizes)
        most = sum(model.max_replicas * model.gpus for model in plan.models)
        assert plan.gpus_used <= plan.nodes.gpus_in_service, case
        assert most <= plan.nodes.gpus_schedulable, case
        assert all(1 <= model.replicas <= model.max_replicas for model in plan.models), case


def test_a_model_without_replicas_gets_the_remaining_gpus() -> None:
    plan = small_plan(nodes=NODES | {"server": FOUR}, models=[MODEL | {"name": "a", "replicas": 3}, MODEL])
    assert [model.replicas for model in plan.models] == [3, 1]
    assert [model.max_replicas for model in plan.models] == [3, 1]


def test_warm_spares_count_for_the_autoscaler_and_cold_ones_do_not() -> None:
    ceilings = {}
    for mode in ("none", "cold", "warm"):
        plan = small_plan(nodes=NODES | {"standby": {"mode": mode}})
        assert plan.models[0].replicas == 2
        ceilings[mode] = plan.models[0].max_replicas
    assert ceilings == {"none": 2, "cold": 2, "warm": 4}


def placements(pods: list[int], servers: int, size: int) -> set[tuple[int, ...]]:
    """Free GPUs by server, for every way in which the scheduler may have placed pods of these sizes."""
    states = {(size,) * servers}
    for pod in pods:
        states = {
            tuple(sorted([*free[:at], free[at] - pod, *free[at + 1 :]]))
            for free in states
            for at in range(servers)
            if free[at] >= pod
        }
    return states


@pytest.mark.parametrize("server", ["standard-2x-a100-80g-pcie", FOUR])
@pytest.mark.parametrize("servers", [1, 2, 3])
def test_a_spare_replica_finds_room_wherever_the_others_are(server: str, servers: int) -> None:
    nodes = small_plan(nodes=NODES | {"server": server, "count": servers}).nodes
    promised = 0
    for size, other, count, others in product(range(1, 5), range(1, 5), range(1, 4), range(3)):
        spare = spare_replicas(0, [size, other], [count, others], nodes)
        if spare:
            promised += 1
            for free in placements([size] * count + [other] * others, servers, nodes.gpus_per_server):
                assert sum(left // size for left in free) >= spare, (size, other, count, others, free)
    assert promised


def test_equal_replicas_are_counted_exactly() -> None:
    nodes = small_plan(nodes=NODES | {"server": FOUR, "count": 2}).nodes
    assert [spare_replicas(0, [2], [count], nodes) for count in range(1, 6)] == [3, 2, 1, 0, 0]
    assert [spare_replicas(0, [3], [count], nodes) for count in range(1, 4)] == [1, 0, 0]


# -- times


def test_a_pod_drains_before_it_is_killed() -> None:
    for case in VARIANTS:
        plan = plan_of(*case)
        for model in plan.models:
            longest = max(item.answer_tokens * item.tpot_ms / 1000 for item in plan.classes.values())
            assert model.drain_seconds >= longest
            assert model.prestop_seconds + model.drain_seconds < model.grace_seconds
            assert GRACE_MARGIN_SECONDS > 0
            assert plan.gateway.read_timeout_seconds > longest


def changed(server: Server, *, disk: float = 7, network: float = 10) -> Server:
    nic = server.nics[0]
    return server.model_copy(
        update={
            "disk": server.disk.model_copy(
                update={"read_gb_s": server.disk.read_gb_s.model_copy(update={"value": disk})}
            ),
            "nics": (nic.model_copy(update={"gbps": nic.gbps.model_copy(update={"value": network})}),),
        }
    )


SERVER = load_catalog().servers["standard-2x-a100-80g-pcie"]


def test_the_startup_budget_follows_bytes_and_speed() -> None:
    def budget(gib: float, disk: float, network: float = 1000, kind: CacheKind = CacheKind.NODE) -> int:
        return startup_seconds(gib, changed(SERVER, disk=disk, network=network), kind)

    assert budget(1, 1) < budget(100, 1) < budget(1000, 1)
    assert budget(500, 1) > budget(500, 2) > budget(500, 16)
    # Twice what loading takes at the disk's speed, before the engine's own start.
    assert budget(500, 1) >= 2 * 500 * 1.0737
    # A shared claim is read over the network, a node's volume is not.
    assert budget(500, 16, 1, CacheKind.SHARED) > budget(500, 16, 100, CacheKind.SHARED)
    assert budget(500, 16, 1) == budget(500, 16, 100)
    assert budget(500, 1, 1000, CacheKind.SHARED) == budget(500, 1)


def test_the_download_follows_bytes_and_the_slowest_port() -> None:
    assert fetch_seconds(1, SERVER) < fetch_seconds(1000, SERVER)
    assert fetch_seconds(100, changed(SERVER, network=1)) > fetch_seconds(100, changed(SERVER, network=10))
    assert fetch_seconds(100, changed(SERVER, network=1)) >= 600 + 2 * 100 * 8.5899


def test_infiniband_alone_is_a_network_too() -> None:
    premium = load_catalog().servers["premium-4x-h100-80g-sxm"]
    fabric = tuple(nic for nic in premium.nics if nic.kind.value == "infiniband")
    assert startup_seconds(14, premium.model_copy(update={"nics": fabric}), CacheKind.SHARED) > 0


# -- names


@pytest.mark.parametrize("stack", ["standard", "Team_A.prod", "x" * 90, "dev-1"])
def test_names_are_kubernetes_names_whatever_the_stack_is_called(stack: str) -> None:
    plan = small_plan(stack=stack)
    for name in (plan.namespace, *plan.nodes.in_service):
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert len(plan.namespace) <= 40


def test_the_precision_is_in_the_name_unless_it_is_the_plain_one() -> None:
    models = [MODEL | {"precision": precision} for precision in ("bf16", "awq")]
    assert [model.name for model in small_plan(models=models).models] == ["qwen2.5-7b", "qwen2.5-7b-awq"]


def test_the_queue_time_target_is_half_of_the_shortest_promise() -> None:
    assert plan_of("premium").autoscaling.queue_time_target_ms == 50
    assert plan_of("standard").autoscaling.queue_time_target_ms == 250
