"""The schema of each section of a stack file: strict models without defaults.

A field that is not set is `None`; `tierup.plan.resolve` chooses its value and gives a reason.
"""

import datetime
import re
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_network
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    Tag,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

from tierup.catalog import Precision
from tierup.catalog.engine import DEFAULT_ENGINE, load_engines
from tierup.catalog.repository import COMMIT, REPO
from tierup.findings.model import Code
from tierup.stack.key import key

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


OFF = "none"  # switches a setting off that has a default


def _off(value: object) -> object:
    """`off` and `none`; YAML reads a plain `off` as false."""
    return OFF if value is False or value == "off" else value


def _inside(value: str) -> str:
    if ".." in PurePosixPath(value).parts:
        raise ValueError("the path has no ..: it stays in its folder")
    return value


def _by_form(value: object) -> str:
    return "[secret]" if isinstance(value, dict | SecretKey) else "[text]"


def _issued(value: object) -> str:
    return "[issuer]" if isinstance(value, dict | Tls) else "[switch]"


def _certificates(value: str) -> str:
    if "PRIVATE KEY" in value:
        raise ValueError("a bundle of authorities has no private key")
    from cryptography import x509  # few stacks have a bundle, and each command would wait for the import

    x509.load_pem_x509_certificates(value.encode())  # a ValueError is reported as a wrong format
    return value


def _origin(value: str) -> str:
    scheme, _, rest = value.partition("://")
    if rest.rpartition(":")[2] == {"https": "443", "http": "80"}.get(scheme):
        raise ValueError("browsers leave out the default port")
    return value


DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
NodeName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9._/]*[A-Za-z0-9])?$", max_length=45)]
Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Money = Annotated[Decimal, BeforeValidator(_money), WithJsonSchema({"type": "number"})]
Image = Annotated[
    str, Field(pattern=r"^[a-z0-9./:_-]+(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$", max_length=300)
]
ParserName = Annotated[
    str, BeforeValidator(_off), Field(pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*$", max_length=60)
]
OptionName = Annotated[str, Field(min_length=1, max_length=80)]  # checked against the engine's own
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
FileName = Annotated[
    str,
    BeforeValidator(_off),
    Field(pattern=r"^[A-Za-z0-9_][-A-Za-z0-9_./]*$", max_length=200),
    AfterValidator(_inside),
]
Cidr = Annotated[str, AfterValidator(_cidr)]
Origin = Annotated[
    str,
    Field(
        pattern=r"^(\*|[a-z][a-z0-9+.-]*://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[1-9][0-9]{0,4})?)$",
        max_length=300,
    ),
    AfterValidator(_origin),
]
EXAMPLE_CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIHFMHmgAwIBAgIBATAFBgMrZXAwDTELMAkGA1UEAwwCQ0EwHhcNMjYwMTAxMDAw
MDAwWhcNMzYwMTAxMDAwMDAwWjANMQswCQYDVQQDDAJDQTAqMAUGAytlcAMhAPrW
Y+zlQ79KLQF/KISPOjP9WLuIuRfy8RYXUkXCrQf2MAUGAytlcANBAHDIuEtUjD4Z
775hcCHWdKTFY5XtIyo+JiKOc8eaacogQAZuU5awgsc6qlKj2sgJDrqiRDsHyaAE
EC+YuwodRQw=
-----END CERTIFICATE-----
"""
Certificates = Annotated[str, AfterValidator(_certificates)]
# Without user and password: they would stand in clear in the plan and in the pods.
Url = Annotated[
    str, Field(pattern=r"^https?://[A-Za-z0-9.-]+(:[1-9][0-9]{0,4})?(/[A-Za-z0-9._~/-]*)?$", max_length=300)
]
Host = Annotated[str, Field(pattern=r"^\.?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", max_length=253)]
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
HostName = Annotated[str, Field(pattern=rf"^(\*\.)?{_LABEL}(\.{_LABEL})*$", max_length=253)]
Annotation = Annotated[
    str,
    Field(
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        max_length=317,
    ),
]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,5}[km]$")]


def size_bytes(text: str) -> int:
    """Bytes of a `Size` in the notation of Nginx."""
    return int(text[:-1]) * {"k": 1024, "m": 1024**2}[text[-1]]


# What others call a key of a model.
_OTHER_WORDS = {
    "args": "engineArgs",
    "vllm": "engineArgs",
    "env": "env",
    "tool": "toolCallParser",
    "lora": "adapters",
}


class Strict(BaseModel):
    """Unknown keys and wrong types are errors; keys are camelCase in files, snake_case in code."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)

    @classmethod
    def hint(cls, _word: str, near: str) -> str:
        """What to write instead of an unknown key; `near` names the most similar key, and may be empty."""
        return near


# The priority of a request without one: the middle of 0..100. Classes below it may wait.
NEUTRAL_PRIORITY = 50


class GeneratePath(StrEnum):
    """API paths that an engine answers."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    RESPONSES = "/v1/responses"
    MESSAGES = "/v1/messages"
    COUNT_TOKENS = "/v1/messages/count_tokens"
    EMBEDDINGS = "/v1/embeddings"
    RERANK = "/v1/rerank"
    SCORE = "/v1/score"


class ClassMatch(Strict):
    """How the gateway recognises requests of a class: all given conditions must hold."""

    max_tokens_from: Annotated[
        int | None,
        key("The request allows at least this many answer tokens", 1000, "tokens", ge=1, le=1_000_000),
    ] = None
    stream: Annotated[bool | None, key("Whether the request asks for a stream", True)] = None
    paths: Annotated[
        list[GeneratePath] | None, key("The API paths of the request", ["/v1/chat/completions"], min_length=1)
    ] = None
    models: Annotated[
        list[ModelName] | None, key("The model names that the request asks for", ["qwen2.5-7b"], min_length=1)
    ] = None


class WorkloadClass(Strict):
    """One kind of request: its size and its promised latency."""

    prompt_tokens: Annotated[int, key("Length of a typical prompt", 512, "tokens", ge=1, le=1_000_000)]
    answer_tokens: Annotated[int, key("Length of a typical answer", 200, "tokens", ge=1, le=1_000_000)]
    ttft_ms: Annotated[Number, key("Promised time to the first token", 500, "ms", gt=0, le=600_000)]
    tpot_ms: Annotated[
        Number, key("Promised time for each further token of the answer", 50, "ms", gt=0, le=60_000)
    ]
    share: Annotated[
        Number,
        key("Share of all requests; the shares of all classes add up to 1", 0.8, "share, 0 to 1", gt=0, le=1),
    ]
    priority: Annotated[
        int,
        key(
            "Requests with a higher value are served first, on any engine; below 50 they may wait",
            80,
            "rank, 0 to 100",
            ge=0,
            le=100,
        ),
    ]
    shared_prefix: Annotated[
        Number | None,
        key(
            "Part of the prompt that the engine finds in its prefix cache: system prompts, earlier turns",
            0.6,
            "share, 0 to 1",
            ge=0,
            le=1,
        ),
    ] = None
    match: Annotated[
        ClassMatch | None,
        key("How the gateway recognises requests of this class; by default from their answer tokens"),
    ] = None

    @property
    def cached_part(self) -> float:
        """The part (0..1) of the prompt that is cached; nothing is where the file says nothing."""
        return 0.0 if self.shared_prefix is None else self.shared_prefix

    @property
    def answer_seconds(self) -> float:
        """Seconds that a whole answer takes at the promised time per token."""
        return self.answer_tokens * self.tpot_ms / 1000


class Workload(Strict):
    """Who uses the service."""

    users: Annotated[int, key("People who use the service at the same time", 40, "people", ge=1, le=100_000)]
    think_seconds: Annotated[
        Number | None, key("Pause between an answer and the user's next request", 20, "s", ge=0, le=3600)
    ] = None
    classes: Annotated[
        dict[DnsName, WorkloadClass] | None,
        key("Kinds of requests by name, with their sizes and promised latencies", min_length=1),
    ] = None


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

    mode: Annotated[
        StandbyMode | None,
        key("State of the spare servers: powered off, running without pods, or none", "cold"),
    ] = None
    count: Annotated[int | None, key("Number of spare servers", 1, "servers", ge=0, le=100)] = None


class Tenure(StrEnum):
    """How the stack has its servers: bought, or rented by the hour."""

    OWNED = "owned"
    RENTED = "rented"


class Rent(Strict):
    """The offer at which servers are rented; what is left out takes the cheapest offer."""

    provider: Annotated[
        str | None, key("Who rents the servers out, as `tierup cost` names it", "Lambda", min_length=1)
    ] = None
    region: Annotated[
        str | None, key("Region of the offer, as its source names it", "us-west-1", min_length=1)
    ] = None
    term_months: Annotated[
        int | None, key("Months to which one commits; on demand by default", 12, "months", ge=1, le=120)
    ] = None


class Sharing(Strict):
    """How every card is shared by engines; exactly one of the two."""

    mig: Annotated[str | None, key("MIG profile into which every card is cut", "3g.40gb", max_length=40)] = (
        None
    )
    time_slices: Annotated[
        int | None,
        key("Engines that take turns on every card; its memory is not isolated", 2, "engines", ge=2, le=16),
    ] = None


class Nodes(Strict):
    """The GPU servers."""

    server: Annotated[
        str, key("A server of the catalogue; `tierup catalog list servers` prints them", "entry-2x-rtx-4090")
    ]
    provider: Annotated[
        Provider | None, key("Where the servers come from; only `existing` is supported yet", "existing")
    ] = None
    tenure: Annotated[Tenure | None, key("How the stack has its servers: bought, or rented", "rented")] = None
    rent: Annotated[Rent | None, key("The offer at which servers are rented; only with tenure `rented`")] = (
        None
    )
    purchased: Annotated[
        datetime.date | None,
        key(
            "Day on which owned servers were bought; by default the date of the server's quote", "2026-10-01"
        ),
    ] = None
    count: Annotated[
        int | None, key("GPU servers in service, without spares", 2, "servers", ge=1, le=1000)
    ] = None
    sharing: Annotated[Sharing | None, key("How engines share the cards; by default each has its own")] = None
    standby: Annotated[
        Standby | None, key("Spare servers that take over when one fails or the load grows")
    ] = None
    names: Annotated[
        list[NodeName] | None,
        key("Names of the cluster's nodes: servers in service first, then spares", ["gpu-1"], min_length=1),
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

    tensor: Annotated[
        int | None,
        key("GPUs that share each layer; it must divide the model's attention heads", 2, "GPUs", ge=1, le=64),
    ] = None
    pipeline: Annotated[
        int | None, key("Stages of layers, each on GPUs of its own", 2, "stages", ge=1, le=64)
    ] = None


class Cache(Strict):
    """Where the files of a model are stored."""

    kind: Annotated[
        CacheKind | None,
        key("Where the files are stored: in one volume for all servers, or on each server", "shared"),
    ] = None
    storage_class: Annotated[
        NodeName | None, key("Storage class of the shared volume; several servers need ReadWriteMany", "nfs")
    ] = None


class WeightsFrom(StrEnum):
    """Where the files of a model come from; those of a claim, a folder or an image are there and are not fetched."""

    HUB = "hub"
    MODEL_SCOPE = "modelScope"
    S3 = "s3"
    CLAIM = "claim"
    FOLDER = "folder"
    IMAGE = "image"


class Weights(Strict):
    """Where the files of the model come from; each source has keys of its own."""

    source: Annotated[
        WeightsFrom,
        key(
            "The model hub or its mirror, ModelScope, S3-compatible storage, or files that are in the cluster: "
            "in a volume claim, in a folder of each node, or in an image",
            "s3",
            alias="from",
        ),
    ]
    repo: Annotated[
        str | None,
        key(
            "Repository of ModelScope; by default it has the name of the hub's",
            "Qwen/Qwen2.5-7B-Instruct",
            pattern=r"^[\w.-]+/[\w.-]+$",
            max_length=200,
        ),
    ] = None
    url: Annotated[
        str | None,
        key(
            "Bucket of S3-compatible storage and the prefix of the files in it",
            "s3://models/qwen2.5-7b",
            pattern=r"^s3://[a-z0-9][-a-z0-9.]{1,61}[a-z0-9](/[A-Za-z0-9._~/=+-]*)?$",
            max_length=500,
        ),
    ] = None
    sha256: Annotated[
        str | None,
        key(
            "SHA-256 of the file SHA256SUMS that lies beside the files in the bucket and lists the SHA-256 of each",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            pattern=r"^[0-9a-f]{64}$",
        ),
    ] = None
    endpoint: Annotated[
        Url | None,
        key(
            "Address of the storage or of ModelScope, if it is not the public one",
            "https://minio.example.com:9000",
        ),
    ] = None
    region: Annotated[
        str | None,
        key("Region of the bucket; us-east-1 by default", "eu-central-1", pattern=r"^[a-z0-9-]{1,40}$"),
    ] = None
    path_style: Annotated[
        bool | None,
        key(
            "Whether the bucket is in the path of URLs, not in the host; by default with an endpoint of one's own",
            True,
        ),
    ] = None
    claim: Annotated[
        NodeName | None, key("Name of the volume claim in the stack's namespace", "team-models")
    ] = None
    folder: Annotated[
        str | None,
        key(
            "Folder of the files in the claim or image, by default its root; of `from: folder`, the absolute path on "
            "each node",
            "qwen2.5-7b",
            pattern=r"^/?[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$",
            max_length=200,
        ),
        AfterValidator(_inside),
    ] = None
    image: Annotated[
        Image | None, key("Image that holds the files", "registry.example.com/qwen2.5-7b:2026-11-01")
    ] = None


class SecretKey(Strict):
    """A value from a Secret of the namespace, which the stack does not make."""

    secret: Annotated[NodeName, key("Name of the Secret", "cache-server")]
    key: Annotated[str, key("Key in the Secret", "password", pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)]


# The names in brackets are left out of paths of findings.
EnvValue = Annotated[
    Annotated[str, Tag("[text]")] | Annotated[SecretKey, Tag("[secret]")], Discriminator(_by_form)
]


class Adapter(Strict):
    """A LoRA adapter of the model, which the same engine serves under a name of its own."""

    name: Annotated[ModelName, key("The name that clients use", "support")]
    repo: Annotated[
        str,
        key(
            "Repository of the adapter",
            "acme/qwen-support-lora",
            pattern=r"^[\w.-]+/[\w.-]+$",
            max_length=200,
        ),
    ]
    revision: Annotated[
        str | None,
        key(
            "Commit of the adapter's repository",
            "a09a35458c702b33eeacc393d103063234e8bc28",
            pattern=r"^[0-9a-f]{40}$",
        ),
    ] = None
    rank: Annotated[
        int | None, key("Rank of the adapter: `r` in its adapter_config.json", 16, "rank", ge=1, le=4096)
    ] = None


class SpeculativeMethod(StrEnum):
    """What guesses the next tokens."""

    NGRAM = "ngram"


class Speculative(Strict):
    """Speculative decoding: the engine guesses the next tokens, and checks all guesses in one step."""

    method: Annotated[
        SpeculativeMethod,
        key("What guesses: `ngram` looks up what followed the same tokens earlier in the request", "ngram"),
    ]
    tokens: Annotated[int, key("Tokens that are guessed at once", 5, "tokens", ge=1, le=64)]
    prompt_lookup_min: Annotated[
        int | None, key("The fewest last tokens that must have occurred before", 2, "tokens", ge=1, le=1024)
    ] = None
    prompt_lookup_max: Annotated[
        int | None, key("The most last tokens that are looked up", 5, "tokens", ge=1, le=1024)
    ] = None


_NO_MODEL = "add `id:`, or `source:` for a model of your own"


class ModelSource(Strict):
    """A model that is not in the catalogue: its repository, and the file with what tierup knows of it."""

    repo: Annotated[
        str,
        key("Repository of the model", "acme/support-7b", pattern=REPO, max_length=200),
    ]
    revision: Annotated[
        str,
        key(
            "Commit of the repository",
            "a09a35458c702b33eeacc393d103063234e8bc28",
            pattern=COMMIT,
        ),
    ]
    config: Annotated[
        FileName,
        key(
            "File that `tierup model add` wrote, from the stack file's folder", "models/acme--support-7b.json"
        ),
    ]


class Model(Strict):
    """One served model, of the catalogue or of one's own; several entries may have the same id or source."""

    id: Annotated[
        str | None,
        key(
            "A model of the catalogue; `tierup catalog list models` prints them. Either this or source",
            "qwen2.5-7b",
        ),
    ] = None
    source: Annotated[
        ModelSource | None, key("A model that is not in the catalogue, instead of id; see docs/models.md")
    ] = None
    name: Annotated[ModelName | None, key("The name that clients use", "chat-large")] = None
    precision: Annotated[Precision | None, key("How the weights are stored and computed", "fp8")] = None
    revision: Annotated[
        str | None,
        key(
            "Commit of the model's repository",
            "a09a35458c702b33eeacc393d103063234e8bc28",
            pattern=r"^[0-9a-f]{40}$",
        ),
    ] = None
    engine: Annotated[Engine | None, key("The program that serves the model", "vllm")] = None
    share: Annotated[
        Number | None,
        key(
            "Share of all requests that this model serves; without it, the gateway's aliases and the classes' "
            "match.models decide",
            0.9,
            "share, 0 to 1",
            gt=0,
            le=1,
        ),
    ] = None
    parallelism: Annotated[Parallelism | None, key("How one replica is spread over GPUs")] = None
    replicas: Annotated[
        int | None, key("Minimum number of replicas; the autoscaler adds more", 2, "replicas", ge=1, le=1000)
    ] = None
    context: Annotated[
        int | None, key("Prompt and answer together, at most", 8192, "tokens", ge=256, le=10_000_000)
    ] = None
    max_num_seqs: Annotated[
        int | None, key("Slots: requests that a replica runs at once", 16, "requests", ge=1, le=4096)
    ] = None
    gpu_memory_utilization: Annotated[
        Number | None,
        key("Share of a GPU's memory that the engine takes", 0.9, "share, 0 to 1", ge=0.1, le=0.98),
    ] = None
    kv_cache_dtype: Annotated[
        KvCacheDtype | None, key("How the KV cache is stored: in the model's data type, or in 8 bits", "fp8")
    ] = None
    weights: Annotated[Weights | None, key("Where the files of the model come from; by default the hub")] = (
        None
    )
    cache: Annotated[Cache | None, key("Where the fetched files of the model are stored")] = None
    cpu: Annotated[int | None, key("CPUs of one replica", 4, "CPUs", ge=1, le=512)] = None
    memory_gib: Annotated[
        int | None, key("Memory of one replica, beside its shared memory", 12, "GiB", ge=2, le=4096)
    ] = None
    tool_call_parser: Annotated[
        ParserName | None,
        key(
            "What finds tool calls in the model's text; with `none`, requests with tools are refused",
            "hermes",
        ),
    ] = None
    reasoning_parser: Annotated[
        ParserName | None,
        key("What separates the model's reasoning from its answer; with `none`, they stay one text", "qwen3"),
    ] = None
    chat_template: Annotated[
        FileName | None,
        key(
            "File with the Jinja template of prompts, from the stack file's folder; `none` is the model's own",
            "templates/chat.jinja",
        ),
    ] = None
    kv_offload_gib: Annotated[
        Number | None,
        key(
            "Memory of the host, of each replica, for parts of the KV cache that do not fit its GPUs; none by default",
            32,
            "GiB",
            gt=0,
            le=10_000,
        ),
    ] = None
    speculative: Annotated[
        Speculative | None,
        key(
            "Guesses of the next tokens, which raise the speed of texts that repeat themselves; none by default"
        ),
    ] = None
    adapters: Annotated[
        list[Adapter] | None,
        key("LoRA adapters of the model, each served under a name of its own", min_length=1, max_length=100),
    ] = None
    engine_args: Annotated[
        dict[OptionName, Any] | None,
        key(
            "Options of the engine that no key is for, by their names without `--`; true and false are for switches",
            {"max-num-batched-tokens": 4096},
        ),
    ] = None
    env: Annotated[
        dict[EnvName, EnvValue] | None,
        key(
            "Environment of the engine: texts, or secrets as `{secret: NAME, key: KEY}`",
            {"VLLM_LOGGING_LEVEL": "WARNING"},
        ),
    ] = None

    @model_validator(mode="wrap")
    @classmethod
    def _names_a_model(cls, data: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Reports a missing name beside whatever else is wrong with the entry."""
        errors: list[InitErrorDetails] = []
        if isinstance(data, dict) and data.get("id") is None and data.get("source") is None:
            errors.append(
                {
                    "type": PydanticCustomError("missing", "", {"fix": _NO_MODEL}),
                    "loc": ("id",),
                    "input": data,
                }
            )
        try:
            made = validate(data)
        except ValidationError as error:
            errors.extend(cast(list[InitErrorDetails], error.errors(include_url=False)))
        if errors:
            raise ValidationError.from_exception_data("Model", errors)
        return made

    @property
    def spec_id(self) -> str:
        """What the model is known by: its id, or the repository and commit of one's own."""
        if self.source is not None:
            return f"{self.source.repo}@{self.source.revision[:12]}"
        assert self.id is not None
        return self.id

    @property
    def plain_name(self) -> str:
        """The name by which it is served where nothing else is said."""
        if self.source is None:
            return self.spec_id
        return self.source.repo.partition("/")[2][:45].strip("-._")

    @classmethod
    def hint(cls, word: str, near: str) -> str:
        """What to write instead of an unknown key, which may be the name of an option of the engine."""
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", word).lower().replace("_", "-").lstrip("-")
        facts = load_engines()[DEFAULT_ENGINE]
        owner = facts.owned.get(name)
        if owner is not None:
            return f"use {owner.removeprefix('models[].')}"
        if facts.options is not None and f"--{name}" in facts.options.options and name not in facts.owned:
            return f"write {name} below engineArgs"
        return near or next((f"use {right}" for wrong, right in _OTHER_WORDS.items() if wrong in name), "")


class ServiceType(StrEnum):
    """How clients reach the gateway's Service: only inside the cluster, at a port of every node, or a load balancer."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class Balance(StrEnum):
    """How requests are spread over the replicas of a model: where their beginning is cached, or where fewest are."""

    PREFIX = "prefix"
    LEAST_CONNECTIONS = "leastConnections"


class IssuerKind(StrEnum):
    """Where cert-manager's issuer is: in the stack's namespace, or in the whole cluster."""

    ISSUER = "Issuer"
    CLUSTER_ISSUER = "ClusterIssuer"


class Issuer(Strict):
    """An issuer of cert-manager that exists in the cluster."""

    name: Annotated[NodeName, key("Name of the issuer", "letsencrypt")]
    kind: Annotated[
        IssuerKind | None,
        key("Its kind; ClusterIssuer by default, as no Issuer is in a new namespace", "ClusterIssuer"),
    ] = None


class Tls(Strict):
    """A certificate that cert-manager issues and renews, instead of the secrets tls-certificate and tls-key."""

    issuer: Annotated[Issuer, key("The issuer of cert-manager, which the stack does not make")]
    hosts: Annotated[
        list[HostName] | None,
        key(
            "Names in the gateway's certificate; by default those of its Service",
            ["llm.example.com"],
            min_length=1,
        ),
    ] = None


class Ingress(Strict):
    """An Ingress before the gateway: a controller of the cluster takes the clients' requests and ends their TLS."""

    class_name: Annotated[NodeName, key("Name of the IngressClass", "nginx")]
    host: Annotated[HostName, key("The host that clients use", "llm.example.com")]
    tls_secret: Annotated[
        NodeName | None,
        key(
            "The TLS Secret of the host in the stack's namespace; with `tls.issuer` its name",
            "llm-example-com",
        ),
    ] = None
    annotations: Annotated[
        dict[Annotation, str] | None,
        key(
            "Annotations for the controller; they replace those of the same name that tierup writes",
            {"alb.ingress.kubernetes.io/scheme": "internal"},
            min_length=1,
        ),
    ] = None
    controller_namespace: Annotated[
        Namespace | None,
        key("Namespace of the controller's pods, which may then call beside `namespaces`", "ingress-nginx"),
    ] = None


class ParentRef(Strict):
    """A Gateway that exists in the cluster."""

    name: Annotated[NodeName, key("Name of the Gateway", "public")]
    namespace: Annotated[Namespace | None, key("Its namespace; by default the stack's own", "gateways")] = (
        None
    )
    section_name: Annotated[
        NodeName | None, key("The one listener of it that serves; all by default", "https")
    ] = None


class HttpRoute(Strict):
    """An HTTPRoute of the Gateway API: Gateways of the cluster take the clients' requests and end their TLS."""

    parent_refs: Annotated[
        list[ParentRef], key("The Gateways that serve the route", min_length=1, max_length=32)
    ]
    hostnames: Annotated[
        list[HostName] | None,
        key(
            "The hosts that clients use; by default those of the listener", ["llm.example.com"], min_length=1
        ),
    ] = None
    controller_namespace: Annotated[
        Namespace | None,
        key("Namespace of the Gateway's pods; by default that of the Gateway", "envoy-gateway-system"),
    ] = None


class ApiKey(Strict):
    """What one caller may do. The key itself is the secret `key-NAME`, with several values while it is rotated."""

    classes: Annotated[
        list[DnsName] | None, key("Classes that the caller may use; all by default", ["chat"], min_length=1)
    ] = None
    requests_per_second: Annotated[
        Number | None,
        key("Requests that the caller may send; no limit by default", 5, "requests/s", gt=0, le=100_000),
    ] = None
    in_flight: Annotated[
        int | None,
        key(
            "Requests of the caller that may run or wait at once; no limit by default",
            10,
            "requests",
            ge=1,
            le=65_535,
        ),
    ] = None
    sets_priority: Annotated[
        bool | None,
        key(
            "Whether the `priority` of a request is used instead of that of its class; false by default", True
        ),
    ] = None
    tokens_per_minute: Annotated[
        int | None,
        key(
            "Tokens of prompts and answers that the caller may use in a minute; needs `meterTokens`",
            100_000,
            "tokens",
            ge=1,
            le=10**12,
        ),
    ] = None
    tokens_per_day: Annotated[
        int | None,
        key(
            "Tokens of prompts and answers that the caller may use in a day, UTC; needs `meterTokens`",
            5_000_000,
            "tokens",
            ge=1,
            le=10**12,
        ),
    ] = None


class Alias(Strict):
    """One name for several models: requests are split by weight or by class."""

    weights: Annotated[
        dict[ModelName, Annotated[Number, Field(gt=0, le=1e6)]] | None,
        key("Models with their parts of the requests", {"qwen2.5-7b": 1}, min_length=1),
    ] = None
    classes: Annotated[
        dict[DnsName, ModelName] | None,
        key("The model that serves each class", {"chat": "qwen2.5-7b"}, min_length=1),
    ] = None


class Gateway(Strict):
    """The Nginx gateway in front of the model servers."""

    replicas: Annotated[int | None, key("Nginx pods", 2, "pods", ge=1, le=20)] = None
    keepalive_timeout_seconds: Annotated[
        int | None, key("How long an idle connection of a client stays open", 60, "s", ge=1, le=3600)
    ] = None
    client_body_buffer_size: Annotated[
        Size | None,
        key("Buffer for the body of a request, in the notation of Nginx: k is KiB, m is MiB", "128k"),
    ] = None
    max_body_size: Annotated[
        Size | None, key("Largest body of a request, in the notation of Nginx: k is KiB, m is MiB", "2m")
    ] = None
    queue_length: Annotated[
        int | None,
        key(
            "Requests that may wait for a slot, for each model; one more gets status 429",
            64,
            "requests",
            ge=0,
            le=100_000,
        ),
    ] = None
    read_timeout_seconds: Annotated[
        int | None,
        key(
            "How long the gateway waits for the next part of an answer; by default for the longest one",
            600,
            "s",
            ge=30,
            le=86_400,
        ),
    ] = None
    longform_cap: Annotated[
        Number | None,
        key(
            "Share of the slots that classes with a priority below 50 may use",
            0.5,
            "share, 0 to 1",
            gt=0,
            lt=1,
        ),
    ] = None
    balance: Annotated[
        Balance | None,
        key(
            "How requests are spread over a model's replicas: to the one with the fewest, or to the one that has the "
            "prompt's beginning in its cache",
            "prefix",
        ),
    ] = None
    service_type: Annotated[
        ServiceType | None,
        key(
            "How clients reach the gateway: inside the cluster, at a port of the nodes, or through a load balancer",
            "LoadBalancer",
        ),
    ] = None
    node_port: Annotated[
        int | None, key("Port of the nodes for the service type NodePort", 30080, "port", ge=1, le=65_535)
    ] = None
    service_annotations: Annotated[
        dict[Annotation, str] | None,
        key(
            "Annotations of the gateway's Service, for the load balancers of a cloud",
            {"service.beta.kubernetes.io/aws-load-balancer-type": "external"},
            min_length=1,
        ),
    ] = None
    source_ranges: Annotated[
        list[Cidr] | None,
        key(
            "Networks of the clients of a load balancer or NodePort, or of an ingress outside the pods' network",
            ["192.0.2.0/24"],
        ),
    ] = None
    ingress: Annotated[
        Ingress | None, key("An Ingress before the gateway, instead of a service type that exposes it")
    ] = None
    http_route: Annotated[
        HttpRoute | None, key("An HTTPRoute of the Gateway API before the gateway, instead of an Ingress")
    ] = None
    namespaces: Annotated[
        list[Namespace] | None,
        key(
            "Namespaces of the cluster whose pods may call the gateway; all by default",
            ["chat-app"],
            min_length=1,
        ),
    ] = None
    allowed_origins: Annotated[
        list[Origin] | None,
        key(
            "Web origins whose pages may call the gateway from a browser, `*` for any; none by default",
            ["https://chat.example.com"],
            min_length=1,
        ),
    ] = None
    keys: Annotated[
        dict[DnsName, ApiKey] | None,
        key("Callers by name; without any, everyone with network access may call", min_length=1),
    ] = None
    meter_tokens: Annotated[
        bool | None,
        key("Whether the gateway counts tokens, for its log, `tierup usage` and budgets of callers", True),
    ] = None
    aliases: Annotated[
        dict[ModelName, Alias] | None,
        key("Names that stand for several models, or for one under another name", min_length=1),
    ] = None
    tls: Annotated[
        Annotated[Annotated[bool, Tag("[switch]")] | Annotated[Tls, Tag("[issuer]")], Discriminator(_issued)]
        | None,
        key(
            "Whether the gateway serves HTTPS, with the secrets tls-certificate and tls-key, both PEM; or the issuer "
            "of its certificate",
            True,
        ),
    ] = None


class Autoscaling(Strict):
    """The HorizontalPodAutoscaler of the model servers."""

    enabled: Annotated[
        bool | None, key("Whether a HorizontalPodAutoscaler changes the number of replicas", False)
    ] = None
    max_replicas: Annotated[
        int | None, key("Largest number of replicas, for each model", 4, "replicas", ge=1, le=1000)
    ] = None
    in_flight_target: Annotated[
        Number | None,
        key("Share of the slots in use above which replicas are added", 0.75, "share, 0 to 1", gt=0, le=1),
    ] = None
    queue_time_target_ms: Annotated[
        int | None,
        key("Mean time in the engine's queue above which replicas are added", 500, "ms", ge=1, le=600_000),
    ] = None
    cpu_target_percent: Annotated[
        int | None, key("CPU utilisation above which replicas are added", 90, "%", ge=1, le=100)
    ] = None
    gpu_target_percent: Annotated[
        int | None, key("GPU utilisation above which replicas are added", 95, "%", ge=1, le=100)
    ] = None
    scale_down_window_seconds: Annotated[
        int | None,
        key("How long the load must be lower before replicas are removed", 300, "s", ge=0, le=3600),
    ] = None


class MonitoringMode(StrEnum):
    """Who runs Prometheus and Grafana: tierup, or an operator in the cluster."""

    BUNDLED = "bundled"
    OPERATOR = "operator"


class Monitoring(Strict):
    """Prometheus and Grafana."""

    mode: Annotated[
        MonitoringMode | None,
        key("Who runs Prometheus and Grafana; only `bundled` is supported yet", "bundled"),
    ] = None
    retention_days: Annotated[int | None, key("How long metrics are kept", 15, "days", ge=1, le=365)] = None
    storage_gib: Annotated[
        int | None, key("Size of the volume of the metrics", 20, "GiB", ge=1, le=10_000)
    ] = None
    storage_class: Annotated[
        NodeName | None, key("Storage class of the volume of the metrics", "local-path")
    ] = None
    retain: Annotated[
        bool | None, key("Whether the volume of the metrics is kept when the stack is destroyed", True)
    ] = None
    scrape_interval_seconds: Annotated[
        int | None, key("Time between two measurements", 15, "s", ge=1, le=300)
    ] = None
    gpu_exporter: Annotated[
        str | None,
        key(
            "Address of the DCGM exporter, as name:port",
            "nvidia-dcgm-exporter.gpu-operator.svc.cluster.local:9400",
            pattern=r"^[a-z0-9.-]+:[0-9]+$",
        ),
    ] = None
    node_exporter: Annotated[
        str | None,
        key(
            "Address of the node exporter, as name:port",
            "node-exporter.monitoring.svc.cluster.local:9100",
            pattern=r"^[a-z0-9.-]+:[0-9]+$",
        ),
    ] = None
    alertmanager: Annotated[
        str | None,
        key(
            "Address of the Alertmanager that sends the alerts on, as name:port; without it they are on Prometheus's "
            "page only",
            "alertmanager-operated.monitoring.svc.cluster.local:9093",
            pattern=r"^[a-z0-9.-]+:[0-9]+$",
        ),
    ] = None


class BudgetMode(StrEnum):
    """What exceeding the budget causes: a warning, or an error that stops the deployment."""

    ADVISORY = "advisory"
    MANDATORY = "mandatory"


class Budget(Strict):
    """Limits on the cost of the stack."""

    capex_usd: Annotated[
        Money | None,
        key(
            "Limit of the purchase price of the hardware, spares included",
            20000,
            "USD",
            gt=0,
            le=1_000_000_000,
        ),
    ] = None
    monthly_usd: Annotated[
        Money | None,
        key("Limit of the cost of a month, amortisation included", 900, "USD", gt=0, le=1_000_000_000),
    ] = None
    max_increase_usd_per_month: Annotated[
        Money | None,
        key("Limit of what one change may add to the cost of a month", 100, "USD", ge=0, le=1_000_000_000),
    ] = None
    mode: Annotated[
        BudgetMode | None,
        key("What exceeding a limit causes: a warning, or an error that stops the deployment", "advisory"),
    ] = None


class Quote(Strict):
    """Your own price, which replaces the catalogue's."""

    value: Annotated[
        Money,
        key("Your price, in the unit of the catalogue's", 0.11, "unit of the price", ge=0, le=1_000_000_000),
    ]
    unit: Annotated[
        str | None, key("Unit of the price; it must be the catalogue's", "USD/kWh", min_length=1)
    ] = None
    source: Annotated[
        str,
        key("Who gave the price, and in which document", "contract 2026-114", pattern=r"^\s*\S[\s\S]+\S\s*$"),
    ]
    as_of: Annotated[datetime.date, key("Date of the quote", "2026-11-01")]


class Currency(Strict):
    """The currency in which costs are shown, with a dated exchange rate; prices and budgets stay in USD."""

    code: Annotated[str, key("Code of the currency in ISO 4217", "EUR", pattern=r"^[A-Z]{3}$")]
    per_usd: Annotated[
        Money, key("Exchange rate", 0.86, "units of the currency for one USD", gt=0, le=1_000_000)
    ]
    source: Annotated[
        str, key("Who gave the rate, and in which document", "our bank", pattern=r"^\s*\S[\s\S]+\S\s*$")
    ]
    as_of: Annotated[datetime.date, key("Date of the rate", "2026-11-02")]


class Cost(Strict):
    """Your own prices and cost factors, and the currency of the reports."""

    currency: Annotated[Currency | None, key("Currency in which costs are shown; USD by default")] = None
    quotes: Annotated[
        dict[NodeName, Quote] | None,
        key(
            "Your prices by id; `tierup catalog list prices` prints the ids, and a server has its own",
            min_length=1,
        ),
    ] = None


class ImagesSection(Strict):
    """Container images, pinned by version or digest."""

    def by_key(self) -> dict[str, str | None]:
        """Each key of the section with its image; None where the file names none."""
        return {key: getattr(self, key) for key in type(self).model_fields}


def _image_keys() -> dict[str, str]:
    """The keys and their descriptions: the images of the engines, then those of gateway and monitoring."""
    keys: dict[str, str] = {}
    for facts in load_engines().values():
        keys[facts.image.key] = f"Image of {facts.title}"
        keys.update({image.key: image.about for image in facts.format_images.values()})
    others = {name: f"Image of {name.capitalize()}" for name in ("nginx", "prometheus", "grafana")}
    return {**keys, **others, "reloader": "Python image of the sidecar of Nginx"}


_IMAGE_FIELDS: dict[str, Any] = {
    name: (Annotated[Image | None, key(about, f"registry.example.com/{name}:1.0")], None)
    for name, about in _image_keys().items()
}
Images = create_model("Images", __base__=ImagesSection, __doc__=ImagesSection.__doc__, **_IMAGE_FIELDS)


class Network(Strict):
    """How the cluster reaches the model hub, if not directly; serving itself needs no network."""

    hub_url: Annotated[
        Url | None,
        key("Mirror of the model hub, from which the models are fetched", "https://hub.example.com"),
    ] = None
    proxy: Annotated[
        Url | None, key("Proxy through which the models are fetched", "http://proxy.example.com:3128")
    ] = None
    no_proxy: Annotated[
        list[Host] | None,
        key("Hosts and domains that are reached without the proxy", ["hub.example.com"], min_length=1),
    ] = None
    ca_bundle: Annotated[
        Certificates | None,
        key(
            "Certificates of authorities, as PEM, that the fetch trusts in addition to the public ones",
            EXAMPLE_CERTIFICATE,
            min_length=1,
            max_length=100_000,
        ),
    ] = None


class OwnCatalog(Strict):
    """GPUs and servers of your own, in the form of the catalogue's own files; or the name of a YAML file with them."""

    file: Annotated[
        FileName | None,
        key("YAML file with the other keys, from the stack file's folder; commit it", "hardware.yaml"),
    ] = None
    sources: Annotated[
        dict[str, Any] | None,
        key("Documents by an id of your own: `title`, `url` and `as_of`, its date", max_length=1000),
    ] = None
    gpus: Annotated[
        dict[str, Any] | None,
        key("GPUs by id, each value with its source; `tierup catalog show l40s` prints one", max_length=100),
    ] = None
    servers: Annotated[
        dict[str, Any] | None,
        key(
            "Servers by id, each value with its source, with GPUs of yours or of the catalogue",
            max_length=100,
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _name_of_a_file(cls, value: object) -> object:
        return {"file": value} if isinstance(value, str) else value


class Acceptance(Strict):
    """A warning that is accepted. It is still shown, with the reason."""

    code: Annotated[Code, key("Code of a warning; docs/findings.md explains them", "TIER052")]
    path: Annotated[
        str | None, key("Path of the warning; any path by default", "nodes.count", min_length=1)
    ] = None
    reason: Annotated[
        str,
        key(
            "The reason, for readers of the file",
            "a test tier, an outage costs nothing",
            pattern=r"^\s*\S[\s\S]{8,}\S\s*$",
        ),
    ]
