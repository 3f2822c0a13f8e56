"""The facts of each engine: one `EngineFacts` per row of engine.yaml, read by all other modules.

To add an engine: a row in engine.yaml, and a module in tierup/manifests/engines/ with a function `serving`.
"""

import functools
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tierup.catalog import (
    Amount,
    CatalogError,
    FormatField,
    PrecisionKey,
    Sourced,
    Text,
    _Strict,
    parse_table,
    text_of,
)
from tierup.catalog.options import EngineOptions, load_options

DEFAULT_ENGINE = "vllm"  # the one that is tested, and whose measurements the sizing model has most of


def _rising(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise(bounds)):
        raise ValueError("bounds of a histogram rise")
    return bounds


Bounds = Annotated[tuple[Amount, ...], Field(strict=False, min_length=1), AfterValidator(_rising)]
Words = Annotated[tuple[Text, ...], Field(strict=False)]
ImageKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*$")]
Promise = Literal["ttftMs", "tpotMs"]


class Image(_Strict):
    """The engine's image: its key in the stack file's `images`, the default, and why it is the default.

    `name` has `{version}` in place of the engine's version.
    """

    key: ImageKey
    name: Annotated[str, Field(pattern=r"\{version\}")]
    why: Text

    def of(self, version: str) -> str:
        """The image of one version."""
        return self.name.replace("{version}", version)


class FormatImage(_Strict):
    """An image that replaces the engine's own for weights of another format; it has no default.

    `about` describes the key, `why_none` says why there is no default, `problem` and `fix` are the finding for a
    model that needs the image while the stack file names none.
    """

    key: ImageKey
    about: Text
    why_none: Text
    problem: Text
    fix: Text


class Fp8KvCache(_Strict):
    """The usual attention kernel, and what runs with an FP8 KV cache on GPUs whose abilities do not keep it."""

    attention: Text
    otherwise: Text


class Overhead(_Strict):
    """The time that the sizing model adds to a step besides memory access and matrix work.

    `step_ms`: milliseconds for 28 layers from which the fit of the engine's own coefficient starts; null: the
    coefficient of the GPU's class. `per_sequence`: whether every running sequence adds time.
    """

    step_ms: Amount | None
    per_sequence: bool


class CommandLine(_Strict):
    """How a container's command line starts the engine, and the options from which its number of GPUs follows.

    `starts` are the beginnings of command lines that start it, `*` for any text; the engine's own arguments follow.
    `repository`: an image with this in its repository's name starts the engine if the container has no command.
    `sizes` are the options of each degree of parallelism, with '-' for '_'; the first one given counts. `files` are
    options that name a file which may set any degree, `split_files` those whose file may set tensor and pipeline only.
    `one_rank`: with one of these the server is one of several data-parallel ranks. `ray`: options that may have the
    value `ray`.
    """

    starts: Words
    repository: Text | None
    sizes: dict[Literal["tensor", "pipeline", "context", "data", "nodes"], Words]
    files: Words
    split_files: Words
    one_rank: Words
    ray: Words


class Metrics(_Strict):
    """The engine's metrics.

    `path` is the path that Prometheus scrapes. `running` is the metric of running requests, and `progress` are counters
    of which at least one increases while requests run; null and empty: it has none, so only its health shows whether
    it hangs. `histograms` names the metric behind each promise of a workload class, `buckets` has the upper
    bounds of each histogram in seconds, ascending, without +Inf.
    """

    path: Sourced[Annotated[str, Field(pattern=r"^/")]]
    running: Sourced[Text | None]
    progress: Sourced[Words]
    histograms: dict[Promise, Text]
    buckets: dict[Text, Sourced[Bounds]]

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if (self.running.value is None) != (not self.progress.value):
            raise ValueError("running and progress go together")
        if not set(self.histograms.values()) <= self.buckets.keys():
            raise ValueError("a histogram has no buckets")
        return self

    def bounds(self, promise: Promise) -> tuple[str, tuple[float, ...]] | None:
        """The metric behind a promise and its upper bounds in seconds; None if the engine has none."""
        metric = self.histograms.get(promise)
        return None if metric is None else (metric, self.buckets[metric].value)


class EngineFacts(_Strict):
    """One engine.

    `title` is its name in sentences. `version` is the version that the image's default has.
    `versions_differ`: whether the catalogue knows differences between versions (a model's last version, memory).
    `cpu_build`: whether `tierup dev` can run it. `unproven` names what was never tested; null: nothing.
    `options_file` lists what it takes (tierup/catalog/options.py); null where `options_problem` says why nothing can be
    passed to it. `owned` are the options that a stack file must not pass, `owned_env` the variables besides those
    that tierup sets, each with the key to use instead, or null.
    `loads` are the precisions it serves. `runs_repository_code`: whether it runs code from a model's repository.
    `slash_problem` says what is wrong with a slash in a served name; null: slashes are allowed.
    `fp8_kv_cache`: null if no difference between GPUs is known. `least_capability`: the compute capability from which
    its own image has kernels; null: unknown. `priority`: whether the highest or the lowest priority
    of a request goes first; null: requests have none and are served in order of arrival. `bounds_queue`: whether it
    refuses requests beyond a number. `messages_api`: whether it serves Anthropic's Messages API.
    `autoscaling_problem` says why no autoscaler can scale it; null: one can,
    by the series of monitoring/rules/recording.yml. `command_line`: null if it is unknown; the policies then do not
    check the engine's GPUs.
    """

    title: Text
    version: Sourced[Text]
    image: Image
    format_images: dict[FormatField, FormatImage]
    versions_differ: bool
    cpu_build: bool
    unproven: Text | None
    options_file: Text | None
    options_problem: Text | None
    owned: dict[Text, Text | None]
    owned_env: dict[Text, Text | None]
    loads: Sourced[Annotated[tuple[PrecisionKey, ...], Field(strict=False, min_length=1)]]
    runs_repository_code: Sourced[bool]
    slash_problem: Sourced[Text | None]
    fp8_kv_cache: Fp8KvCache | None
    least_capability: Sourced[Text] | None = None
    priority: Sourced[Literal["lowest-first", "highest-first"] | None]
    bounds_queue: Sourced[bool]
    messages_api: Sourced[bool]
    autoscaling_problem: Text | None
    overhead: Overhead
    command_line: Sourced[CommandLine | None]
    metrics: Metrics

    @model_validator(mode="after")
    def _options_are_known_or_not(self) -> Self:
        if (self.options_file is None) == (self.options_problem is None):
            raise ValueError("either options_file or options_problem is null")
        return self

    @property
    def options(self) -> EngineOptions | None:
        """What it takes besides; None if that is unknown."""
        return None if self.options_file is None else load_options(self.options_file)

    @property
    def default_image(self) -> str:
        return self.image.of(self.version.value)


@functools.cache
def load_engines() -> Mapping[str, EngineFacts]:
    """The engines by name, in the order of engine.yaml."""
    return parse_engines(text_of("engine.yaml"))


def engine_facts(name: str) -> EngineFacts:
    """The facts of one engine; KeyError for an unknown name."""
    return load_engines()[name]


def format_images() -> Iterator[FormatImage]:
    """Every image that replaces an engine's own."""
    for facts in load_engines().values():
        yield from facts.format_images.values()


def parse_engines(text: str) -> Mapping[str, EngineFacts]:
    """The engines from the file's text.

    Raises:
        CatalogError: naming entry and field of every problem.
    """
    problems: list[str] = []
    engines = parse_table("engine", EngineFacts, text, problems)
    if not problems:
        problems.extend(f"engine.yaml: {problem}" for problem in _disagreements(engines))
    if problems:
        raise CatalogError(problems)
    return engines


def _disagreements(engines: Mapping[str, EngineFacts]) -> Iterator[str]:
    """Problems between rows."""
    if DEFAULT_ENGINE not in engines:
        yield f"engine: the default engine {DEFAULT_ENGINE} is missing (got {', '.join(engines) or 'none'})"
    keys: dict[str, str] = {}
    for name, facts in engines.items():
        for key in (facts.image.key, *(image.key for image in facts.format_images.values())):
            first = keys.setdefault(key, name)
            if first != name:
                yield f"{name}: the image key {key} is {first}'s already"
