"""The schema of each section of a stack file: strict models without defaults.

A field that is not set is `None`; `tierup.plan.resolve` chooses its value and gives a reason.
"""

import datetime
import re
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    create_model,
)
from pydantic.alias_generators import to_camel

from tierup.catalog import Precision
from tierup.catalog.engine import load_engines
from tierup.findings.model import Code

DECIMAL = r"^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$"


def _number(value: object) -> object:
    """Decimals arrive as strings from `pulumi config set --path`, which keeps only integers as numbers."""
    return float(value) if isinstance(value, str) and re.fullmatch(DECIMAL, value) else value


def _money(value: object) -> object:
    """A decimal with exactly the digits of the file."""
    if isinstance(value, str):
        return Decimal(value) if re.fullmatch(DECIMAL, value) else value
    return Decimal(str(value)) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _cidr(value: str) -> str:
    ip_network(value)  # a ValueError is reported as a wrong format
    if "/" not in value:
        raise ValueError("a load balancer needs networks with a prefix length")
    return value


DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)]
NodeName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._/]*[A-Za-z0-9])?$", max_length=45)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Money = Annotated[Decimal, BeforeValidator(_money), WithJsonSchema({"type": "number"})]
Image = Annotated[
    str, Field(pattern=r"^[a-z0-9./:_-]+(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$", max_length=300)
]
Cidr = Annotated[str, AfterValidator(_cidr)]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}[km]$")]


def size_bytes(text: str) -> int:
    """Bytes of a `Size` in the notation of Nginx."""
    return int(text[:-1]) * {"k": 1024, "m": 1024**2}[text[-1]]


class Strict(BaseModel):
    """Unknown keys and wrong types are errors; keys are camelCase in files, snake_case in code."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)


# The priority of a request without one: the middle of 0..100. Classes below it may wait.
NEUTRAL_PRIORITY = 50


class GeneratePath(StrEnum):
    """API paths that generate an answer."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    RESPONSES = "/v1/responses"
    EMBEDDINGS = "/v1/embeddings"


class ClassMatch(Strict):
    """How the gateway recognises requests of a class: all given conditions must hold."""

    max_tokens_from: Annotated[
        int | None, Field(ge=1, le=1_000_000, description="The request allows at least so many answer tokens")
    ] = None
    stream: bool | None = None
    paths: Annotated[list[GeneratePath] | None, Field(min_length=1)] = None
    models: Annotated[
        list[ModelName] | None, Field(min_length=1, description="Model names that clients use")
    ] = None


class WorkloadClass(Strict):
    """One kind of request: its size and its promised latency."""

    prompt_tokens: Annotated[int, Field(ge=1, le=1_000_000)]
    answer_tokens: Annotated[int, Field(ge=1, le=1_000_000)]
    ttft_ms: Annotated[Number, Field(gt=0, le=600_000, description="Promised time to the first token, ms")]
    tpot_ms: Annotated[Number, Field(gt=0, le=60_000, description="Promised time per output token, ms")]
    share: Annotated[Number, Field(gt=0, le=1, description="Share of the requests, 0..1")]
    priority: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description="Requests with a higher value are served first, on any engine; below 50 they may wait",
        ),
    ]
    match: ClassMatch | None = None

    @property
    def answer_seconds(self) -> float:
        """Seconds that a whole answer takes at the promised time per token."""
        return self.answer_tokens * self.tpot_ms / 1000


class Workload(Strict):
    """Who uses the service."""

    users: Annotated[int, Field(ge=1, le=100_000, description="People who use the service at the same time")]
    think_seconds: Annotated[
        Number | None,
        Field(ge=0, le=3600, description="Pause between an answer and the user's next request, s"),
    ] = None
    classes: Annotated[dict[DnsName, WorkloadClass] | None, Field(min_length=1)] = None


class Provider(StrEnum):
    """Where GPU servers come from: existing nodes, bare metal through metal3, or a cloud through Karpenter."""

    EXISTING = "existing"
    METAL3 = "metal3"
    KARPENTER = "karpenter"


class StandbyMode(StrEnum):
    """The state of spares: powered off, running without pods, or no spares."""

    COLD = "cold"
    WARM = "warm"
    NONE = "none"


class Standby(Strict):
    """Spare servers that take over when a server fails or the load grows."""

    mode: StandbyMode | None = None
    count: Annotated[int | None, Field(ge=0, le=100)] = None


class Tenure(StrEnum):
    """How the stack has its servers: bought, or rented by the hour."""

    OWNED = "owned"
    RENTED = "rented"


class Rent(Strict):
    """The offer at which servers are rented; what is left out takes the cheapest offer."""

    provider: Annotated[str | None, Field(min_length=1, description="As `tierup cost` names it")] = None
    region: Annotated[str | None, Field(min_length=1)] = None
    term_months: Annotated[
        int | None, Field(ge=1, le=120, description="Months that are committed; default: on demand")
    ] = None


class Nodes(Strict):
    """The GPU servers."""

    server: Annotated[str, Field(description="A server of the catalogue")]
    provider: Provider | None = None
    tenure: Tenure | None = None
    rent: Annotated[Rent | None, Field(description="Only with the tenure `rented`")] = None
    purchased: Annotated[
        datetime.date | None,
        Field(description="The day on which owned servers were bought; default: that of the server's quote"),
    ] = None
    count: Annotated[
        int | None, Field(ge=1, le=1000, description="GPU servers in service, without spares")
    ] = None
    standby: Standby | None = None
    names: Annotated[
        list[NodeName] | None,
        Field(min_length=1, description="Node names: servers in service first, then spares"),
    ] = None


if TYPE_CHECKING:

    class Engine(StrEnum):
        """The program that serves a model."""

else:
    # The members are the rows of the engine facts, so that an engine is added there alone.
    Engine = StrEnum("Engine", {name: name for name in load_engines()}, module=__name__)
    Engine.__doc__ = "The program that serves a model."


class KvCacheDtype(StrEnum):
    """How the KV cache is stored: in the model's data type, or in 8 bits."""

    AUTO = "auto"
    FP8 = "fp8"


class CacheKind(StrEnum):
    """Where model files are stored: in one shared volume, on each node, for each replica, or in an image volume."""

    SHARED = "shared"
    NODE = "node"
    REPLICA = "replica"
    IMAGE = "image"


class Parallelism(Strict):
    """How one replica is spread over GPUs."""

    tensor: Annotated[int | None, Field(ge=1, le=64)] = None
    pipeline: Annotated[int | None, Field(ge=1, le=64)] = None


class Cache(Strict):
    """Where the files of a model are stored."""

    kind: CacheKind | None = None
    storage_class: NodeName | None = None


class Model(Strict):
    """One served model; several entries may have the same id with different precisions."""

    id: Annotated[str, Field(description="A model of the catalogue")]
    name: Annotated[ModelName | None, Field(description="The name that clients use")] = None
    precision: Precision | None = None
    revision: Annotated[
        str | None, Field(pattern=r"^[0-9a-f]{40}$", description="Commit of the repository")
    ] = None
    engine: Engine | None = None
    parallelism: Parallelism | None = None
    replicas: Annotated[
        int | None, Field(ge=1, le=1000, description="Minimum number of replicas; the autoscaler adds more")
    ] = None
    context: Annotated[
        int | None, Field(ge=256, le=10_000_000, description="Tokens of prompt and answer together")
    ] = None
    max_num_seqs: Annotated[
        int | None, Field(ge=1, le=4096, description="Slots: requests that a replica runs at once")
    ] = None
    gpu_memory_utilization: Annotated[Number | None, Field(ge=0.1, le=0.98)] = None
    kv_cache_dtype: KvCacheDtype | None = None
    cache: Cache | None = None


class ServiceType(StrEnum):
    """How clients reach the gateway: only inside the cluster, or through a load balancer."""

    CLUSTER_IP = "ClusterIP"
    LOAD_BALANCER = "LoadBalancer"


class ApiKey(Strict):
    """What one caller may do. The key itself is the secret `key-NAME`, with several values while it is rotated."""

    classes: Annotated[list[DnsName] | None, Field(min_length=1, description="Default: all")] = None
    requests_per_second: Annotated[Number | None, Field(gt=0, le=100_000)] = None
    in_flight: Annotated[
        int | None, Field(ge=1, le=65_535, description="Requests that may run or wait at once")
    ] = None
    sets_priority: Annotated[
        bool | None,
        Field(description="Whether the `priority` of a request is used instead of that of its class"),
    ] = None


class Alias(Strict):
    """One name for several models: requests are split by weight or by class."""

    weights: Annotated[
        dict[ModelName, Annotated[Number, Field(gt=0, le=1e6)]] | None, Field(min_length=1)
    ] = None
    classes: Annotated[dict[DnsName, ModelName] | None, Field(min_length=1)] = None


class Gateway(Strict):
    """The Nginx gateway in front of the model servers."""

    replicas: Annotated[int | None, Field(ge=1, le=20)] = None
    keepalive_timeout_seconds: Annotated[int | None, Field(ge=1, le=3600)] = None
    client_body_buffer_size: Size | None = None
    max_body_size: Size | None = None
    queue_length: Annotated[
        int | None, Field(ge=0, le=100_000, description="Requests that may wait, per model")
    ] = None
    longform_cap: Annotated[
        Number | None, Field(gt=0, lt=1, description="Share of the slots that long jobs may use")
    ] = None
    service_type: ServiceType | None = None
    source_ranges: Annotated[list[Cidr] | None, Field(description="CIDRs that may reach a load balancer")] = (
        None
    )
    keys: Annotated[
        dict[DnsName, ApiKey] | None,
        Field(min_length=1, description="Callers; default: no keys, everyone with network access may call"),
    ] = None
    aliases: Annotated[dict[ModelName, Alias] | None, Field(min_length=1)] = None
    tls: Annotated[
        bool | None, Field(description="Needs the secrets tls-certificate and tls-key, both PEM")
    ] = None


class Autoscaling(Strict):
    """The HorizontalPodAutoscaler of the model servers."""

    enabled: bool | None = None
    max_replicas: Annotated[int | None, Field(ge=1, le=1000, description="Per model")] = None
    in_flight_target: Annotated[Number | None, Field(gt=0, le=1, description="Share of the slots in use")] = (
        None
    )
    queue_time_target_ms: Annotated[int | None, Field(ge=1, le=600_000)] = None
    cpu_target_percent: Annotated[int | None, Field(ge=1, le=100)] = None
    gpu_target_percent: Annotated[int | None, Field(ge=1, le=100)] = None
    scale_down_window_seconds: Annotated[int | None, Field(ge=0, le=3600)] = None


class MonitoringMode(StrEnum):
    """Who runs Prometheus and Grafana: tierup, or an operator in the cluster."""

    BUNDLED = "bundled"
    OPERATOR = "operator"


class Monitoring(Strict):
    """Prometheus and Grafana."""

    mode: MonitoringMode | None = None
    retention_days: Annotated[int | None, Field(ge=1, le=365)] = None
    storage_gib: Annotated[int | None, Field(ge=1, le=10_000)] = None
    storage_class: NodeName | None = None
    retain: Annotated[
        bool | None, Field(description="Keep the metrics volume when the stack is destroyed")
    ] = None
    scrape_interval_seconds: Annotated[int | None, Field(ge=1, le=300)] = None
    gpu_exporter: Annotated[
        str | None, Field(pattern=r"^[a-z0-9.-]+:[0-9]+$", description="DCGM exporter, name:port")
    ] = None
    node_exporter: Annotated[
        str | None, Field(pattern=r"^[a-z0-9.-]+:[0-9]+$", description="Node exporter, name:port")
    ] = None


class BudgetMode(StrEnum):
    """What exceeding the budget causes: a warning, or an error that stops the deployment."""

    ADVISORY = "advisory"
    MANDATORY = "mandatory"


class Budget(Strict):
    """Limits on the cost of the stack."""

    capex_usd: Annotated[
        Money | None,
        Field(gt=0, le=1_000_000_000, description="Purchase price of the hardware, spares included, USD"),
    ] = None
    monthly_usd: Annotated[
        Money | None,
        Field(gt=0, le=1_000_000_000, description="Cost of a month, amortisation included, USD"),
    ] = None
    max_increase_usd_per_month: Annotated[
        Money | None,
        Field(ge=0, le=1_000_000_000, description="Increase of the monthly cost by one change, USD"),
    ] = None
    mode: BudgetMode | None = None


class Quote(Strict):
    """Your own price, which replaces the catalogue's."""

    value: Annotated[Money, Field(ge=0, le=1_000_000_000)]
    unit: Annotated[
        str | None, Field(min_length=1, description="Unit of the price; must be the catalogue's")
    ] = None
    source: Annotated[
        str, Field(pattern=r"^\s*\S[\s\S]+\S\s*$", description="Who gave the price, and in which document")
    ]
    as_of: Annotated[datetime.date, Field(description="The date of the quote")]


class Currency(Strict):
    """The currency in which costs are shown, with a dated exchange rate; prices and budgets stay in USD."""

    code: Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217, such as EUR")]
    per_usd: Annotated[Money, Field(gt=0, le=1_000_000, description="Units of the currency for one USD")]
    source: Annotated[
        str, Field(pattern=r"^\s*\S[\s\S]+\S\s*$", description="Who gave the rate, and in which document")
    ]
    as_of: Annotated[datetime.date, Field(description="The date of the rate")]


class Cost(Strict):
    """Your own prices and cost factors, and the currency of the reports."""

    currency: Currency | None = None

    quotes: Annotated[
        dict[NodeName, Quote] | None,
        Field(min_length=1, description="Prices by an id of tierup/catalog/prices.yaml or of a server"),
    ] = None


class ImagesSection(Strict):
    """Container images, pinned by version or digest."""

    def by_key(self) -> dict[str, str | None]:
        """Each key of the section with its image; None where the file names none."""
        return {key: getattr(self, key) for key in type(self).model_fields}


def _image_keys() -> dict[str, str | None]:
    """The keys and their descriptions: the images of the engines, then those of gateway and monitoring."""
    keys: dict[str, str | None] = {}
    for facts in load_engines().values():
        keys[facts.image.key] = None
        keys.update({image.key: image.about for image in facts.format_images.values()})
    others = {"nginx": None, "prometheus": None, "grafana": None}
    return {**keys, **others, "reloader": "Python image of the sidecar of Nginx"}


_IMAGE_FIELDS: dict[str, Any] = {
    key: (Image | None, Field(default=None, description=about)) for key, about in _image_keys().items()
}
Images = create_model("Images", __base__=ImagesSection, __doc__=ImagesSection.__doc__, **_IMAGE_FIELDS)


class Cluster(Strict):
    """The cluster of the stack."""

    kubeconfig: Annotated[str | None, Field(min_length=1, description="Path; default: that of kubectl")] = (
        None
    )
    context: Annotated[str | None, Field(min_length=1)] = None
    namespace: DnsName | None = None


class Acceptance(Strict):
    """A warning that is accepted. It is still shown, with the reason."""

    code: Annotated[Code, Field(description="A warning, see docs/findings.md")]
    path: Annotated[
        str | None,
        Field(min_length=1, description="The path of the warning; default: any path"),
    ] = None
    reason: Annotated[
        str, Field(pattern=r"^\s*\S[\s\S]{8,}\S\s*$", description="The reason, for readers of the file")
    ]
