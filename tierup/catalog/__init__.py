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
from typing import Annotated, Any, Generic, Literal, NamedTuple, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from tierup.catalog.capability import CAPABILITIES, Abilities
from tierup.catalog.capability import Architecture as Architecture
from tierup.catalog.precision import DEFAULT_PRECISION as DEFAULT_PRECISION
from tierup.catalog.precision import Precision as Precision
from tierup.findings.model import TierError

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml: ten times slower, same result
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

T = TypeVar("T")
Count = Annotated[int, Field(gt=0)]
Amount = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]


class WeightFormat(StrEnum):
    """The file format of the weights: any engine loads `safetensors`; `gguf` needs the plugin image."""

    SAFETENSORS = "safetensors"
    GGUF = "gguf"


# YAML has enums as strings, so these fields are not strict; all others are.
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


# The precisions that are computed at each rate. INT8 of Blackwell is in hardware, but vLLM does not use it.
_COMPUTED = {
    "bf16": {Precision.BF16},
    "int8": {Precision.INT8},
    "fp8": {Precision.FP8},
    "fp4": {Precision.NVFP4},
}
_ONLY_SOME = frozenset({"bf16", "fp8", "fp4"})


def _known_capability(value: str) -> str:
    if value not in CAPABILITIES:
        raise ValueError(f"Input should be a known compute capability: {', '.join(CAPABILITIES)}")
    return value


Capability = Annotated[str, AfterValidator(_known_capability)]


class DenseTflops(_Strict):
    """Peak tensor-core TFLOPS (TOPS for int8), no sparsity, 32-bit accumulation; of what the hardware computes."""

    fp16: Sourced[Amount]
    bf16: Sourced[Amount] | None = None
    int8: Sourced[Amount] | None = None
    fp8: Sourced[Amount] | None = None
    fp4: Sourced[Amount] | None = None


class Link(_Strict):
    """The link between the GPUs of a server: `gb_s` is the bidirectional total in GB/s, `p2p` is direct peer access."""

    kind: Sourced[Literal["nvlink", "infinity-fabric", "pcie"]]
    gb_s: Sourced[Amount]
    p2p: Sourced[bool]


class MigProfile(_Strict):
    """One way to cut a card: memory slices of one instance, and how many instances a card has."""

    name: Annotated[str, Field(pattern=r"^[1-7]g\.[1-9][0-9]*gb$")]
    memory_slices: Count
    instances: Count


class Gpu(_Strict):
    """One GPU. Memory is the total of `nvidia-smi` in MiB (a CUDA process sees about 1 % less).

    `compute_capability` says what it can do (`tierup.catalog.capability`); AMD's name for it is the LLVM target.
    """

    product_label: Sourced[Text]
    compute_capability: Sourced[Capability]
    memory_mib: Sourced[Count]
    bandwidth_gb_s: Sourced[Amount]
    dense_tflops: DenseTflops
    link: Link
    tdp_w: Sourced[Count]
    mig: Sourced[Annotated[tuple[MigProfile, ...], Field(strict=False, min_length=1)]] | None = None

    @property
    def mig_profiles(self) -> dict[str, MigProfile]:
        """The MIG profiles by name; none where the catalogue knows none."""
        return {item.name: item for item in self.mig.value} if self.mig is not None else {}

    @property
    def abilities(self) -> Abilities:
        """What it can do."""
        return CAPABILITIES[self.compute_capability.value]

    @model_validator(mode="after")
    def _rates_are_those_of_the_formats(self) -> Self:
        for name, precisions in _COMPUTED.items():
            computes = not precisions.isdisjoint(self.abilities.as_stored)
            stated = getattr(self.dense_tflops, name) is not None
            if computes and not stated:
                raise ValueError(
                    f"dense_tflops.{name} is missing: {self.compute_capability.value} computes it"
                )
            if stated and name in _ONLY_SOME and not computes:
                raise ValueError(f"dense_tflops.{name}: {self.compute_capability.value} does not compute it")
        return self


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


class EntryProblem(NamedTuple):
    """What is wrong at one field (`where`, with dots) of a table."""

    where: str
    what: str
    fix: str | None = None
    got: str | None = None
    allowed: str | None = None

    def __str__(self) -> str:
        facts = [f"got {self.got}"] * (self.got is not None) + [f"allowed {self.allowed}"] * (
            self.allowed is not None
        )
        end = f" ({'; '.join(facts)})" if facts else ""
        return f"{self.where}: {self.what}{end}{'' if self.fix is None else f' - {self.fix}'}"


Report = Callable[[EntryProblem], None]


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

    def report(problem: EntryProblem) -> None:
        problems.append(f"{table}.yaml: {problem}")

    before = len(problems)
    try:
        document = read_document(text, report, f"{table}.", reader)
    except yaml.YAMLError as error:
        report(EntryProblem("YAML", " ".join(str(error).split())))
        return {}
    duplicates = len(problems) > before
    if not isinstance(document, dict) or set(document) != {"sources", table}:
        report(EntryProblem("top level", f"must have exactly the keys sources and {table}"))
        return {}
    if not isinstance(document["sources"], dict):
        report(EntryProblem("sources", "not a mapping of id to {title, url, as_of}"))
        return {}
    sources = sources_of(document["sources"], report)
    resolved = resolved_tree(document[table], sources, "", report)
    return {} if duplicates else validated(dict[str, entry], resolved, report)  # type: ignore[valid-type]


def read_document(text: str, report: Report, under: str = "", reader: type[_Loader] = _Loader) -> Any:
    """The YAML document of a text; a key that is written twice is reported, without the prefix `under`."""
    loader = reader(text)
    node = loader.get_single_node()
    document = loader.construct_document(node) if node is not None else None
    for where in _duplicate_keys(node):
        report(EntryProblem(where.removeprefix(under), "the key is written twice"))
    return document


def sources_of(rows: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """The documents by id; a row with a problem is reported, and empty."""
    return {name: validated(Source, row, report, f"sources.{name}") for name, row in rows.items()}


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


def resolved_tree(tree: Any, sources: Mapping[str, Any], path: str, report: Report) -> Any:
    """The tree with every source id replaced by its document; `as_of` defaults to that of the document."""
    if isinstance(tree, list):
        return [resolved_tree(item, sources, f"{path}.{index}", report) for index, item in enumerate(tree)]
    if not isinstance(tree, dict):
        return tree
    result = {
        key: resolved_tree(value, sources, f"{path}.{key}".lstrip("."), report) for key, value in tree.items()
    }
    if "value" in tree or "source" in tree:
        source_id, source = tree.get("source"), _UNKNOWN
        if source_id is None:
            fix = "name a row of the sources table"
            report(EntryProblem(f"{path}.source", "the source is missing", fix))
        elif not isinstance(source_id, str) or source_id not in sources:
            allowed = ", ".join(map(str, sources))
            report(EntryProblem(f"{path}.source", "unknown source", None, str(source_id), allowed))
        else:
            source = sources[source_id] or _UNKNOWN
        result = {"as_of": source.as_of} | result | {"source": source}
    return result


def validated(kind: Any, tree: Any, report: Report, under: str = "") -> Any:
    """`tree` validated as `kind`. Every mismatch is reported with its path; if there are any, the result is empty."""
    try:
        return TypeAdapter(kind).validate_python(tree)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            where = ".".join(str(part) for part in (under, *item["loc"]) if part not in {"", "[key]"})
            got: str | None = f"{item['input']!r:.60}"
            match item["type"]:
                case "extra_forbidden":
                    what, got = "unknown key", None
                case "model_type":
                    what = "not a mapping, such as {value: ..., source: ...}"
                case "missing":
                    what, got = "missing", None
                case _:
                    what = item["msg"].removeprefix("Value error, ")
            report(EntryProblem(where or "top level", what, None, got))
        return {}
