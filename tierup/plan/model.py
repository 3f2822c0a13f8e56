"""The data classes of a plan: every value is final, and every default has its reason.

A plan is complete: manifests, rules, costs and reports read the plan alone, never the stack file.
"""

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tierup.catalog import Gpu, ModelSpec, Precision, Server, Variant, WeightFormat
from tierup.catalog.engine import engine_facts
from tierup.catalog.options import size_of
from tierup.findings.model import Finding
from tierup.plan.speculative import SpeculativePlan
from tierup.plan.weights import WeightsPlan, port_of
from tierup.sizing import Bottleneck, Range, Sizing
from tierup.sizing.memory import Memory
from tierup.stack.cluster import GPU_RESOURCE
from tierup.stack.sections import (
    Acceptance,
    Alias,
    Balance,
    BudgetMode,
    CacheKind,
    ClassMatch,
    Engine,
    HttpRoute,
    Ingress,
    IssuerKind,
    KvCacheDtype,
    MonitoringMode,
    Provider,
    Quote,
    SecretKey,
    ServiceType,
    StandbyMode,
    Tenure,
    WeightsFrom,
    WorkloadClass,
)

MOST_ADAPTERS_AT_ONCE = 8  # more of them wait on the host, so that their number does not take the KV cache
_HTTPS = 443


@dataclass(frozen=True, slots=True)
class Default:
    """A value that the stack file leaves out, and why it was chosen."""

    path: str
    value: str
    why: str


@dataclass(frozen=True, slots=True)
class Rental:
    """The offer at which servers are rented. None: any provider, any region; no term: on demand."""

    provider: str | None = None
    region: str | None = None
    term_months: int | None = None

    def __str__(self) -> str:
        term = "on demand" if self.term_months is None else f"for {self.term_months} months"
        return ", ".join(item for item in (self.provider, self.region, term) if item)


@dataclass(frozen=True, slots=True)
class SharingPlan:
    """How a card is shared: `profile` of MIG, else time slices; engines per card; the resource by default."""

    profile: str | None
    per_card: int
    resource: str

    @property
    def title(self) -> str:
        return f"MIG {self.profile}" if self.profile is not None else f"{self.per_card} time slices"


@dataclass(frozen=True, slots=True)
class NodePlan:
    """The GPU servers: the names of the nodes and their hardware.

    Where cards are shared, `gpu` is one share of a card, and every count of GPUs is one of shares.
    `rental` is None where the servers are owned; `purchased` is the day on which they were bought, None: unknown.
    """

    provider: Provider
    server_id: str
    server: Server
    gpu: Gpu
    in_service: tuple[str, ...]
    standby: tuple[str, ...]
    standby_mode: StandbyMode
    rental: Rental | None = None
    purchased: datetime.date | None = None
    sharing: SharingPlan | None = None

    @property
    def tenure(self) -> Tenure:
        return Tenure.OWNED if self.rental is None else Tenure.RENTED

    @property
    def gpus_per_server(self) -> int:
        return self.server.gpus.value * (1 if self.sharing is None else self.sharing.per_card)

    @property
    def gpus_reported(self) -> int:
        """GPUs of a server in the metrics of its exporter, which sees MIG instances but no time slices."""
        sliced = self.sharing is not None and self.sharing.profile is None
        return self.server.gpus.value if sliced else self.gpus_per_server

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
    """How a Deployment replaces its pods: `max_surge` in pods, `max_unavailable_percent` in percent, rounded down."""

    recreate: bool
    max_surge: int = 0
    max_unavailable_percent: int = 0

    def unavailable(self, replicas: int) -> int:
        """Pods that may be missing at this size, as the Deployment controller computes it."""
        return replicas if self.recreate else replicas * self.max_unavailable_percent // 100

    def steps(self, replicas: int) -> int:
        """How many steps replace all pods; `unavailable(replicas)` must be at least 1."""
        return math.ceil(replicas / self.unavailable(replicas))


@dataclass(frozen=True, slots=True)
class ClassCapacity:
    """The predicted and the promised times of one class of requests, in milliseconds.

    `in_flight` is how many of its requests run or wait, over all replicas. `shared_prefix` is the part (0..1) of its
    prompt that is counted as cached.
    """

    name: str
    in_flight: float
    ttft_ms: Range
    tpot_ms: Range
    e2e_ms: Range
    ttft_target_ms: float
    tpot_target_ms: float
    shared_prefix: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelCapacity:
    """The load that one model's replicas can serve, and how fast, before the autoscaler adds any.

    `users` is this model's part of the tier's users: those whose request it serves, or who pause before their next
    one to it. `in_flight` is how many of their requests run or wait. `most_in_flight` and `most_users` are the largest
    load at which every class still meets its targets. `limiting_factor` names what is missed or full first beyond that
    load, and `remedy` what to raise. `burst` is the prediction when all users send
    at the same moment, `full` the one with every slot in use. `prompt_tokens` is the mean prompt, `request_tokens` the
    tokens of the mean running request in the KV cache.
    """

    memory: Memory
    users: float
    in_flight: float
    sizing: Sizing
    burst: Sizing
    full: Sizing
    prompt_tokens: int
    request_tokens: float
    classes: tuple[ClassCapacity, ...]
    most_in_flight: float
    most_users: float
    limiting_factor: str
    bottleneck: Bottleneck
    remedy: str

    @property
    def headroom(self) -> float:
        """The most users as a multiple of the expected users; below 1 they do not fit. Infinite without users."""
        return self.most_users / self.users if self.users else math.inf

    def overloaded_with(self, part: float) -> bool:
        """Whether the users fit now, but not if only this part (0 to 1) of the capacity is left."""
        return self.headroom * part < 1 <= self.headroom


@dataclass(frozen=True, slots=True)
class Traffic:
    """The requests that one model serves: its share (0..1) of all requests, and why.

    `classes` are the kinds among them; their shares are of this model's requests and add up to 1.
    """

    share: float
    why: str
    classes: dict[str, WorkloadClass]


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """A LoRA adapter, which the model's engine serves under a name of its own."""

    name: str
    repo: str
    revision: str
    rank: int

    @property
    def path(self) -> str:
        """Folder of its files under the cache's mount."""
        return _path(self.repo, self.revision)


def _path(repo: str, revision: str) -> str:
    return f"{repo.replace('/', '--')}/{revision}"


PREFIX_CACHING = "enable-prefix-caching"  # vLLM's option, which is on by default


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What a model's engine is told besides sizes; None: the engine's own.

    `chat_template` is the text of the template. `args` are the stack file's own options by name, without dashes, and
    `env` its variables.
    """

    tool_call_parser: str | None = None
    reasoning_parser: str | None = None
    chat_template: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str | SecretKey] = field(default_factory=dict)
    adapters: tuple[AdapterPlan, ...] = ()
    kv_offload_gib: float | None = None
    speculative: SpeculativePlan | None = None

    @property
    def adapters_at_once(self) -> int:
        """Adapters that one step of the engine can mix; each has its place in the memory of the GPUs."""
        return min(len(self.adapters), MOST_ADAPTERS_AT_ONCE)

    @property
    def adapter_rank(self) -> int:
        """The highest rank; 0 without adapters."""
        return max((adapter.rank for adapter in self.adapters), default=0)

    @property
    def batched_tokens(self) -> int | None:
        """The most tokens of one step, if the stack file sets it; a rule refuses what is no number."""
        tokens = size_of(self.args.get("max-num-batched-tokens"))
        return tokens if tokens is not None and tokens > 0 else None

    @property
    def eager(self) -> bool:
        """Whether the engine runs without CUDA graphs, which take memory."""
        return self.args.get("enforce-eager") is True

    @property
    def caches_prefixes(self) -> bool:
        """Whether the engine keeps prompts for later ones with the same beginning, as it does by default."""
        return self.args.get(PREFIX_CACHING) is not False


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One served model: times in seconds, memory in GiB, CPU in logical cores.

    `capacity` is None where the model does not fit its GPUs or cannot be split over them. `traffic` and `capacity`
    follow from the workload too, so they are left out of comparisons: other users alone do not change a model.
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
    settings: EngineSettings
    weights: WeightsPlan
    traffic: Traffic = field(compare=False)
    capacity: ModelCapacity | None = field(default=None, compare=False)

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor * self.pipeline

    @property
    def ready_seconds(self) -> int:
        """The expected duration of a start; `startup_seconds` allows twice that."""
        return self.startup_seconds // 2

    @property
    def path(self) -> str:
        """Folder of the fetched files under the cache's mount, one for each version of the files.

        A GGUF repository holds files of many precisions, so the precision is part of the folder there.
        """
        if self.weights.source is WeightsFrom.S3:
            return f"s3/{self.weights.sha256}"
        if self.weights.source is WeightsFrom.MODEL_SCOPE:
            return f"modelscope/{_path(self.weights.repo, self.revision)}"
        files = f"/{self.precision}" if self.variant.files is not None else ""
        return f"{_path(self.variant.repo, self.revision)}{files}"

    @property
    def mounts_cache(self) -> bool:
        """Whether its pods read fetched files: of the model itself, or of adapters."""
        return self.weights.fetched or bool(self.settings.adapters)

    @property
    def origin(self) -> str:
        """Where the files come from, with what pins them."""
        if self.weights.source is WeightsFrom.HUB:
            return f"{self.variant.repo}@{self.revision}"
        pin = self.revision or self.weights.sha256
        return f"{self.weights}@{pin}" if pin else str(self.weights)


@dataclass(frozen=True, slots=True)
class ClassRule:
    """How the gateway assigns requests to a class: the first rule that matches decides, the last matches everything.

    All `capped` classes together may use only a part of the slots (`GatewayPlan.longform_cap`).
    """

    name: str
    match: ClassMatch
    capped: bool


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """One caller. Its bounds hold over all gateway replicas together; None: only the model's own bound applies."""

    name: str
    classes: tuple[str, ...]
    in_flight: int | None
    requests_per_second: float | None
    sets_priority: bool
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None

    @property
    def slug(self) -> str:
        """The name as part of an Nginx variable."""
        return self.name.replace("-", "_")

    @property
    def has_budget(self) -> bool:
        """Whether the caller may use only so many tokens."""
        return self.tokens_per_minute is not None or self.tokens_per_day is not None


@dataclass(frozen=True, slots=True)
class CertificatePlan:
    """A certificate that cert-manager issues: for `hosts` at the gateway, or for the host of its Ingress."""

    issuer: str
    issuer_kind: IssuerKind
    secret: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GatewayPlan:
    """The Nginx gateway in front of the models; times in seconds."""

    replicas: int
    keepalive_timeout_seconds: int
    client_body_buffer_size: str
    max_body_size: str
    queue_length: int
    longform_cap: float
    read_timeout_seconds: int
    service_type: ServiceType
    source_ranges: tuple[str, ...]
    namespaces: tuple[str, ...]  # of the callers; empty: all
    classes: tuple[ClassRule, ...]
    keys: tuple[KeyPlan, ...]
    aliases: dict[str, Alias]
    tls: bool
    allowed_origins: tuple[str, ...] = ()  # of web pages; "*": any
    balance: Balance = Balance.LEAST_CONNECTIONS
    node_port: int | None = None  # None: the cluster chooses it, where the service type has one
    service_annotations: Mapping[str, str] = field(default_factory=dict)
    ingress: Ingress | None = None
    http_route: HttpRoute | None = None
    certificate: CertificatePlan | None = None  # None: from the stack's secrets, or none at all
    meter_tokens: bool = False

    @property
    def budgets(self) -> bool:
        """Whether any caller may use only so many tokens."""
        return self.meter_tokens and any(key.has_budget for key in self.keys)

    @property
    def scheme(self) -> str:
        """Of the gateway's own port; what is in front of it may have another."""
        return "https" if self.tls else "http"

    @property
    def exposed(self) -> bool:
        """Whether clients outside the cluster can reach the gateway."""
        return self.service_type is not ServiceType.CLUSTER_IP or self.behind_proxy

    @property
    def behind_proxy(self) -> bool:
        """Whether an Ingress or a Gateway of the cluster takes the clients' requests, and ends their TLS."""
        return self.ingress is not None or self.http_route is not None


@dataclass(frozen=True, slots=True)
class AutoscalingPlan:
    """The HorizontalPodAutoscaler's targets.

    `max_replicas` is the limit that the stack file sets for every model; None: it sets none, and each model may
    grow until all GPUs are in use (`ModelPlan.max_replicas`).
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
    alertmanager: str | None


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """What the stack may cost, in USD; None: no limit. In advisory mode an exceeded limit is only a warning."""

    capex_usd: Decimal | None
    monthly_usd: Decimal | None
    max_increase_usd_per_month: Decimal | None
    mode: BudgetMode


@dataclass(frozen=True, slots=True)
class CurrencyPlan:
    """The currency of the reports: units for one USD, with source and date of that rate; None: USD itself."""

    code: str = "USD"
    per_usd: Decimal = Decimal(1)
    source: str | None = None
    as_of: datetime.date | None = None


DOLLARS = CurrencyPlan()


def _tag(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


@dataclass(frozen=True, slots=True)
class ImagesPlan:
    """Images by their key in the stack file; None: the stack file sets none and there is no default."""

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
        """The image in which an engine serves weights of this format: the format's own image if one is set."""
        other = engine_facts(engine).format_images.get(weights)
        image = self.by_key[other.key] if other is not None else None
        return image if image is not None else self.engine(engine)

    def engine_tag(self, name: str) -> str:
        """The tag of an engine's image, which is its version; empty if the image has only a digest."""
        return _tag(self.engine(name))

    def serving_tag(self, engine: str, weights: WeightFormat) -> str:
        """The tag of the image in which an engine serves weights of this format."""
        return _tag(self.serving(engine, weights))

    def of(self, key: str) -> str:
        """The image with this key in the stack file.

        Raises:
            KeyError: if the stack has none.
        """
        image = self.by_key[key]
        if image is None:
            raise KeyError(key)
        return image


@dataclass(frozen=True, slots=True)
class PodPlan:
    """What the pods of one component have of the stack file; `size` is the CPU and memory of the main container.

    Sizes are quantities of Kubernetes; None: a model server, which has the sizes of its model.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    size: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """The cluster of the stack, and what its owners ask of every pod; `pods` is by component.

    None: the kubeconfig of the environment and its current context; the runtime that is the nodes' default; a
    priority class of the stack's own. `tolerations` are as Kubernetes writes them.
    """

    kubeconfig: str | None
    context: str | None
    image_pull_secrets: tuple[str, ...] = ()
    runtime_class_name: str | None = None
    priority_class_name: str | None = None
    gpu_resource: str = GPU_RESOURCE
    tolerations: tuple[Mapping[str, str], ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    pods: Mapping[str, PodPlan] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """How models are fetched; None: directly from the public hub, with the public authorities alone."""

    hub_url: str | None = None
    proxy: str | None = None
    no_proxy: tuple[str, ...] = ()
    ca_bundle: str | None = None

    @property
    def ports(self) -> tuple[int, ...]:
        """The TCP ports that a fetch connects to."""
        ports = {port_of(url) for url in (self.hub_url, self.proxy) if url is not None}
        return tuple(sorted({_HTTPS, *ports}))  # a mirror may lead on to another host


@dataclass(frozen=True, slots=True)
class Plan:
    """A resolved tier: `manifests` renders it into objects and `tierup plan` prints it.

    `users` is how many people use the service at the same time. `quotes` are the stack's own prices by id, `accept` the
    warnings that it accepts. `secrets` holds the names of its secrets, never their values. `usd_per_hour` is what it
    costs as `tierup cost` counts it; None until `tierup.cost.priced` fills it in, before the plan is deployed.
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
    currency: CurrencyPlan = DOLLARS
    network: NetworkPlan = field(default_factory=NetworkPlan)
    usd_per_hour: Decimal | None = field(default=None, compare=False)

    @property
    def model_names(self) -> tuple[str, ...]:
        """The names under which clients request the models, in the order of the stack file."""
        return tuple(model.name for model in self.models)

    @property
    def served(self) -> dict[str, ModelPlan]:
        """Every name that clients may request, with the model whose engine serves it: models, then their adapters."""
        adapters = {item.name: model for model in self.models for item in model.settings.adapters}
        return {**{model.name: model for model in self.models}, **adapters}

    def model(self, name: str) -> ModelPlan | None:
        """The model that serves requests for this name; None if the stack serves none with this name."""
        return self.served.get(name)

    def classes_of(self, model: ModelPlan) -> dict[str, WorkloadClass]:
        """The kinds of requests that a model serves: those of all requests where it gets none."""
        return model.traffic.classes or self.classes

    def users_of(self, model: ModelPlan) -> float:
        """The model's part of the users."""
        return model.capacity.users if model.capacity is not None else self.users * model.traffic.share

    @property
    def gpus_used(self) -> int:
        """GPUs that the replicas use before the autoscaler adds any."""
        return sum(model.replicas * model.gpus for model in self.models)
