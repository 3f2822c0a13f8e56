"""Resolves the entries of the models section, and derives slots, memory and times from them."""

import math
from collections.abc import Iterable, Mapping

from tierup.catalog import DEFAULT_PRECISION, Catalog, ModelSpec, Precision, Server
from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.plan.chooser import Chooser
from tierup.plan.model import ModelPlan, NodePlan
from tierup.plan.replicas import base_replicas, parallel_sizes, replica_limits, rollout_of, spare_replicas
from tierup.sizing.memory import GB_PER_GIB
from tierup.stack.parse import TierConfig
from tierup.stack.sections import Cache, CacheKind, Engine, KvCacheDtype, Model, Parallelism, WorkloadClass

PRESTOP_SECONDS = 10  # longer than endpoint removal takes to reach every gateway
GRACE_MARGIN_SECONDS = 15  # the engine's own exit after its drain
ENGINE_INIT_SECONDS = (
    120  # memory profile, torch.compile and CUDA graphs; assumption, vLLM logs 60-110 s for 7B models
)
# Host memory: API server and engine core, and per GPU a worker with its CUDA context, pinned buffers and one
# shard of weights at a time (the page cache gives the rest back); assumption.
HOST_MEMORY_GIB = 6
HOST_MEMORY_PER_GPU_GIB = 6
CPU_PER_GPU = 4  # API server, engine core and one worker per GPU; assumption


def slug_of(name: str) -> str:
    """The name as a Kubernetes object name: lower case letters, digits and hyphens."""
    return "".join(char if char.isalnum() else "-" for char in name.lower()).strip("-")


def precision_of(model: Model) -> Precision:
    """The precision of a model entry, with its default."""
    return model.precision if model.precision is not None else DEFAULT_PRECISION


def served_name(model: Model, models: Iterable[Model]) -> str:
    """The name that clients request: the entry's own, else the id, with the precision if entries share the id.

    A model that is the only one with its id keeps its name when its precision changes, so that the change is a rollout.
    Under another name the new pods would wait for GPUs that the old pods use.
    """
    if model.name is not None:
        return model.name
    alone = sum(other.id == model.id for other in models) == 1
    precision = precision_of(model)
    plain = precision is DEFAULT_PRECISION
    return model.id if alone or plain else f"{model.id}-{precision}"


def autoscales(engines: Iterable[Engine | None]) -> tuple[bool, str]:
    """Whether autoscaling is on by default, and the reason."""
    for engine in engines:
        problem = engine_facts(engine if engine is not None else DEFAULT_ENGINE).autoscaling_problem
        if problem is not None:
            return False, problem
    return True, "load varies; the HPA is the one owner of replicas"


def resolve_models(
    config: TierConfig,
    nodes: NodePlan,
    classes: Mapping[str, WorkloadClass],
    catalog: Catalog,
    choose: Chooser,
) -> tuple[ModelPlan, ...]:
    """Every model of the stack file, resolved."""
    base = base_replicas(config.models, nodes)
    section = config.autoscaling
    scales = (
        section.enabled if section.enabled is not None else autoscales(m.engine for m in config.models)[0]
    )
    limits = replica_limits(config.models, base, nodes, section.max_replicas) if scales else base
    sizes = [math.prod(parallel_sizes(model)) for model in config.models]
    if section.max_replicas is None and scales:
        why = "what the GPUs of the running servers hold" + (", shared equally" if len(limits) > 1 else "")
        choose.note("autoscaling.maxReplicas", " and ".join(map(str, limits)), why)
    elif section.max_replicas is None:
        choose.note("autoscaling.maxReplicas", " and ".join(map(str, limits)), "autoscaling is off")
    plans = []
    for index, (count, limit) in enumerate(zip(base, limits, strict=True)):
        counts = count, limit, spare_replicas(index, sizes, limits, nodes)
        plans.append(_resolve(config, index, nodes, classes, catalog, choose=choose, counts=counts))
    return tuple(plans)


def _resolve(
    config: TierConfig,
    index: int,
    nodes: NodePlan,
    classes: Mapping[str, WorkloadClass],
    catalog: Catalog,
    *,
    choose: Chooser,
    counts: tuple[int, int, int],
) -> ModelPlan:
    entry, at = config.models[index], f"models[{index}]"
    spec = catalog.models[entry.id]
    base, limit, spare = counts
    precision_why = "as trained; quantize to save memory or to gain speed"
    default_name = served_name(entry, config.models)
    name_why = "the catalogue's id" + ("" if default_name == entry.id else " and the precision")
    name = choose.pick(f"{at}.name", entry.name, default_name, name_why)
    precision = choose.pick(f"{at}.precision", entry.precision, DEFAULT_PRECISION, precision_why)
    variant = spec.variants[precision]
    revision_why = "the commit that the catalogue pins"
    revision = choose.pick(f"{at}.revision", entry.revision, variant.revision or "", revision_why)
    engine = choose.pick(
        f"{at}.engine",
        entry.engine,
        Engine(DEFAULT_ENGINE),
        "continuous batching, PagedAttention, priorities",
    )
    tensor, pipeline = _parallelism(entry, at, nodes, choose)
    gpus = tensor * pipeline
    why = "fills the servers in service: an owned GPU costs the same when idle"
    replicas = choose.pick(f"{at}.replicas", entry.replicas, base, why)
    context, slots = _context(entry, at, spec, choose), _slots(config, entry, at, replicas, choose)
    memory_why = "leaves 10 % for the driver and CUDA graphs"
    utilization = choose.pick(f"{at}.gpuMemoryUtilization", entry.gpu_memory_utilization, 0.9, memory_why)
    kv_cache = choose.pick(
        f"{at}.kvCacheDtype", entry.kv_cache_dtype, KvCacheDtype.AUTO, "the precision of the model: no loss"
    )
    cache_kind, storage_class = _cache(entry, at, nodes, choose)
    weights, drain = variant.weight_gib.value, drain_seconds(classes)
    return ModelPlan(
        name=name,
        slug=slug_of(name),
        spec_id=entry.id,
        spec=spec,
        variant=variant,
        precision=precision,
        revision=revision,
        engine=engine,
        tensor=tensor,
        pipeline=pipeline,
        replicas=replicas,
        max_replicas=limit,
        context=context,
        slots=slots,
        gpu_memory_utilization=utilization,
        kv_cache_dtype=kv_cache,
        cache_kind=cache_kind,
        cache_storage_class=storage_class,
        cache_gib=math.ceil(weights * 1.2) + 2,
        cpu=CPU_PER_GPU * gpus,
        memory_gib=HOST_MEMORY_GIB + HOST_MEMORY_PER_GPU_GIB * gpus,
        shm_gib=2 if gpus == 1 else 2 * gpus + 2,
        startup_seconds=startup_seconds(weights, nodes.server, cache_kind),
        fetch_seconds=fetch_seconds(weights, nodes.server),
        drain_seconds=drain,
        prestop_seconds=PRESTOP_SECONDS,
        grace_seconds=PRESTOP_SECONDS + drain + GRACE_MARGIN_SECONDS,
        rollout=rollout_of(limit, spare),
        p2p=nodes.gpu.link.p2p.value,
    )


def _parallelism(entry: Model, at: str, nodes: NodePlan, choose: Chooser) -> tuple[int, int]:
    tensor, pipeline = parallel_sizes(entry)
    section = entry.parallelism if entry.parallelism is not None else Parallelism()
    why = "one GPU per server"
    if nodes.gpus_per_server > 1:
        why = "models of this size fit one card; two replicas beat one split over two"
    choose.pick(f"{at}.parallelism.tensor", section.tensor, tensor, why)
    choose.pick(
        f"{at}.parallelism.pipeline",
        section.pipeline,
        pipeline,
        "only for models that no tensor size can split",
    )
    return tensor, pipeline


def _context(entry: Model, at: str, spec: ModelSpec, choose: Chooser) -> int:
    why = "8K-token conversations, within what the model was trained for"
    return choose.pick(f"{at}.context", entry.context, min(8192, spec.max_context.value), why)


def _slots(config: TierConfig, entry: Model, at: str, replicas: int, choose: Chooser) -> int:
    users = config.workload.users
    slots = min(256, max(8, round_up(users / replicas, 8)))
    why = (
        f"{users} users over {replicas} replica{'' if replicas == 1 else 's'}, a multiple of 8 from 8 to 256"
    )
    return choose.pick(f"{at}.maxNumSeqs", entry.max_num_seqs, slots, why)


def _cache(entry: Model, at: str, nodes: NodePlan, choose: Chooser) -> tuple[CacheKind, str | None]:
    section = entry.cache if entry.cache is not None else Cache()
    several = len(nodes.in_service) + len(nodes.standby) > 1
    default = CacheKind.SHARED if several else CacheKind.NODE
    why = "one download serves every node, spares too" if several else "one server: its own disk is fastest"
    kind = choose.pick(f"{at}.cache.kind", section.kind, default, why)
    if kind is not CacheKind.SHARED:
        return kind, None
    why = "a storage class with ReadWriteMany; set the one of your cluster"
    return kind, choose.pick(f"{at}.cache.storageClass", section.storage_class, "shared", why)


def round_up(value: float, step: int) -> int:
    """The next multiple of `step`."""
    return math.ceil(value / step) * step


def drain_seconds(classes: Mapping[str, WorkloadClass]) -> int:
    """The longest answer at its promised speed, so that a stopping pod can finish its requests; a multiple of 30."""
    return round_up(max(item.answer_seconds for item in classes.values()), 30)


def startup_seconds(weights_gib: float, server: Server, kind: CacheKind) -> int:
    """Twice the time to start the engine and read the weights, from disk or, for a shared claim, over the network."""
    disk = server.disk.read_gb_s.value
    # Shared claims use Ethernet if the server has it.
    ports = [nic for nic in server.nics if nic.kind.value != "infiniband"] or server.nics
    network = max(nic.gbps.value for nic in ports) / 8
    load = weights_gib * GB_PER_GIB / (min(disk, network) if kind is CacheKind.SHARED else disk)
    return round_up(2 * (load + ENGINE_INIT_SECONDS), 30)


def fetch_seconds(weights_gib: float, server: Server) -> int:
    """Ten minutes, and twice the download over the slowest port, which may be the one to the model hub."""
    return round_up(600 + 2 * weights_gib * GB_PER_GIB * 8 / server.uplink_gbps, 60)
