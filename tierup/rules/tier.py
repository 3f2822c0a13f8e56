"""Checks the tier as a whole: GPUs, servers, spares, shares, monitoring, images."""

from collections.abc import Iterator

from tierup.findings.model import Code, Finding, warning
from tierup.plan.cluster import GATEWAY, RELOADER_SIZE
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.replicas import fits
from tierup.resources.reading import quantity
from tierup.rules.images import FLOATING_FIX, FLOATING_PROBLEM, is_floating
from tierup.sizing.memory import GB_PER_GIB
from tierup.stack.sections import CacheKind, MonitoringMode, Provider, StandbyMode


def gpu_count(plan: Plan) -> Iterator[Finding]:
    """The servers in service must hold the replicas, before the autoscaler adds any."""
    nodes, per_server = plan.nodes, plan.nodes.gpus_per_server
    if any(model.gpus > per_server for model in plan.models):
        return  # TP_EXCEEDS_NODE reports that model
    replicas = [(model, model.replicas) for model in plan.models]
    if not fits(replicas, len(nodes.in_service), per_server):
        problem = "the replicas do not fit the servers in service"
        got, allowed = f"{plan.gpus_used} GPUs", f"{len(nodes.in_service)} x {per_server} GPUs"
        yield Finding(
            Code.GPUS_EXCEEDED,
            "models",
            problem,
            "use fewer replicas, smaller parallelism or more servers",
            got,
            allowed,
        )
    sizes = {model.gpus for model in plan.models}
    if len(sizes) > 1 and len(nodes.schedulable) > 1:
        problem = (
            "replicas of different sizes: small ones may be placed so that no server has room for a large one"
        )
        fix = "use one parallelism for all models, or separate stacks"
        yield warning(
            Code.GPUS_FRAGMENTED, "models", problem, fix, " and ".join(map(str, sorted(sizes))) + " GPUs"
        )


def server_size(plan: Plan) -> Iterator[Finding]:
    """A server must have the CPUs and memory for its pods, even if full and with gateway and monitoring on it."""
    server, name = plan.nodes.server, plan.nodes.server_id
    cores = server.cpu.threads.value - server.system_reserved.cpu.value
    memory = server.memory.gb.value / GB_PER_GIB - server.system_reserved.memory_gib.value
    placed = _fullest_server(plan)
    system_cpu, system_memory = system_size(plan)
    cpu_need = sum(model.cpu * count for model, count in placed) + system_cpu
    memory_need = sum((model.memory_gib + model.shm_gib) * count for model, count in placed) + system_memory
    fix = "use a server with more, or fewer replicas per server"
    if plan.nodes.gpu.abilities.unified_memory:
        gib = plan.nodes.gpu.memory_mib.value / 1024
        memory_need += sum(model.gpu_memory_utilization * gib * model.gpus * count for model, count in placed)
        fix += "; GPU and CPUs share the memory, so a smaller gpuMemoryUtilization leaves more"
    if cpu_need > cores:
        problem = f"a full {name} has too few CPUs for its pods"
        yield Finding(
            Code.CPU_EXCEEDED, "nodes.server", problem, fix, f"{cpu_need:g} CPUs needed", f"at most {cores:g}"
        )
    if memory_need > memory:
        problem = f"a full {name} has too little memory for its pods"
        yield Finding(
            Code.MEMORY_EXCEEDED,
            "nodes.server",
            problem,
            fix,
            f"{memory_need:.0f} GiB needed",
            f"at most {memory:.0f} GiB",
        )


def system_size(plan: Plan) -> tuple[float, float]:
    """CPUs and GiB of the pods beside the engines, all on one server: gateways, a fetch, Prometheus and Grafana.

    A rollout has one gateway more. Each gateway has a reloader.
    """
    sizes = {name: pods.size for name, pods in plan.cluster.pods.items() if pods.size is not None}
    gateways = [sizes.pop(GATEWAY), RELOADER_SIZE] * (plan.gateway.replicas + 1)
    every = [*sizes.values(), *gateways]
    cpu, memory = (sum(quantity(size[what]) for size in every) for what in ("cpu", "memory"))
    return float(cpu), float(memory) / 2**30


def _fullest_server(plan: Plan) -> list[tuple[ModelPlan, int]]:
    """Replicas of each model on one server, filled first with those that need most memory per GPU."""
    free, placed = plan.nodes.gpus_per_server, []
    for model in sorted(plan.models, key=lambda model: -(model.memory_gib + model.shm_gib) / model.gpus):
        count = min(model.max_replicas, free // model.gpus)
        free -= count * model.gpus
        placed.append((model, count))
    return placed


def disk(plan: Plan) -> Iterator[Finding]:
    """The server's disk must hold the model files."""
    size = plan.nodes.server.disk.tb.value * 1000 / GB_PER_GIB
    need = sum(model.cache_gib for model in plan.models if _on_disk(model))
    if need > size:
        fix = "serve fewer models, or keep them on a shared volume (cache.kind shared)"
        problem = f"{plan.nodes.server_id} has too small a disk for the model files"
        yield Finding(Code.DISK_EXCEEDED, "models", problem, fix, f"{need} GiB", f"at most {size:.0f} GiB")


def _on_disk(model: ModelPlan) -> bool:
    """Whether the files of the model, or of its adapters, are on the disk of each server."""
    return not model.weights.fetched or model.cache_kind is CacheKind.NODE


def nodes(plan: Plan) -> Iterator[Finding]:
    """The provider must be supported, spares must match their mode, and one server is one failure domain."""
    section = plan.nodes
    if section.provider is not Provider.EXISTING:
        problem, fix = (
            "tierup does not create nodes yet",
            "use existing: tierup adopts nodes that you created by other means",
        )
        yield Finding(
            Code.PROVIDER_NOT_BUILT, "nodes.provider", problem, fix, str(section.provider), "existing"
        )
    mode, count = section.standby_mode, len(section.standby)
    if mode is StandbyMode.NONE and count:
        problem = "there are spares, but the mode does not say whether they run"
        yield Finding(
            Code.STANDBY,
            "nodes.standby.mode",
            problem,
            "use cold or warm, or count 0",
            str(mode),
            "cold, warm",
        )
    if mode is not StandbyMode.NONE and not count:
        problem = f"mode {mode} needs a spare"
        yield Finding(
            Code.STANDBY, "nodes.standby.count", problem, "use 1 or more, or mode none", "0", "at least 1"
        )
    if len(section.in_service) == 1:
        problem = "one server is one failure domain: gateway, monitoring and models stop together"
        yield warning(
            Code.ONE_FAILURE_DOMAIN,
            "nodes.count",
            problem,
            "use 2 where an outage costs more than a server",
            "1",
        )


def shares(plan: Plan) -> Iterator[Finding]:
    """The shares of the classes must add up to 1."""
    total = sum(item.share for item in plan.classes.values())
    if abs(total - 1) > 0.005:
        problem = "the classes' shares do not add up to 1"
        yield Finding(
            Code.SHARES,
            "workload.classes",
            problem,
            "change them so that they add up to 1",
            f"{total:g}",
            "1",
        )


def model_shares(plan: Plan) -> Iterator[Finding]:
    """The models' shares must add up to 1, and every model should get requests."""
    total = sum(model.traffic.share for model in plan.models)
    if abs(total - 1) > 0.005:
        problem = "the models' shares of the requests do not add up to 1"
        fix = "change them so that they add up to 1, or leave one out: it gets the rest"
        yield Finding(Code.MODEL_SHARES, "models", problem, fix, f"{total:g}", "1")
        return
    for index, model in enumerate(plan.models):
        if model.traffic.share == 0:
            problem = f"no request reaches {model.name} ({model.traffic.why}), so its GPUs serve nobody"
            fix = "set its share, name it in an alias or a class, or remove it"
            yield warning(Code.MODEL_SHARES, f"models[{index}].share", problem, fix, "0")


def monitoring(plan: Plan) -> Iterator[Finding]:
    """The monitoring mode must be supported."""
    if plan.monitoring.mode is not MonitoringMode.BUNDLED:
        problem, fix = (
            "tierup does not configure an operator yet",
            "use bundled: it stays in the tier's namespace",
        )
        yield Finding(
            Code.MONITORING_NOT_BUILT, "monitoring.mode", problem, fix, str(plan.monitoring.mode), "bundled"
        )


def images(plan: Plan) -> Iterator[Finding]:
    """The tag of every image should pin a version."""
    for key, image in plan.images.by_key.items():
        if image is not None and is_floating(image):
            yield Finding(Code.FLOATING_IMAGE, f"images.{key}", FLOATING_PROBLEM, FLOATING_FIX, image)
