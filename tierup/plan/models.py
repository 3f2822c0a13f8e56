"""Resolves the entries of the models section, and derives traffic, slots, memory and times from them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tierup.catalog import DEFAULT_PRECISION, Catalog, ModelSpec, Precision
from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.plan.capacity import engine_input
from tierup.plan.chooser import Chooser
from tierup.plan.model import ImagesPlan, ModelPlan, NodePlan, Rollout, Traffic
from tierup.plan.own_models import described
from tierup.plan.parallelism import default_tensor
from tierup.plan.replicas import base_replicas, replica_limits, rollout_of, spare_replicas
from tierup.plan.settings import adapters_gib, resolve_settings
from tierup.plan.sharing import usual_utilization
from tierup.plan.slots import default_slots
from tierup.plan.sources import resolve_revision, resolve_weights
from tierup.plan.split import of_bases, split
from tierup.plan.times import (
    GRACE_MARGIN_SECONDS,
    PRESTOP_SECONDS,
    drain_seconds,
    fetch_seconds,
    startup_seconds,
)
from tierup.plan.weights import WeightsPlan
from tierup.sizing import SizingInput
from tierup.sizing.shapes import spec_shape
from tierup.sizing.types import default_utilization
from tierup.stack.parse import TierConfig
from tierup.stack.sections import (
    Cache,
    CacheKind,
    Engine,
    KvCacheDtype,
    Model,
    Parallelism,
    WeightsFrom,
    WorkloadClass,
)

# Host memory: API server and engine core, and per GPU a worker with its CUDA context, pinned buffers and one
# shard of weights at a time (the page cache gives the rest back); assumption.
HOST_MEMORY_GIB = 6
HOST_MEMORY_PER_GPU_GIB = 6
CPU_PER_GPU = 4  # API server, engine core and one worker per GPU; assumption


def slug_of(name: str) -> str:
    """The name as a Kubernetes object name: lower case letters, digits and hyphens."""
    return "".join(char if char.isalnum() else "-" for char in name.lower()).strip("-")


def precision_of(model: Model, spec: ModelSpec) -> Precision:
    """The precision of a model entry, with its default."""
    return model.precision if model.precision is not None else spec.published


def served_name(model: Model, models: Iterable[Model]) -> str:
    """The name that clients request: the entry's own, else the id, with the precision if entries share the id.

    A model of one's own has the name of its repository instead of an id. A model that is the only one with its id keeps
    its name when its precision changes, so that the change is a rollout. Under another name the new pods would wait for
    GPUs that the old pods use.
    """
    if model.name is not None:
        return model.name
    alone = sum(other.spec_id == model.spec_id for other in models) == 1
    plain = model.precision is None or model.precision is DEFAULT_PRECISION
    return model.plain_name if alone or plain else f"{model.plain_name}-{model.precision}"


def autoscales(engines: Iterable[Engine | None]) -> tuple[bool, str]:
    """Whether autoscaling is on by default, and the reason."""
    for engine in engines:
        problem = engine_facts(engine if engine is not None else DEFAULT_ENGINE).autoscaling_problem
        if problem is not None:
            return False, problem
    return True, "load varies; the HPA is the one owner of replicas"


@dataclass(frozen=True, slots=True)
class _Tier:
    """What the models of a stack are resolved with."""

    config: TierConfig
    nodes: NodePlan
    classes: Mapping[str, WorkloadClass]
    images: ImagesPlan
    catalog: Catalog
    choose: Chooser


def resolve_models(
    config: TierConfig,
    nodes: NodePlan,
    classes: Mapping[str, WorkloadClass],
    images: ImagesPlan,
    *,
    catalog: Catalog,
    choose: Chooser,
) -> tuple[ModelPlan, ...]:
    """Every model of the stack file, resolved."""
    tier = _Tier(config, nodes, classes, images, catalog, choose)
    single = [_one_replica(tier, index, traffic) for index, traffic in enumerate(_traffic(tier))]
    return _replicated(tier, single)


def _traffic(tier: _Tier) -> tuple[Traffic, ...]:
    config = tier.config
    names = tuple(served_name(model, config.models) for model in config.models)
    aliases = config.gateway.aliases if config.gateway.aliases is not None else {}
    bases = {
        adapter.name: name
        for name, model in zip(names, config.models, strict=True)
        for adapter in model.adapters or ()
    }
    shares = tuple(model.share for model in config.models)
    traffic = split(names, shares, *of_bases(bases, tier.classes, aliases))
    for index, (model, item) in enumerate(zip(config.models, traffic, strict=True)):
        tier.choose.pick(f"models[{index}].share", model.share, float(f"{item.share:.3g}"), item.why)
    return traffic


def _one_replica(tier: _Tier, index: int, traffic: Traffic) -> tuple[SizingInput, ModelPlan]:
    """A model with one replica and without slots, and its sizing input."""
    config, nodes, choose = tier.config, tier.nodes, tier.choose
    entry, at = config.models[index], f"models[{index}]"
    spec = tier.catalog.models[entry.spec_id]
    _note_own(entry, at, spec, choose)
    default_name = served_name(entry, config.models)
    named = "the catalogue's id" if entry.source is None else "the repository's name"
    name_why = named + ("" if default_name == entry.plain_name else " and the precision")
    name = choose.pick(f"{at}.name", entry.name, default_name, name_why)
    precision = choose.pick(f"{at}.precision", entry.precision, spec.published, _precision_why(entry))
    variant = spec.variants[precision]
    weights = resolve_weights(entry, at, variant, config.cluster.registry, choose)
    revision = resolve_revision(entry, at, variant, choose)
    engine = choose.pick(
        f"{at}.engine",
        entry.engine,
        Engine(DEFAULT_ENGINE),
        "continuous batching, PagedAttention, priorities",
    )
    context = _context(entry, at, spec, choose)
    utilization = choose.pick(
        f"{at}.gpuMemoryUtilization",
        entry.gpu_memory_utilization,
        usual_utilization(nodes),
        "GPU and CPUs share the memory: the rest is for the pods and the system"
        if nodes.gpu.abilities.unified_memory
        else "the time slices of a card divide its memory, which nothing else isolates"
        if usual_utilization(nodes) != default_utilization(nodes.gpu)
        else "the engine's own; the rest is for the driver",
    )
    kv_cache = choose.pick(
        f"{at}.kvCacheDtype", entry.kv_cache_dtype, KvCacheDtype.AUTO, "the precision of the model: no loss"
    )
    settings = resolve_settings(entry, at, spec, engine, files=config.files, choose=choose)
    one = engine_input(
        entry.spec_id,
        spec,
        nodes,
        traffic,
        precision=precision,
        context=context,
        gpu_memory_utilization=utilization,
        kv_cache_dtype=kv_cache,
        engine=engine,
        settings=settings,
        images=tier.images,
    )
    one = _parallel(tier, index, one, traffic)
    gpus = one.tensor * one.pipeline
    cache_kind, storage_class = _cache(entry, at, config.cluster.model_storage_class, nodes, choose)
    own, adapters = variant.weight_gib.value, adapters_gib(spec, settings.adapters)
    drain = drain_seconds(tier.classes)
    model = ModelPlan(
        name=name,
        slug=slug_of(name),
        spec_id=entry.spec_id,
        spec=spec,
        variant=variant,
        precision=precision,
        revision=revision,
        engine=engine,
        tensor=one.tensor,
        pipeline=one.pipeline,
        replicas=1,
        max_replicas=1,
        context=context,
        slots=one.slots,
        gpu_memory_utilization=utilization,
        kv_cache_dtype=kv_cache,
        cache_kind=cache_kind,
        cache_storage_class=storage_class,
        cache_gib=math.ceil(((own if weights.on_node else 0) + adapters) * 1.2) + 2,
        cpu=choose.pick(
            f"{at}.cpu", entry.cpu, CPU_PER_GPU * gpus, "the server, its scheduler and a worker per GPU"
        ),
        memory_gib=choose.pick(
            f"{at}.memoryGib",
            entry.memory_gib,
            HOST_MEMORY_GIB + HOST_MEMORY_PER_GPU_GIB * gpus,
            "the engine, and what a worker per GPU holds on the host",
        ),
        # The engine keeps the parts of the KV cache that it moves to the host in /dev/shm.
        shm_gib=(2 if gpus == 1 else 2 * gpus + 2) + math.ceil(settings.kv_offload_gib or 0),
        startup_seconds=startup_seconds(own + adapters, nodes.server, _read_from(weights, cache_kind)),
        fetch_seconds=fetch_seconds((own if weights.pulled else 0) + adapters, nodes.server),
        drain_seconds=drain,
        prestop_seconds=PRESTOP_SECONDS,
        grace_seconds=PRESTOP_SECONDS + drain + GRACE_MARGIN_SECONDS,
        rollout=Rollout(recreate=True),
        p2p=nodes.gpu.link.p2p.value,
        settings=settings,
        weights=weights,
        traffic=traffic,
    )
    return one, model


def _note_own(entry: Model, at: str, spec: ModelSpec, choose: Chooser) -> None:
    """What is known of a model of one's own, where a catalogued one has its id."""
    if entry.source is not None:
        choose.note(f"{at}.id", entry.spec_id, described(spec, spec_shape(entry.spec_id, spec)))


def _precision_why(entry: Model) -> str:
    if entry.source is not None:
        return "as the repository stores its weights"
    return "as trained; quantize to save memory or to gain speed"


def _replicated(tier: _Tier, single: Sequence[tuple[SizingInput, ModelPlan]]) -> tuple[ModelPlan, ...]:
    """The models with their replicas and slots."""
    config, nodes, choose = tier.config, tier.nodes, tier.choose
    sizes = [model.gpus for _, model in single]
    base = base_replicas(config.models, sizes, nodes)
    section = config.autoscaling
    scales = (
        section.enabled if section.enabled is not None else autoscales(m.engine for m in config.models)[0]
    )
    limits = replica_limits(sizes, base, nodes, section.max_replicas) if scales else base
    if section.max_replicas is None and scales:
        why = "what the GPUs of the running servers hold" + (", shared equally" if len(limits) > 1 else "")
        choose.note("autoscaling.maxReplicas", " and ".join(map(str, limits)), why)
    elif section.max_replicas is None:
        choose.note("autoscaling.maxReplicas", " and ".join(map(str, limits)), "autoscaling is off")
    plans = []
    for index, (entry, (one, model)) in enumerate(zip(config.models, single, strict=True)):
        at, why = f"models[{index}]", "fills the servers in service: an owned GPU costs the same when idle"
        default, slots_why = default_slots(one, tuple(model.traffic.classes.items()))
        plans.append(
            replace(
                model,
                replicas=choose.pick(f"{at}.replicas", entry.replicas, base[index], why),
                max_replicas=limits[index],
                slots=choose.pick(f"{at}.maxNumSeqs", entry.max_num_seqs, default, slots_why),
                rollout=rollout_of(limits[index], spare_replicas(index, sizes, limits, nodes)),
            )
        )
    return tuple(plans)


def _parallel(tier: _Tier, index: int, one: SizingInput, traffic: Traffic) -> SizingInput:
    """The sizing input with the parallel sizes of the stack file, or their defaults."""
    entry, at, choose = tier.config.models[index], f"models[{index}]", tier.choose
    spec, gpus = tier.catalog.models[entry.spec_id], tier.nodes.gpus_per_server
    if tier.nodes.sharing is not None:
        gpus = 1  # a replica cannot span shares of cards
    section = entry.parallelism if entry.parallelism is not None else Parallelism()
    pipeline = choose.pick(
        f"{at}.parallelism.pipeline", section.pipeline, 1, "only for models that no tensor size can split"
    )
    one = replace(one, pipeline=pipeline)
    default, why = default_tensor(one, spec, tuple(traffic.classes.items()), gpus)
    return replace(one, tensor=choose.pick(f"{at}.parallelism.tensor", section.tensor, default, why))


def _context(entry: Model, at: str, spec: ModelSpec, choose: Chooser) -> int:
    why = "8K-token conversations, within what the model was trained for"
    return choose.pick(f"{at}.context", entry.context, default_context(spec), why)


def default_context(spec: ModelSpec) -> int:
    """Tokens of prompt and answer together."""
    return min(8192, spec.max_context.value)


def _read_from(weights: WeightsPlan, cache: CacheKind) -> CacheKind:
    """The kind of cache whose speed a start has; a claim may be anywhere in the network."""
    if weights.fetched:
        return cache
    return CacheKind.SHARED if weights.source is WeightsFrom.CLAIM else CacheKind.NODE


def _cache(
    entry: Model, at: str, of_cluster: str | None, nodes: NodePlan, choose: Chooser
) -> tuple[CacheKind, str | None]:
    """Where the files are, and the storage class; a shared cache is the default where a class for it is named."""
    section = entry.cache if entry.cache is not None else Cache()
    several = len(nodes.in_service) + len(nodes.standby) > 1
    storage_class = section.storage_class if section.storage_class is not None else of_cluster
    if not several:
        default, why = CacheKind.NODE, "one server: its own disk is fastest"
    elif storage_class is None:
        default, why = CacheKind.NODE, "works in every cluster: no storage class with ReadWriteMany is named"
    else:
        default, why = CacheKind.SHARED, "one download serves every node, spares too"
    kind = choose.pick(f"{at}.cache.kind", section.kind, default, why)
    if kind is not CacheKind.SHARED:
        return kind, None
    why = "a storage class with ReadWriteMany; set the one of your cluster"
    return kind, choose.pick(f"{at}.cache.storageClass", storage_class, "shared", why)
