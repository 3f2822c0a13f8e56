"""The shape of a resolved tier: every value is final, and every default has its reason.

A plan is complete: who makes objects, rules, costs or pages of a tier reads it alone, never the stack file.
"""

import math
from dataclasses import dataclass, field
from decimal import Decimal

from tierup.catalog import Gpu, ModelSpec, Precision, Server, Variant, WeightFormat
from tierup.catalog.engine import engine_facts
from tierup.findings.model import Finding
from tierup.sizing import Bottleneck, Range, Sizing
from tierup.sizing.memory import Memory
from tierup.stack.sections import (
    Acceptance,
    Alias,
    BudgetMode,
    CacheKind,
    ClassMatch,
    Engine,
    KvCacheDtype,
    MonitoringMode,
    Provider,
    Quote,
    ServiceType,
    StandbyMode,
    WorkloadClass,
)


@dataclass(frozen=True, slots=True)
class Default:
    """A value that the stack file leaves out, and why it was chosen."""

    path: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class NodePlan:
    """The GPU servers: which nodes, what is in each."""

    provider: Provider
    server_id: str
    server: Server
    gpu: Gpu
    in_service: tuple[str, ...]
    standby: tuple[str, ...]
    standby_mode: StandbyMode

    @property
    def gpus_per_server(self) -> int:
        return self.server.gpus.value

    @property
    def gpus_in_service(self) -> int:
        return self.gpus_per_server * len(self.in_service)

    @property
    def schedulable(self) -> tuple[str, ...]:
        """Nodes that may run pods: those in service and warm spares."""
        return self.in_service + (self.standby if self.standby_mode is StandbyMode.WARM else ())

    @property
    def gpus_schedulable(self) -> int:
        return self.gpus_per_server * len(self.schedulable)


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a Deployment replaces its pods; `max_surge` in pods, `max_unavailable_percent` rounds down."""

    recreate: bool
    max_surge: int = 0
    max_unavailable_percent: int = 0

    def unavailable(self, replicas: int) -> int:
        """Pods that may be missing at this size, as the Deployment controller computes it."""
        return replicas if self.recreate else replicas * self.max_unavailable_percent // 100

    def steps(self, replicas: int) -> int:
        """Turns in which all of them are replaced; some must be unavailable in each."""
        return math.ceil(replicas / self.unavailable(replicas))


@dataclass(frozen=True, slots=True)
class ClassCapacity:
    """What requests of one class will see, and what they are promised; milliseconds.

    `in_flight` is how many of them are running or waiting, over all replicas. The two times are None where the
    load is more than the replicas can ever answer.
    """

    name: str
    in_flight: float
    ttft_ms: Range
    tpot_ms: Range
    e2e_ms: Range
    ttft_target_ms: float
    tpot_target_ms: float


@dataclass(frozen=True, slots=True)
class ModelCapacity:
    """What one model's replicas at rest hold and how fast they answer, by the sizing model.

    `users` is this model's part of the tier's users, `in_flight` the requests of theirs that run or wait.
    `most_in_flight` and `most_users` are the largest at which every class still has what it is promised;
    `gives_way` says what breaks first beyond them. `at_once` is the answer for all users sending together, `full` that
    for every slot taken. `prompt_tokens` is the mean prompt, `request_tokens` the KV cache of the mean running
    request.
    """

    memory: Memory
    users: float
    in_flight: float
    sizing: Sizing
    at_once: Sizing
    full: Sizing
    prompt_tokens: int
    request_tokens: float
    classes: tuple[ClassCapacity, ...]
    most_in_flight: float
    most_users: float
    gives_way: str
    bottleneck: Bottleneck

    @property
    def headroom(self) -> float:
        """How many times the users fit; below 1 they do not."""
        return self.most_users / self.users

    def short_with(self, part: float) -> bool:
        """Whether the users fit, but not in this part of the capacity."""
        return self.headroom * part < 1 <= self.headroom


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One served model: times in seconds, memory in GiB, CPU in logical cores.

    `capacity` is None where the model does not fit its GPUs or cannot be split over them. It follows from the other
    fields and the workload, so two plans of one model are equal whatever their users.
    """

    name: str
    slug: str
    spec_id: str
    spec: ModelSpec
    variant: Variant
    precision: Precision
    revision: str
    engine: Engine
    tensor: int
    pipeline: int
    replicas: int
    max_replicas: int
    context: int
    slots: int
    gpu_memory_utilization: float
    kv_cache_dtype: KvCacheDtype
    cache_kind: CacheKind
    cache_storage_class: str | None
    cache_gib: int
    cpu: int
    memory_gib: int
    shm_gib: int
    startup_seconds: int
    fetch_seconds: int
    drain_seconds: int
    prestop_seconds: int
    grace_seconds: int
    rollout: Rollout
    p2p: bool
    capacity: ModelCapacity | None = field(default=None, compare=False)

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor * self.pipeline

    @property
    def ready_seconds(self) -> int:
        """How long a start takes: the budget is twice that."""
        return self.startup_seconds // 2

    @property
    def path(self) -> str:
        """Folder of the model files under the cache's mount; one GGUF repository holds many precisions."""
        files = f"/{self.precision}" if self.variant.files is not None else ""
        return f"{self.variant.repo.replace('/', '--')}/{self.revision}{files}"


@dataclass(frozen=True, slots=True)
class ClassRule:
    """How the gateway knows a class: the first rule that fits decides, the last fits everything.

    `capped` classes may hold only a part of the slots, together.
    """

    name: str
    match: ClassMatch
    capped: bool


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """One caller. Bounds are of all gateways together; None: only the model's own bound."""

    name: str
    classes: tuple[str, ...]
    in_flight: int | None
    requests_per_second: float | None
    sets_priority: bool

    @property
    def slug(self) -> str:
        """The name as a part of Nginx's variables."""
        return self.name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """The Nginx in front; times in seconds, rates in requests."""

    replicas: int
    keepalive_timeout_seconds: int
    client_body_buffer_size: str
    max_body_size: str
    queue_length: int
    longform_cap: float
    read_timeout_seconds: int
    service_type: ServiceType
    source_ranges: tuple[str, ...]
    classes: tuple[ClassRule, ...]
    keys: tuple[KeyPlan, ...]
    aliases: dict[str, Alias]
    tls: bool

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"


@dataclass(frozen=True, slots=True)
class AutoscalingPlan:
    """The HorizontalPodAutoscaler's targets.

    `max_replicas` is the limit that the stack file sets for every model; None: it sets none, and each model may
    grow into the GPUs that are there (`ModelPlan.max_replicas`).
    """

    enabled: bool
    max_replicas: int | None
    in_flight_target: float
    queue_time_target_ms: int
    cpu_target_percent: int
    gpu_target_percent: int
    scale_down_window_seconds: int


@dataclass(frozen=True, slots=True)
class MonitoringPlan:
    """Prometheus and Grafana."""

    mode: MonitoringMode
    retention_days: int
    storage_gib: int
    storage_class: str | None
    retain: bool
    scrape_interval_seconds: int
    gpu_exporter: str
    node_exporter: str


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """What the stack may cost, USD; None: no limit. An advisory one only warns."""

    capex_usd: Decimal | None
    monthly_usd: Decimal | None
    max_increase_usd_per_month: Decimal | None
    mode: BudgetMode


@dataclass(frozen=True, slots=True)
class ImagesPlan:
    """Images by their key in the stack file; None: the file names none and there is no default."""

    by_key: dict[str, str | None]

    @property
    def nginx(self) -> str:
        return self.of("nginx")

    @property
    def prometheus(self) -> str:
        return self.of("prometheus")

    @property
    def grafana(self) -> str:
        return self.of("grafana")

    @property
    def reloader(self) -> str:
        return self.of("reloader")

    def engine(self, name: str) -> str:
        """The image of an engine."""
        return self.of(engine_facts(name).image.key)

    def serving(self, engine: str, weights: WeightFormat) -> str:
        """The image in which an engine serves weights of a format: one for that format where there is one."""
        other = engine_facts(engine).format_images.get(weights)
        image = self.by_key[other.key] if other is not None else None
        return image if image is not None else self.engine(engine)

    def engine_tag(self, name: str) -> str:
        """The tag of an engine's image, which names its version; empty where only a digest does."""
        return self.engine(name).partition("@")[0].rpartition("/")[2].partition(":")[2]

    def of(self, key: str) -> str:
        """An image that every stack has; KeyError for the others."""
        image = self.by_key[key]
        if image is None:
            raise KeyError(key)
        return image


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """The cluster that the stack goes to; None: the ambient kubeconfig, and the context that it names."""

    kubeconfig: str | None
    context: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """A tier, resolved: what `manifests` turns into objects and `tierup plan` prints.

    `users` are people using the service at the same time. `quotes` are the stack's own prices by id, `accept` the
    warnings that it accepts, `secrets` the names of its secrets, whose values never come here.
    """

    stack: str
    namespace: str
    cluster: ClusterPlan
    users: int
    think_seconds: float
    classes: dict[str, WorkloadClass]
    nodes: NodePlan
    models: tuple[ModelPlan, ...]
    gateway: GatewayPlan
    autoscaling: AutoscalingPlan
    monitoring: MonitoringPlan
    budget: BudgetPlan
    images: ImagesPlan
    quotes: dict[str, Quote]
    accept: tuple[Acceptance, ...]
    secrets: frozenset[str]
    defaults: tuple[Default, ...]
    findings: tuple[Finding, ...] = field(default=())

    @property
    def model_names(self) -> tuple[str, ...]:
        """The names that clients ask for, in the order of the stack file."""
        return tuple(model.name for model in self.models)

    def model(self, name: str) -> ModelPlan | None:
        """The model that clients ask for by this name; None if the stack serves none of this name."""
        return next((model for model in self.models if model.name == name), None)

    @property
    def users_per_model(self) -> float:
        """One model's part of the users: they are split evenly."""
        return self.users / len(self.models)

    @property
    def gpus_used(self) -> int:
        """GPUs that the replicas at rest hold."""
        return sum(model.replicas * model.gpus for model in self.models)
