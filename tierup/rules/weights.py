"""Checks where the files of a model come from: each source needs some keys, takes others, and no more."""

from collections.abc import Iterator

from tierup.catalog import Variant, WeightFormat
from tierup.findings.model import Code, Finding
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.sources import WITH_COMMIT, source_of
from tierup.plan.vocabulary import VARIABLE, vocabulary_of
from tierup.plan.weights import FETCHED
from tierup.rules.images import FLOATING_FIX, FLOATING_PROBLEM, is_floating
from tierup.rules.secrets import other_of_s3
from tierup.stack.parse import MODEL_SCOPE_TOKEN, S3_KEY, S3_SECRET, set_secret
from tierup.stack.sections import Model, Weights, WeightsFrom

# The keys that each source needs, and those that it takes besides, by their names in code.
_KEYS: dict[WeightsFrom, tuple[tuple[str, ...], tuple[str, ...]]] = {
    WeightsFrom.HUB: ((), ()),
    WeightsFrom.MODEL_SCOPE: ((), ("repo", "endpoint")),
    WeightsFrom.S3: (("url", "sha256"), ("endpoint", "region", "path_style")),
    WeightsFrom.CLAIM: (("claim",), ("folder",)),
    WeightsFrom.FOLDER: (("folder",), ()),
    WeightsFrom.IMAGE: (("image",), ("folder",)),
}


def keys(model: Model, at: str, variant: Variant | None) -> Iterator[Finding]:
    """One finding for all keys of the source that are missing or are of another one, and one for each other key."""
    given, source = model.weights, source_of(model)
    if given is None:
        return
    wrong = [*_missing_or_foreign(given)]
    if given.folder is not None:
        wrong += _folder(source, given.folder)
    if wrong:
        needed, taken = ([_name(key) for key in names] for names in _KEYS[source])
        allowed = ", ".join([*needed, *(f"maybe {name}" for name in taken)]) or "no other key"
        problem = f"from {source}: {'; '.join(wrong)}"
        yield Finding(
            Code.WEIGHTS, f"{at}.weights", problem, "docs/weights.md shows each source", allowed=allowed
        )
    yield from _other_keys(model, at, variant)


def _missing_or_foreign(given: Weights) -> Iterator[str]:
    needed, taken = _KEYS[given.source]
    set_ = [key for key in Weights.model_fields if key != "source" and getattr(given, key) is not None]
    missing = [_name(key) for key in needed if key not in set_]
    foreign = [_name(key) for key in set_ if key not in (*needed, *taken)]
    if missing:
        yield f"{' and '.join(missing)} must be given"
    if foreign:
        yield f"{' and '.join(foreign)} would have no effect"


def _folder(source: WeightsFrom, folder: str) -> Iterator[str]:
    absolute = folder.startswith("/")
    if source is WeightsFrom.FOLDER and not absolute:
        yield "folder is an absolute path on the nodes"
    if source in (WeightsFrom.CLAIM, WeightsFrom.IMAGE) and absolute:
        yield "folder is a path inside of it, without / at its beginning"


def _other_keys(model: Model, at: str, variant: Variant | None) -> Iterator[Finding]:
    """Keys of the model that do not go with its source."""
    source = source_of(model)
    if source not in WITH_COMMIT and model.revision is not None:
        problem, fix = f"weights from {source} have no commit", "leave it out"
        yield Finding(Code.WEIGHTS, f"{at}.revision", problem, fix, model.revision)
    if source is WeightsFrom.MODEL_SCOPE and model.revision is None:
        problem = "the catalogue pins the hub's commit, and ModelScope has others"
        fix, allowed = "look it up at ModelScope and write it as revision", "a commit: 40 hexadecimal digits"
        yield Finding(Code.NO_REVISION, f"{at}.revision", problem, fix, "nothing", allowed)
    if source not in FETCHED and model.cache is not None and model.adapters is None:
        problem, fix = f"weights from {source} are not fetched, so nothing is cached", "leave it out"
        yield Finding(Code.WEIGHTS, f"{at}.cache", problem, fix)
    if source is not WeightsFrom.HUB and variant is not None and variant.format is WeightFormat.GGUF:
        problem = "GGUF files come from the hub alone, with the tokenizer of another repository"
        fix = "use another precision, or the hub"
        yield Finding(Code.WEIGHTS, f"{at}.weights", problem, fix, str(source), "hub")


def _name(key: str) -> str:
    return Weights.model_fields[key].alias or key


def image(_plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The tag of an image of weights should pin a version."""
    name = model.weights.image
    if name and is_floating(name):
        yield Finding(Code.FLOATING_IMAGE, f"{at}.weights.image", FLOATING_PROBLEM, FLOATING_FIX, name)


def vocabulary(_plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """Files that are not fetched must have the vocabulary that the engine would download."""
    name = vocabulary_of(model.spec)
    if name is not None and not model.weights.fetched and VARIABLE not in model.settings.env:
        problem = (
            f"the engine needs {name} for {model.spec.title}, and its pods reach no network to download it"
        )
        fix = f"put it beside the weights or in the engine's image, and name its folder in env: {VARIABLE}"
        yield Finding(
            Code.WEIGHTS, f"{at}.weights", problem, fix, str(model.weights.source), "fetched weights"
        )


def credentials(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """S3 needs both of its keys or none, and no token may travel unencrypted."""
    source = model.weights.source
    if source is WeightsFrom.S3 and (missing := other_of_s3(plan)) is not None:
        given = S3_SECRET if missing == S3_KEY else S3_KEY
        problem = f"the stack has the secret {given} and not {missing}"
        fix = f"run `{set_secret(missing, plan.stack)}`, or remove the other for anonymous access"
        yield Finding(Code.NO_SECRET, f"{at}.weights", problem, fix)
    if source is WeightsFrom.MODEL_SCOPE and model.weights.clear and MODEL_SCOPE_TOKEN in plan.secrets:
        problem = "the token of ModelScope would travel unencrypted"
        fix = f"use https, or remove the secret {MODEL_SCOPE_TOKEN}"
        yield Finding(
            Code.TOKEN_IN_CLEAR, f"{at}.weights.endpoint", problem, fix, model.weights.endpoint, "https://"
        )
