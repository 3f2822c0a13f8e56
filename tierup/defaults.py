"""Decides every value the stack file leaves open, and says why; the only place where defaults live."""

import math
from typing import TypeVar

from tierup.catalog import Catalog, Precision, Server
from tierup.config import (
    Autoscaling,
    CacheKind,
    Engine,
    Gateway,
    KvCacheDtype,
    Model,
    Monitoring,
    MonitoringMode,
    Parallelism,
    Provider,
    ServiceType,
    Standby,
    StandbyMode,
    TierConfig,
    WorkloadClass,
)
from tierup.plan import (
    AutoscalingPlan,
    Default,
    GatewayPlan,
    ImagesPlan,
    ModelPlan,
    MonitoringPlan,
    NodePlan,
    Plan,
    Rollout,
)

_T = TypeVar("_T")

PRESTOP_SECONDS = 10  # longer than endpoint removal takes to reach every gateway
GRACE_MARGIN_SECONDS = 15  # the engine's own exit after its drain
ENGINE_INIT_SECONDS = 120  # memory profile, torch.compile and CUDA graphs; assumption, vLLM logs 60-110 s for 7B models
# Host memory: API server and engine core, and per GPU a worker with its CUDA context, pinned buffers and one
# shard of weights at a time (the page cache gives the rest back); assumption.
HOST_MEMORY_GIB = 6
HOST_MEMORY_PER_GPU_GIB = 6
CPU_PER_GPU = 4  # API server, engine core and one worker per GPU; assumption

CLASSES = {
    "chat": WorkloadClass.model_construct(
        prompt_tokens=512, answer_tokens=200, ttft_ms=1000.0, tpot_ms=50.0, share=0.8, priority=80
    ),
    "longform": WorkloadClass.model_construct(
        prompt_tokens=1024, answer_tokens=1500, ttft_ms=10_000.0, tpot_ms=100.0, share=0.2, priority=20
    ),
}
IMAGES = {
    "vllm": ("vllm/vllm-openai:v0.32.0", "the version whose flags and metrics are tested against its CPU build"),
    "nginx": ("nginxinc/nginx-unprivileged:1.29.3", "re-resolves upstreams since 1.27.3; runs unprivileged"),
    "prometheus": ("prom/prometheus:v3.8.0", "current release with native histograms off by default"),
    "grafana": ("grafana/grafana:11.6.0", "the version the dashboards' typed builder is made for"),
}


class _Chooser:
    """Keeps what was said, or takes the default and notes its reason."""

    def __init__(self) -> None:
        self.defaults: list[Default] = []

    def pick(self, path: str, said: _T | None, default: _T, why: str) -> _T:
        if said is not None:
            return said
        shown = "true" if default is True else "false" if default is False else str(default)
        self.defaults.append(Default(path, shown, why))
        return default


def resolve(config: TierConfig, catalog: Catalog) -> Plan:
    """The plan of a configuration whose references `preflight.references` found good."""
    choose = _Chooser()
    classes = _classes(config, choose)
    nodes = _nodes(config, catalog, choose)
    autoscaling = _autoscaling(config.autoscaling, choose)
    models = tuple(
        _model(config, index, nodes, classes, autoscaling.enabled, catalog, choose) for index in range(len(config.models))
    )
    gateway = _gateway(config.gateway, models, classes, choose)
    monitoring = _monitoring(config.monitoring, choose)
    namespace = choose.pick("cluster.namespace", config.cluster.namespace, f"tierup-{config.stack}", "one namespace per stack")
    return Plan(
        stack=config.stack,
        namespace=namespace,
        config=config,
        classes=classes,
        nodes=nodes,
        models=models,
        gateway=gateway,
        autoscaling=autoscaling,
        monitoring=monitoring,
        images=_images(config, choose),
        defaults=tuple(choose.defaults),
    )


def _classes(config: TierConfig, choose: _Chooser) -> dict[str, WorkloadClass]:
    if config.workload.classes is not None:
        return dict(config.workload.classes)
    for name, item in CLASSES.items():
        sizes = f"{item.prompt_tokens} in, {item.answer_tokens} out, TTFT {item.ttft_ms:g} ms, {item.share:.0%} of requests"
        why = "answers people wait for go first" if name == "chat" else "long text is read later, so it may wait"
        choose.pick(f"workload.classes.{name}", None, sizes, why)
    return dict(CLASSES)


def _nodes(config: TierConfig, catalog: Catalog, choose: _Chooser) -> NodePlan:
    said, server = config.nodes, catalog.servers[config.nodes.server]
    standby = said.standby if said.standby is not None else Standby()
    count = choose.pick("nodes.count", said.count, 1, "the tier's hardware is one server")
    mode = choose.pick("nodes.standby.mode", standby.mode, StandbyMode.NONE, "a spare is bought, so it is asked for")
    default_spares, why = (0, "no standby") if mode is StandbyMode.NONE else (1, "covers the loss of one server")
    spares = choose.pick("nodes.standby.count", standby.count, default_spares, why)
    wanted = count + spares
    by_name = [f"{config.stack}-gpu-{number}" for number in range(1, wanted + 1)]
    names = said.names
    if names is None:
        choose.pick("nodes.names", None, ", ".join(by_name), "the stack's name and a number; set it to adopt nodes named otherwise")
        names = by_name
    return NodePlan(
        provider=choose.pick("nodes.provider", said.provider, Provider.EXISTING, "adopts nodes that are there and owns none"),
        server_id=said.server,
        server=server,
        gpu=catalog.gpus[server.gpu],
        in_service=tuple(names[:count]),
        standby=tuple(names[count:wanted]),
        standby_mode=mode,
    )


def slug_of(name: str) -> str:
    """A served name as a Kubernetes name."""
    return "".join(char if char.isalnum() else "-" for char in name.lower()).strip("-")


def served_name(model: Model) -> str:
    """The name clients ask for, where the stack file gives none: the id, and the precision where it is not the plain one."""
    if model.name is not None:
        return model.name
    plain = model.precision in (None, Precision.BF16)
    return model.id if plain else f"{model.id}-{model.precision}"


def gpus_of(model: Model) -> tuple[int, int]:
    """Tensor and pipeline parallel sizes of one replica."""
    said = model.parallelism if model.parallelism is not None else Parallelism()
    return (said.tensor if said.tensor is not None else 1, said.pipeline if said.pipeline is not None else 1)


def most_replicas(config: TierConfig, index: int, nodes: NodePlan, servers: int) -> int:
    """Replicas of a model that its equal share of so many servers' GPUs holds; a replica stays inside one server."""
    tensor, pipeline = gpus_of(config.models[index])
    per_server = nodes.gpus_per_server // (tensor * pipeline)
    share = nodes.gpus_per_server * servers // len(config.models) // (tensor * pipeline)
    return max(1, min(share, per_server * servers))


def rollout_of(max_replicas: int, spare_replicas: int) -> Rollout:
    """How pods are replaced without a deadlock: with every GPU busy, an old pod must leave before a new one starts.

    `spare_replicas` is how many more replicas the GPUs hold beside `max_replicas`. The percentage is the smallest
    that frees one pod at full size; it rounds down, so below full size a new pod starts first.
    """
    if spare_replicas >= 1:
        return Rollout(recreate=False, max_surge=1, max_unavailable_percent=0)
    if max_replicas == 1:
        return Rollout(recreate=True)
    return Rollout(recreate=False, max_surge=1, max_unavailable_percent=math.ceil(100 / max_replicas))


def _model(
    config: TierConfig,
    index: int,
    nodes: NodePlan,
    classes: dict[str, WorkloadClass],
    autoscaled: bool,
    catalog: Catalog,
    choose: _Chooser,
) -> ModelPlan:
    said, at = config.models[index], f"models[{index}]"
    spec = catalog.models[said.id]
    name = choose.pick(f"{at}.name", said.name, served_name(said), "the catalogue's id")
    precision = choose.pick(f"{at}.precision", said.precision, Precision.BF16, "as trained; quantize when memory or speed asks for it")
    variant = spec.variants[precision]
    tensor, pipeline = _parallelism(said, at, nodes, choose)
    at_rest = most_replicas(config, index, nodes, len(nodes.in_service))
    why = "fills the servers in service: an owned GPU costs the same when idle"
    replicas = choose.pick(f"{at}.replicas", said.replicas, at_rest, why)
    largest = _largest(config, index, nodes)
    if autoscaled:
        choose.pick("autoscaling.maxReplicas", config.autoscaling.max_replicas, largest, f"{name}'s share of all GPUs that are up")
    slots = _slots(config.workload.users, replicas)
    context_why = "8K-token conversations, within what the model was trained for"
    weights = variant.weight_gib.value
    drain = _drain_seconds(classes)
    cache_kind = _cache_kind(said, at, nodes, choose)
    load = _load_seconds(weights, nodes.server, cache_kind)
    gpus = tensor * pipeline
    return ModelPlan(
        name=name,
        slug=slug_of(name),
        spec_id=said.id,
        spec=spec,
        variant=variant,
        precision=precision,
        revision=choose.pick(f"{at}.revision", said.revision, variant.revision or "", "the catalogue's pinned commit"),
        engine=choose.pick(f"{at}.engine", said.engine, Engine.VLLM, "continuous batching, PagedAttention, priorities"),
        tensor=tensor,
        pipeline=pipeline,
        replicas=replicas,
        max_replicas=largest,
        context=choose.pick(f"{at}.context", said.context, min(8192, spec.max_context.value), context_why),
        slots=choose.pick(
            f"{at}.maxNumSeqs", said.max_num_seqs, slots, f"{config.workload.users} users over {replicas} replica(s), a multiple of 8"
        ),
        gpu_memory_utilization=choose.pick(
            f"{at}.gpuMemoryUtilization", said.gpu_memory_utilization, 0.9, "leaves 10 % for the driver and CUDA graphs"
        ),
        kv_cache_dtype=choose.pick(f"{at}.kvCacheDtype", said.kv_cache_dtype, KvCacheDtype.AUTO, "as the model computes: no loss"),
        cache_kind=cache_kind,
        cache_storage_class=said.cache.storage_class if said.cache is not None else None,
        cache_gib=math.ceil(weights * 1.2) + 2,
        cpu=CPU_PER_GPU * gpus,
        memory_gib=HOST_MEMORY_GIB + HOST_MEMORY_PER_GPU_GIB * gpus,
        shm_gib=2 if gpus == 1 else 2 * gpus + 2,
        startup_seconds=_round_up(2 * (load + ENGINE_INIT_SECONDS), 30),
        fetch_seconds=_round_up(600 + 2 * weights * 8.59 / _uplink_gbps(nodes.server), 60),
        drain_seconds=drain,
        prestop_seconds=PRESTOP_SECONDS,
        grace_seconds=PRESTOP_SECONDS + drain + GRACE_MARGIN_SECONDS,
        rollout=rollout_of(largest, _spare_replicas(config, index, nodes, largest)),
        p2p=nodes.gpu.link.p2p.value,
    )


def _parallelism(said: Model, at: str, nodes: NodePlan, choose: _Chooser) -> tuple[int, int]:
    tensor, pipeline = gpus_of(said)
    given = said.parallelism if said.parallelism is not None else Parallelism()
    why = (
        f"the weights fit one {nodes.gpu.product_label.value}; two replicas beat one split over cards"
        if nodes.gpus_per_server > 1
        else "one GPU per server"
    )
    choose.pick(f"{at}.parallelism.tensor", given.tensor, tensor, why)
    choose.pick(f"{at}.parallelism.pipeline", given.pipeline, pipeline, "a replica stays inside one server")
    return tensor, pipeline


def _slots(users: int, replicas: int) -> int:
    return min(256, max(8, _round_up(users / replicas, 8)))


def _round_up(value: float, step: int) -> int:
    return math.ceil(value / step) * step


def _drain_seconds(classes: dict[str, WorkloadClass]) -> int:
    """The longest answer at its promised pace, so that a leaving pod finishes what it began."""
    return _round_up(max(item.answer_tokens * item.tpot_ms / 1000 for item in classes.values()), 30)


def _uplink_gbps(server: Server) -> float:
    return min(nic.gbps.value for nic in server.nics)  # the way to the model hub is the slowest port at worst


def _load_seconds(weights_gib: float, server: Server, kind: CacheKind) -> float:
    """Weights over the slower of disk and, for a shared claim, the network."""
    disk = server.disk.read_gb_s.value
    network = max(nic.gbps.value for nic in server.nics if nic.kind.value != "infiniband") / 8
    return weights_gib * 1.0737 / (min(disk, network) if kind is CacheKind.SHARED else disk)


def _cache_kind(said: Model, at: str, nodes: NodePlan, choose: _Chooser) -> CacheKind:
    several = len(nodes.in_service) + len(nodes.standby) > 1
    default = CacheKind.SHARED if several else CacheKind.NODE
    why = "one download serves every node, spares too" if several else "one server: its own disk is fastest"
    return choose.pick(f"{at}.cache.kind", said.cache.kind if said.cache is not None else None, default, why)


def _spare_replicas(config: TierConfig, index: int, nodes: NodePlan, largest: int) -> int:
    """Replicas of this model that still fit when every model is at its largest."""
    used = 0
    for other, model in enumerate(config.models):
        tensor, pipeline = gpus_of(model)
        count = largest if other == index else _largest(config, other, nodes)
        used += count * tensor * pipeline
    tensor, pipeline = gpus_of(config.models[index])
    return max(0, (nodes.gpus_schedulable - used) // (tensor * pipeline))


def _largest(config: TierConfig, index: int, nodes: NodePlan) -> int:
    """The most replicas of a model that will ever run: what the autoscaler may reach, else what was asked for."""
    said, ceiling = config.models[index].replicas, config.autoscaling.max_replicas
    at_rest = said if said is not None else most_replicas(config, index, nodes, len(nodes.in_service))
    if config.autoscaling.enabled is False:
        return at_rest
    return max(at_rest, ceiling if ceiling is not None else most_replicas(config, index, nodes, len(nodes.schedulable)))


def _gateway(
    said: Gateway, models: tuple[ModelPlan, ...], classes: dict[str, WorkloadClass], choose: _Chooser
) -> GatewayPlan:
    slots = max(model.slots * model.replicas for model in models)
    longest = max(item.answer_tokens * item.tpot_ms / 1000 for item in classes.values())
    queue = choose.pick("gateway.queueLength", said.queue_length, slots, "as many may wait as are served: one more turn")
    turns = math.ceil((slots + queue) / slots)
    return GatewayPlan(
        replicas=choose.pick("gateway.replicas", said.replicas, 2, "one may fail or be replaced"),
        keepalive_timeout_seconds=choose.pick("gateway.keepaliveTimeoutSeconds", said.keepalive_timeout_seconds, 60, "the hardware guide"),
        client_body_buffer_size=choose.pick("gateway.clientBodyBufferSize", said.client_body_buffer_size, "128k", "the hardware guide"),
        max_body_size=choose.pick("gateway.maxBodySize", said.max_body_size, "16m", "several times the largest context as JSON"),
        queue_length=queue,
        longform_cap=choose.pick("gateway.longformCap", said.longform_cap, 0.5, "half of the slots stay free for chat"),
        read_timeout_seconds=_round_up(longest * turns + 30, 30),
        service_type=choose.pick("gateway.serviceType", said.service_type, ServiceType.CLUSTER_IP, "nothing is exposed unasked"),
        source_ranges=tuple(said.source_ranges or ()),
    )


def _autoscaling(said: Autoscaling, choose: _Chooser) -> AutoscalingPlan:
    return AutoscalingPlan(
        enabled=choose.pick("autoscaling.enabled", said.enabled, True, "load varies; the HPA is the one owner of replicas"),
        in_flight_target=choose.pick("autoscaling.inFlightTarget", said.in_flight_target, 0.75, "grows before the slots are full"),
        queue_time_target_ms=choose.pick("autoscaling.queueTimeTargetMs", said.queue_time_target_ms, 500, "half a chat's promised TTFT"),
        cpu_target_percent=choose.pick("autoscaling.cpuTargetPercent", said.cpu_target_percent, 90, "a guard, not the signal"),
        gpu_target_percent=choose.pick("autoscaling.gpuTargetPercent", said.gpu_target_percent, 95, "a guard: busy GPUs are normal"),
        scale_down_window_seconds=choose.pick(
            "autoscaling.scaleDownWindowSeconds", said.scale_down_window_seconds, 300, "longer than a lull between bursts"
        ),
    )


def _monitoring(said: Monitoring, choose: _Chooser) -> MonitoringPlan:
    dcgm, node = "nvidia-dcgm-exporter.gpu-operator.svc.cluster.local:9400", "node-exporter.monitoring.svc.cluster.local:9100"
    return MonitoringPlan(
        mode=choose.pick("monitoring.mode", said.mode, MonitoringMode.BUNDLED, "works in a cluster that has nothing"),
        retention_days=choose.pick("monitoring.retentionDays", said.retention_days, 15, "two weeks back, for a weekly pattern"),
        storage_gib=choose.pick("monitoring.storageGib", said.storage_gib, 20, "15 days of a tier's series, five times over"),
        storage_class=said.storage_class,
        retain=choose.pick("monitoring.retain", said.retain, True, "measurements outlive the stack they judge"),
        scrape_interval_seconds=choose.pick("monitoring.scrapeIntervalSeconds", said.scrape_interval_seconds, 15, "four points a minute"),
        gpu_exporter=choose.pick("monitoring.gpuExporter", said.gpu_exporter, dcgm, "where NVIDIA's GPU Operator puts it"),
        node_exporter=choose.pick("monitoring.nodeExporter", said.node_exporter, node, "a headless Service of the node exporter"),
    )


def _images(config: TierConfig, choose: _Chooser) -> ImagesPlan:
    said = config.images
    return ImagesPlan(
        **{key: choose.pick(f"images.{key}", getattr(said, key), image, why) for key, (image, why) in IMAGES.items()},
        gguf=said.gguf,
    )
