"""Checks that an entry names one model, of the catalogue or of one's own, and that its own can be served."""

from collections.abc import Mapping

from tierup.catalog import Catalog, ModelSpec, Precision
from tierup.findings.model import Code, Finding
from tierup.plan.own_models import OwnModelError, own_spec
from tierup.plan.sources import source_of
from tierup.stack.parse import Attached
from tierup.stack.sections import Model, WeightsFrom


def named(model: Model, at: str, files: Mapping[str, Attached], catalog: Catalog) -> list[Finding]:
    """What is wrong with the keys that name the model, and with the file of its repository."""
    if model.source is None:
        return []
    if model.id is not None:
        fix = "leave out id for a model of your own, or source for one of the catalogue"
        return [Finding(Code.MODEL_SOURCE, f"{at}.source", "id names a model already", fix, model.id)]
    if model.revision is not None and source_of(model) is WeightsFrom.HUB:
        problem, fix = "source has the commit already", "leave it out"
        return [Finding(Code.MODEL_SOURCE, f"{at}.source", f"revision: {problem}", fix, model.revision)]
    try:
        own_spec(model.source, files, catalog)
    except OwnModelError as error:
        path = f"{at}.source.{error.path}"
        return [Finding(Code.MODEL_SOURCE, path, error.problem, error.fix, error.got)]
    return []


def precision(at: str, spec: ModelSpec, asked: Precision) -> Finding:
    """A precision in which the repository does not store its weights."""
    stored, known = spec.published, ", ".join(spec.variants)
    problem = f"the weights of {spec.title} are stored as {stored}, and the engine takes them as they are"
    fix = "leave it out, or add the repository that has this precision"
    return Finding(Code.UNKNOWN_PRECISION, f"{at}.precision", problem, fix, str(asked), known)
