"""Models that a stack file brings itself: their entries of the catalogue, derived from the files of their repositories.

What a repository does not state follows from the catalogue's models that are like it: those that it was made from, else
those of the same architecture and shape, else those of the same architecture.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tierup.catalog import Catalog, ModelSpec, Precision, Source, Sourced, Task, Variant, WeightFormat
from tierup.catalog.repository import Repository, RepositoryError, read_repository
from tierup.findings.model import TierError
from tierup.sizing import ModelShape, ShapeError, load_shapes
from tierup.sizing.config import shape_of_repository
from tierup.sizing.memory import GIB
from tierup.sizing.shapes import is_like, spec_shape
from tierup.stack.parse import Attached
from tierup.stack.sections import Model, ModelSource

_T = TypeVar("_T")
# Their configuration or tokenizer is code in the repository, which Transformers does not have.
_WITH_CODE = frozenset({"QWenLMHeadModel", "ChatGLMModel", "InternLM2ForCausalLM"})
# Their numbers overflow in float16: vLLM 0.32.0 refuses it, and computes in bfloat16 where they are stored so.
_WITHOUT_FP16 = frozenset(
    {"Gemma2ForCausalLM", "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", "Glm4ForCausalLM"}
)
_TASKS: dict[str, Task] = {"feature-extraction": "embed", "sentence-similarity": "embed"}
_RANKERS = frozenset({"text-ranking", "text-classification"})


class OwnModelError(TierError):
    """A model of one's own that cannot be served; `path` is the key of `source` that it is about, or empty."""

    def __init__(self, problem: str, fix: str, path: str = "", got: str | None = None) -> None:
        super().__init__(f"{problem} - {fix}")
        self.problem, self.fix, self.path, self.got = problem, fix, path, got


def with_own_models(
    models: Iterable[Model | None], files: Mapping[str, Attached], catalog: Catalog
) -> Catalog:
    """The catalogue with the models of one's own that can be read; a rule reports the others."""
    own = {}
    for model in models:
        if model is not None and model.source is not None:
            try:
                own[model.spec_id] = own_spec(model.source, files, catalog)
            except OwnModelError:
                continue
    return catalog.model_copy(update={"models": {**catalog.models, **own}}) if own else catalog


def own_spec(source: ModelSource, files: Mapping[str, Attached], catalog: Catalog) -> ModelSpec:
    """The entry of a model of one's own.

    Raises:
        OwnModelError: its file cannot be read, is of another repository, or of a model that is not sized.
    """
    repository = _repository(source, files)
    try:
        shape = shape_of_repository(
            repository.full_config,
            repository.repo,
            repository.safetensors.total_bytes if repository.safetensors is not None else None,
        )
    except ShapeError as error:
        fix = "use a model that docs/models.md lists, or an engine of your own beside this stack"
        raise OwnModelError(str(error), fix, "config", source.config) from error
    return _Derived(repository, shape, source.config, catalog).spec()


def _repository(source: ModelSource, files: Mapping[str, Attached]) -> Repository:
    again = f"run `tierup model add {source.repo}@{source.revision}`"
    file = files.get(source.config)
    if file is None:
        raise OwnModelError("the file cannot be read from here", again, "config", source.config)
    if file.problem is not None:
        raise OwnModelError(f"the file {file.problem}", f"{file.fix}, or {again}", "config", source.config)
    try:
        repository = read_repository(file.text)
    except RepositoryError as error:
        problem = f"the file is not one that `tierup model add` wrote: {error}"
        raise OwnModelError(problem, again, "config", source.config) from error
    for key, wanted, found in (
        ("repo", source.repo, repository.repo),
        ("revision", source.revision, repository.revision),
    ):
        if wanted != found:
            raise OwnModelError(f"{source.config} is of {found}", again, key, wanted)
    return repository


@dataclass(frozen=True)
class _Derived:
    """A model's entry, as it follows from its repository and from the catalogue."""

    repository: Repository
    shape: ModelShape
    file: str
    catalog: Catalog

    def spec(self) -> ModelSpec:
        """The whole entry."""
        shape, config, sizes = self.shape, self.repository.full_config, self.repository.safetensors
        related, how = self._related()
        return ModelSpec(
            title=self.repository.repo,
            architecture=self._stated(self._architecture),
            config=self._stated(config),
            file_bytes=self._stated(sizes.total_bytes) if sizes is not None else None,
            untried=None if any(is_like(shape, other) for other in self._tried()) else self._stated(True),
            task=self._stated(self._task()),
            params=self._stated(shape.params),
            layers=self._stated(shape.layers),
            q_heads=self._stated(shape.q_heads),
            kv_heads=self._stated(shape.kv_heads),
            head_dim=self._stated(shape.head_dim),
            hidden=self._stated(shape.hidden),
            intermediate=self._stated(shape.intermediate),
            vocab=self._stated(shape.vocab),
            max_context=self._stated(shape.max_context),
            gated=self._stated(self.repository.gated),
            trust_remote_code=self._stated("auto_map" in config and self._architecture in _WITH_CODE),
            license=self._stated(self.repository.license or "not stated"),
            last_engine_version=self._common([(i, i.last_engine_version) for i in related], how),
            tool_call_parser=self._common([(i, i.tool_call_parser) for i in related], how),
            reasoning_parser=self._common([(i, i.reasoning_parser) for i in related], how),
            variants=self._variants(),
        )

    @property
    def _architecture(self) -> str:
        listed = self.repository.config.get("architectures")
        return str(listed[0]) if isinstance(listed, list) and listed else ""

    @property
    def _source(self) -> Source:
        return Source(
            title=f"{self.file}, from {self.repository.source}",
            url=None,
            as_of=self.repository.as_of,
        )

    def _stated(self, value: _T) -> Sourced[_T]:
        return Sourced(value=value, source=self._source, as_of=self._source.as_of)

    def _tried(self) -> Iterable[ModelShape]:
        yield from (spec_shape(name, spec) for name, spec in self.catalog.models.items())
        yield from load_shapes().values()

    def _related(self) -> tuple[list[ModelSpec], str]:
        """The catalogue's models that this one is most like, and how."""
        alike = [
            item for item in self.catalog.models.values() if item.architecture.value == self._architecture
        ]
        repos = set(self.repository.bases)
        made_from = [item for item in alike if repos & {variant.repo for variant in item.variants.values()}]
        if made_from:
            return made_from, "its base"
        shaped = [item for item in alike if is_like(self.shape, spec_shape("", item))]
        return (shaped, "of its shape") if shaped else (alike, f"a {self._architecture} too")

    def _common(
        self, facts: Sequence[tuple[ModelSpec, Sourced[str | None]]], how: str
    ) -> Sourced[str | None]:
        """What all of the related models have; none where they differ, or where there are none."""
        values = {fact.value for _, fact in facts}
        if len(values) == 1:
            spec, fact = facts[0]
            source = Source(title=f"as {spec.title}, {how}: {fact.source}", as_of=fact.as_of)
            return Sourced[str | None](value=fact.value, source=source, as_of=fact.as_of, confidence="medium")
        listed = ", ".join(sorted(value or "none" for value in values))
        kind = f"the catalogue's models with {self._architecture}"
        title = f"{kind} have different ones: {listed}" if values else f"{kind}: none"
        source = Source(title=title, as_of=self._source.as_of)
        return Sourced[str | None](value=None, source=source, as_of=source.as_of, confidence="low")

    def _task(self) -> Task:
        pipeline = self.repository.pipeline
        if pipeline in _RANKERS:
            fix = "serve it with an engine of your own beside this stack"
            problem = f"the repository is for {pipeline}: what the engine must be told for it is not known"
            raise OwnModelError(problem, fix, "config", self.file)
        return _TASKS.get(pipeline or "", "generate")

    def _variants(self) -> dict[Precision, Variant]:
        """How the repository stores its weights, first; 16 bit can be served as the other one, or quantized to FP8."""
        if self.shape.stored is not None:
            return {self.shape.stored.precision: self._variant(self.shape.stored.precision)}
        dtype = self.repository.config.get("dtype") or self.repository.config.get("torch_dtype")
        both = [Precision.BF16, Precision.FP16]
        taken = (
            both[:1] if self._architecture in _WITHOUT_FP16 else both[::-1] if dtype == "float16" else both
        )
        variants = {item: self._variant(item) for item in taken}
        if not self.shape.unproven:
            variants[Precision.FP8] = self._variant(Precision.FP8, quantize=True)
        return variants

    def _variant(self, precision: Precision, *, quantize: bool = False) -> Variant:
        return Variant(
            repo=self.repository.repo,
            revision=self.repository.revision,
            source=self._source,
            as_of=self._source.as_of,
            format=WeightFormat.SAFETENSORS,
            weight_gib=self._stated(self.shape.weight_bytes(precision) / GIB),
            quantize="fp8" if quantize else None,
        )


def described(spec: ModelSpec, shape: ModelShape) -> str:
    """One line about a model of one's own: what it is, under which licence, and what stands behind its figures."""
    speed = (
        f"not validated: no measurement of {shape.unproven}"
        if shape.unproven
        else "speed as others of its shape"
    )
    parts = [
        f"{spec.architecture.value} with {shape.params / 1e9:.1f}B parameters",
        f"licence {spec.license.value}",
        speed,
        *shape.notes,
    ]
    return f"{'; '.join(parts)} ({spec.architecture.source}, {spec.architecture.as_of})"
