"""The values that a model entry leaves open, and what follows from them: slots, memory, times."""

import math
from collections.abc import Iterable, Mapping

from tierup.catalog import DEFAULT_PRECISION, Catalog, ModelSpec, Precision, Server
from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.plan.chooser import Chooser
from tierup.plan.model import ModelPlan, NodePlan
from tierup.plan.replicas import at_most, at_rest, gpus_of, rollout_of, spare_replicas
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
    """A name as Kubernetes takes it."""
    return "".join(char if char.isalnum() else "-" for char in name.lower()).strip("-")


def precision_of(model: Model) -> Precision:
    """The precision of a model entry, with its default."""
    return model.precision if model.precision is not None else DEFAULT_PRECISION


def served_name(model: Model, models: Iterable[Model]) -> str:
    """The name clients ask for: the entry's own, else the id; beside others of the same id, the precision too.

    A model that stands alone keeps its name when its precision changes, so that its pods roll: under another name
    the new ones would wait for GPUs that the old ones hold.
    """
    if model.name is not None:
        return model.name
    alone = sum(other.id == model.id for other in models) == 1
    precision = precision_of(model)
    plain = precision is DEFAULT_PRECISION
    return model.id if alone or plain else f"{model.id}-{precision}"


def autoscales(engines: Iterable[Engine | None]) -> tuple[bool, str]:
    """Whether replicas are added and taken away where the file does not say, and why."""
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
    resting = at_rest(config.models, nodes)
    said = config.autoscaling
    scales = said.enabled if said.enabled is not None else autoscales(m.engine for m in config.models)[0]
    most = at_most(config.models, resting, nodes, said.max_replicas) if scales else resting
    sizes = [math.prod(gpus_of(model)) for model in config.models]
    if said.max_replicas is None and scales:
        why = "what the GPUs of the servers that are up hold" + (", shared equally" if len(most) > 1 else "")
        choose.note("autoscaling.maxReplicas", " and ".join(map(str, most)), why)
    elif said.max_replicas is None:
        choose.note("autoscaling.maxReplicas", " and ".join(map(str, most)), "autoscaling is off")
    plans = []
    for index, (rest, largest) in enumerate(zip(resting, most, strict=True)):
        counts = rest, largest, spare_replicas(index, sizes, most, nodes)
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
    said, at = config.models[index], f"models[{index}]"
    spec = catalog.models[said.id]
    resting, most, spare = counts
    precision_why = "as trained; quantize when memory or speed asks for it"
    default_name = served_name(said, config.models)
    name_why = "the catalogue's id" + ("" if default_name == said.id else " and the precision")
    name = choose.pick(f"{at}.name", said.name, default_name, name_why)
    precision = choose.pick(f"{at}.precision", said.precision, DEFAULT_PRECISION, precision_why)
    variant = spec.variants[precision]
    revision_why = "the commit that the catalogue pins"
    revision = choose.pick(f"{at}.revision", said.revision, variant.revision or "", revision_why)
    engine = choose.pick(
        f"{at}.engine", said.engine, Engine(DEFAULT_ENGINE), "continuous batching, PagedAttention, priorities"
    )
    tensor, pipeline = _parallelism(said, at, nodes, choose)
    gpus = tensor * pipeline
    why = "fills the servers in service: an owned GPU costs the same when idle"
    replicas = choose.pick(f"{at}.replicas", said.replicas, resting, why)
    context, slots = _context(said, at, spec, choose), _slots(config, said, at, replicas, choose)
    memory_why = "leaves 10 % for the driver and CUDA graphs"
    utilization = choose.pick(f"{at}.gpuMemoryUtilization", said.gpu_memory_utilization, 0.9, memory_why)
    kv_cache = choose.pick(
        f"{at}.kvCacheDtype", said.kv_cache_dtype, KvCacheDtype.AUTO, "as the model computes: no loss"
    )
    cache_kind, storage_class = _cache(said, at, nodes, choose)
    weights, drain = variant.weight_gib.value, drain_seconds(classes)
    return ModelPlan(
        name=name,
        slug=slug_of(name),
        spec_id=said.id,
        spec=spec,
        variant=variant,
        precision=precision,
        revision=revision,
        engine=engine,
        tensor=tensor,
        pipeline=pipeline,
        replicas=replicas,
        max_replicas=most,
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
        rollout=rollout_of(most, spare),
        p2p=nodes.gpu.link.p2p.value,
    )


def _parallelism(said: Model, at: str, nodes: NodePlan, choose: Chooser) -> tuple[int, int]:
    tensor, pipeline = gpus_of(said)
    given = said.parallelism if said.parallelism is not None else Parallelism()
    why = "one GPU per server"
    if nodes.gpus_per_server > 1:
        why = "models of this size fit one card; two replicas beat one split over two"
    choose.pick(f"{at}.parallelism.tensor", given.tensor, tensor, why)
    choose.pick(f"{at}.parallelism.pipeline", given.pipeline, pipeline, "for models that no tensor size fits")
    return tensor, pipeline


def _context(said: Model, at: str, spec: ModelSpec, choose: Chooser) -> int:
    why = "8K-token conversations, within what the model was trained for"
    return choose.pick(f"{at}.context", said.context, min(8192, spec.max_context.value), why)


def _slots(config: TierConfig, said: Model, at: str, replicas: int, choose: Chooser) -> int:
    users = config.workload.users
    slots = min(256, max(8, round_up(users / replicas, 8)))
    why = (
        f"{users} users over {replicas} replica{'' if replicas == 1 else 's'}, a multiple of 8 from 8 to 256"
    )
    return choose.pick(f"{at}.maxNumSeqs", said.max_num_seqs, slots, why)


def _cache(said: Model, at: str, nodes: NodePlan, choose: Chooser) -> tuple[CacheKind, str | None]:
    given = said.cache if said.cache is not None else Cache()
    several = len(nodes.in_service) + len(nodes.standby) > 1
    default = CacheKind.SHARED if several else CacheKind.NODE
    why = "one download serves every node, spares too" if several else "one server: its own disk is fastest"
    kind = choose.pick(f"{at}.cache.kind", given.kind, default, why)
    if kind is not CacheKind.SHARED:
        return kind, None
    why = "a class that serves ReadWriteMany; name your cluster's own"
    return kind, choose.pick(f"{at}.cache.storageClass", given.storage_class, "shared", why)


def round_up(value: float, step: int) -> int:
    """The next multiple of `step`."""
    return math.ceil(value / step) * step


def drain_seconds(classes: Mapping[str, WorkloadClass]) -> int:
    """The longest answer at its promised pace, so that a leaving pod finishes what it began."""
    return round_up(max(item.answer_seconds for item in classes.values()), 30)


def startup_seconds(weights_gib: float, server: Server, kind: CacheKind) -> int:
    """Twice the time to start and to read the weights, from disk or, for a shared claim, over the network."""
    disk = server.disk.read_gb_s.value
    # Shared claims go over Ethernet, where the server has it.
    ports = [nic for nic in server.nics if nic.kind.value != "infiniband"] or server.nics
    network = max(nic.gbps.value for nic in ports) / 8
    load = weights_gib * GB_PER_GIB / (min(disk, network) if kind is CacheKind.SHARED else disk)
    return round_up(2 * (load + ENGINE_INIT_SECONDS), 30)


def fetch_seconds(weights_gib: float, server: Server) -> int:
    """Twice the download over the slowest port (the way to the hub, at worst), and ten minutes."""
    return round_up(600 + 2 * weights_gib * GB_PER_GIB * 8 / server.uplink_gbps, 60)
