"""The catalogue of GPUs, servers and models; each value has a source document and a date.

The YAML files in this folder hold the data, this module their schema. An entry is written `{value: 80, source: ID}`,
where ID is a row of the file's `sources` table (title, url, as_of). It may have `confidence` (default: high),
`low` and `high`, or its own `as_of`. All problems in all three files are raised together as `CatalogError`. Reading
these files is the only file access of the pure core.
"""

import datetime
import functools
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tierup.findings.model import TierError

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml: ten times slower, same result
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

T = TypeVar("T")
Count = Annotated[int, Field(gt=0)]
Amount = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]


class Precision(StrEnum):
    """How a model's weights are stored and computed; a model has one variant per value.

    `bf16`, `fp16`: two bytes, from the same repository, served with another dtype. `fp8`: 8-bit floats, on Ampere for
    weights only. `int8`: W8A8, weights and activations. `gptq-int8`, `gptq-int4`, `awq`: weight-only integers in groups
    of 128, with embeddings in two bytes. `mxfp4`, `nvfp4`: four-bit floats with a scale for 32 or 16 of them.
    `bnb-nf4`: bitsandbytes in four bits. `q8_0`, `q5_k_m`: GGUF blocks, for engines that read them.
    """

    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    INT8 = "int8"
    GPTQ_INT8 = "gptq-int8"
    GPTQ_INT4 = "gptq-int4"
    AWQ = "awq"
    MXFP4 = "mxfp4"
    NVFP4 = "nvfp4"
    BNB_NF4 = "bnb-nf4"
    Q8_0 = "q8_0"
    Q5_K_M = "q5_k_m"


DEFAULT_PRECISION = Precision.BF16  # as trained: where nobody names another one


class Architecture(StrEnum):
    """The GPU generation. It determines the precisions in hardware and the attention kernels."""

    AMPERE = "ampere"
    ADA = "ada"
    HOPPER = "hopper"


class WeightFormat(StrEnum):
    """The file format of the weights: any engine loads `safetensors`; `gguf` needs the plugin image."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"


# YAML has enums as strings, so these fields are not strict; all others are.
ArchitectureField = Annotated[Architecture, Field(strict=False)]
FormatField = Annotated[WeightFormat, Field(strict=False)]
PrecisionKey = Annotated[Precision, Field(strict=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Source(_Strict):
    """A document; `as_of` is its date, or the day it was read if it has none; then `looked_up` is the same day."""

    title: Text
    url: Text | None = None
    as_of: datetime.date
    looked_up: datetime.date | None = None

    def __str__(self) -> str:
        return self.title


class Sourced(_Strict, Generic[T]):
    """One value and its source; `low` and `high` are bounds, if the source gives a range."""

    value: T
    source: Source
    as_of: datetime.date
    confidence: Literal["high", "medium", "low"] = "high"
    low: float | None = None
    high: float | None = None

    @model_validator(mode="after")
    def _bounds_enclose_value(self) -> Self:
        if self.low is None and self.high is None:
            return self
        if self.low is None or self.high is None or not isinstance(self.value, (int, float)):
            raise ValueError("low and high go together, on a number")
        if not self.low <= self.value <= self.high:
            raise ValueError(f"value {self.value} is outside low {self.low} .. high {self.high}")
        return self


class DenseTflops(_Strict):
    """Peak tensor-core TFLOPS (TOPS for int8), no sparsity, 32-bit accumulation; null: not in hardware."""

    bf16: Sourced[Amount]
    fp16: Sourced[Amount]
    int8: Sourced[Amount]
    fp8: Sourced[Amount | None]


class Link(_Strict):
    """The link between the GPUs of a server: `gb_s` is the bidirectional total in GB/s, `p2p` is direct peer access."""

    kind: Sourced[Literal["nvlink", "pcie"]]
    gb_s: Sourced[Amount]
    p2p: Sourced[bool]


class Gpu(_Strict):
    """One GPU. Memory is the total of `nvidia-smi` in MiB (a CUDA process sees about 1 % less)."""

    product_label: Sourced[Text]
    architecture: Sourced[ArchitectureField]
    memory_mib: Sourced[Count]
    bandwidth_gb_s: Sourced[Amount]
    dense_tflops: DenseTflops
    link: Link
    tdp_w: Sourced[Count]


class Cpu(_Strict):
    """The processors of a server; cores and threads are totals over all sockets."""

    model: Sourced[Text]
    sockets: Sourced[Count]
    cores: Sourced[Count]
    threads: Sourced[Count]
    base_ghz: Sourced[Amount]
    boost_ghz: Sourced[Amount]


class Memory(_Strict):
    gb: Sourced[Count]
    type: Sourced[Text]
    ecc: Sourced[bool]
    channels: Sourced[Count]


class Disk(_Strict):
    """The data volume of a server: `tb` is usable capacity, `read_gb_s` is sequential; both after RAID."""

    tb: Sourced[Amount]
    kind: Sourced[Text]
    raid: Sourced[Literal["none", "0", "1", "10"]]
    read_gb_s: Sourced[Amount]


class Nic(_Strict):
    kind: Sourced[Literal["ethernet", "infiniband", "fibre"]]
    gbps: Sourced[Amount]


class SystemReserved(_Strict):
    """CPU cores and GiB that are reserved for the OS and the kubelet."""

    cpu: Sourced[Amount]
    memory_gib: Sourced[Amount]


class Claim(_Strict):
    """What the hardware guide claims for a server: users, and milliseconds for an answer of up to `answer_tokens`.

    `params` is the size of the model that the claim is about; its bounds are the models that count as that size.
    """

    params: Sourced[Count]
    users: Sourced[Count]
    latency_ms: Sourced[Count]
    answer_tokens: Sourced[Count]

    def is_about(self, model: "ModelSpec") -> bool:
        """Whether the claim is about models of this size."""
        low, high = (self.params.value if end is None else end for end in (self.params.low, self.params.high))
        return low <= model.params.value <= high

    @property
    def size(self) -> str:
        """The size of the model that the claim is about, such as 7B."""
        return f"{self.params.value / 1e9:g}B"


class Server(_Strict):
    """One GPU server as sold: `gpu` is an id of the GPU table, prices are USD per server.

    `audience` is the group of users for which the hardware guide recommends it.
    """

    title: Text
    gpu: str
    gpus: Sourced[Count]
    cpu: Cpu
    memory: Memory
    disk: Disk
    nics: Annotated[tuple[Nic, ...], Field(strict=False, min_length=1)]
    switch: Sourced[Text | None]
    chassis: Sourced[Text]
    psu: Sourced[Text]
    redundant_psu: Sourced[bool]
    cooling: Sourced[Text]
    cabinet: Sourced[Text]
    system_reserved: SystemReserved
    capex_usd: Sourced[Amount]
    audience: Sourced[Text] | None = None
    claim: Claim | None = None

    @property
    def uplink_gbps(self) -> float:
        """Gbit/s of the slowest port, which may be the uplink."""
        return min(nic.gbps.value for nic in self.nics)


class Variant(_Strict):
    """One downloadable set of weights. If `revision` is null, it was not verified and the user must pin one.

    `files` selects the GGUF files in the repository, `parts` is the number of files of one model, and `tokenizer` is
    the repository of their tokenizer. `quantize` is the quantization by vLLM while it loads the weights. `source` is
    where the revision was found.
    """

    repo: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None
    source: Source
    as_of: datetime.date
    confidence: Literal["high", "medium", "low"] = "high"
    format: FormatField
    weight_gib: Sourced[Amount]
    files: Text | None = None
    parts: Count = 1
    tokenizer: Text | None = None
    quantize: Literal["fp8"] | None = None

    @model_validator(mode="after")
    def _gguf_needs_files_and_tokenizer(self) -> Self:
        gguf = self.format is WeightFormat.GGUF
        if gguf != (self.files is not None) or gguf != (self.tokenizer is not None):
            raise ValueError("format gguf needs files and tokenizer, other formats must not have them")
        return self


Task = Literal["generate", "embed", "score"]


class ModelSpec(_Strict):
    """The shape of a model (from its config.json) and its variants; `params` counts every weight.

    `architecture` is the model class in config.json. `config` is config.json itself, of a model whose shape is more
    than the counts here, with the bytes of the weights' files. `untried`: no model of this shape was measured. The
    first variant is how the model was published.
    `task`: it writes answers, or turns text into vectors, or says how well two texts match; None: it writes answers.
    `tool_call_parser` and `reasoning_parser` are vLLM's for the model's format; null: it has none.
    """

    title: Text
    architecture: Sourced[Text]
    config: Sourced[dict[str, Any]] | None = None
    file_bytes: Sourced[Count] | None = None
    untried: Sourced[bool] | None = None
    task: Sourced[Task] | None = None
    params: Sourced[Count]
    layers: Sourced[Count]
    q_heads: Sourced[Count]
    kv_heads: Sourced[Count]
    head_dim: Sourced[Count]
    hidden: Sourced[Count]
    intermediate: Sourced[Count]
    vocab: Sourced[Count]
    max_context: Sourced[Count]
    gated: Sourced[bool]
    trust_remote_code: Sourced[bool]
    license: Sourced[Text]
    last_engine_version: Sourced[Text | None]
    tool_call_parser: Sourced[Text | None]
    reasoning_parser: Sourced[Text | None]
    variants: Annotated[dict[PrecisionKey, Variant], Field(min_length=1)]

    @property
    def serves(self) -> Task:
        """What the model does."""
        return "generate" if self.task is None else self.task.value

    @property
    def published(self) -> Precision:
        """The precision of the model where nobody names another one."""
        return next(iter(self.variants))


class Catalog(_Strict):
    gpus: dict[str, Gpu]
    servers: dict[str, Server]
    models: dict[str, ModelSpec]


class CatalogError(TierError):
    """All problems in the catalogue's files, one `file: entry.field: problem` per line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("the catalogue is not valid:\n" + "\n".join(f"- {problem}" for problem in problems))


def text_of(file: str) -> str:
    """A file of this folder; raises `CatalogError` if it cannot be read."""
    try:
        return Path(__file__).with_name(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError([f"{file}: cannot be read: {error}"]) from error


@functools.cache
def load_catalog() -> Catalog:
    """The catalogue from the files in this folder."""
    return parse_catalog(text_of("gpus.yaml"), text_of("servers.yaml"), text_of("models.yaml"))


def parse_catalog(gpus_text: str, servers_text: str, models_text: str) -> Catalog:
    """The catalogue from the text of its three files.

    Raises:
        CatalogError: naming file, entry and field of every problem in every file.
    """
    problems: list[str] = []
    gpus = parse_table("gpus", Gpu, gpus_text, problems)
    servers = parse_table("servers", Server, servers_text, problems)
    models = parse_table("models", ModelSpec, models_text, problems)
    if gpus:  # else every server would be reported for a problem in gpus.yaml
        for name, server in servers.items():
            if server.gpu not in gpus:
                allowed = ", ".join(gpus)
                problems.append(
                    f"servers.yaml: {name}.gpu: unknown GPU (got {server.gpu}; allowed {allowed})"
                )
    if problems:
        raise CatalogError(problems)
    return Catalog(gpus=gpus, servers=servers, models=models)


def read_yaml(path: Path) -> Any:
    """A YAML file of this project as plain data, read with libyaml if PyYAML has it."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_SafeLoader)


Entry = TypeVar("Entry", bound=_Strict)
Report = Callable[[str, str], None]  # (entry.field, what is wrong)


class _Loader(_SafeLoader):
    """Keeps an invalid date as text, so that it is reported with its path."""

    def date(self, node: yaml.ScalarNode) -> object:
        try:
            return self.construct_yaml_timestamp(node)
        except ValueError:
            return node.value


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.date)


def parse_table(
    table: str, entry: type[Entry], text: str, problems: list[str], reader: type[_Loader] = _Loader
) -> dict[str, Entry]:
    """The entries of one file. Problems are appended to `problems`; if there are any, the result is empty."""

    def report(where: str, what: str) -> None:
        problems.append(f"{table}.yaml: {where}: {what}")

    loader = reader(text)
    try:
        node = loader.get_single_node()
        document = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        report("YAML", " ".join(str(error).split()))
        return {}
    duplicates = list(_duplicate_keys(node))
    for where in duplicates:
        report(where.removeprefix(f"{table}."), "the key is written twice")
    if not isinstance(document, dict) or set(document) != {"sources", table}:
        report("top level", f"must have exactly the keys sources and {table}")
        return {}
    if not isinstance(document["sources"], dict):
        report("sources", "not a mapping of id to {title, url, as_of}")
        return {}
    rows = document["sources"].items()
    sources = {name: _validated(Source, row, report, f"sources.{name}") for name, row in rows}
    resolved = _resolve(document[table], sources, "", report)
    return {} if duplicates else _validated(dict[str, entry], resolved, report)  # type: ignore[valid-type]


def _duplicate_keys(node: yaml.Node | None, path: str = "") -> Iterator[str]:
    """Every key that occurs twice in a mapping: the YAML loaders silently keep the last one."""
    if isinstance(node, yaml.MappingNode):
        paths: set[str] = set()
        for key, value in node.value:
            where = f"{path}.{key.value}".lstrip(".")
            if where in paths:
                yield f"{where} (line {key.start_mark.line + 1})"
            paths.add(where)
            yield from _duplicate_keys(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _duplicate_keys(item, f"{path}.{index}")


# Replaces a missing source after it was reported, so that one mistake is reported only once.
_UNKNOWN = Source(title="unknown", as_of=datetime.date.min)


def _resolve(tree: Any, sources: Mapping[str, Any], path: str, report: Report) -> Any:
    """The tree with every source id replaced by its document; `as_of` defaults to that of the document."""
    if isinstance(tree, list):
        return [_resolve(item, sources, f"{path}.{index}", report) for index, item in enumerate(tree)]
    if not isinstance(tree, dict):
        return tree
    result = {
        key: _resolve(value, sources, f"{path}.{key}".lstrip("."), report) for key, value in tree.items()
    }
    if "value" in tree or "source" in tree:
        source_id, source = tree.get("source"), _UNKNOWN
        if source_id is None:
            report(f"{path}.source", "the source is missing - name a row of the sources table")
        elif not isinstance(source_id, str) or source_id not in sources:
            report(
                f"{path}.source", f"unknown source (got {source_id}; allowed {', '.join(map(str, sources))})"
            )
        else:
            source = sources[source_id] or _UNKNOWN
        result = {"as_of": source.as_of} | result | {"source": source}
    return result


def _validated(kind: Any, tree: Any, report: Report, under: str = "") -> Any:
    """`tree` validated as `kind`. Every mismatch is reported with its path; if there are any, the result is empty."""
    try:
        return TypeAdapter(kind).validate_python(tree)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            where = ".".join(str(part) for part in (under, *item["loc"]) if part not in {"", "[key]"})
            match item["type"]:
                case "extra_forbidden":
                    what = "unknown key"
                case "model_type":
                    what = f"not a mapping, such as {{value: ..., source: ...}} (got {item['input']!r:.60})"
                case "missing":
                    what = "missing"
                case _:
                    what = f"{item['msg'].removeprefix('Value error, ')} (got {item['input']!r:.60})"
            report(where or "top level", what)
        return {}
