"""Resolves where the files of a model come from; `tierup.rules.weights` has refused what is incomplete."""

from tierup.catalog import Variant
from tierup.plan.chooser import Chooser
from tierup.plan.weights import WeightsPlan
from tierup.stack.cluster import mirrored
from tierup.stack.sections import Model, WeightsFrom

DEFAULT_REGION = "us-east-1"
# The sources that pin their files by a commit of a repository.
WITH_COMMIT = frozenset({WeightsFrom.HUB, WeightsFrom.MODEL_SCOPE})


def source_of(entry: Model) -> WeightsFrom:
    """The source of a model entry, with its default."""
    return entry.weights.source if entry.weights is not None else WeightsFrom.HUB


def resolve_weights(
    entry: Model, at: str, variant: Variant, registry: str | None, choose: Chooser
) -> WeightsPlan:
    """The source of one model's files; `registry` mirrors all images."""
    given, at = entry.weights, f"{at}.weights"
    if given is None:
        choose.note(at, "the model hub", "models are fetched from where they are published")
        return WeightsPlan()
    if given.source is WeightsFrom.MODEL_SCOPE:
        why = "most models have the same name there"
        repo = choose.pick(f"{at}.repo", given.repo, variant.repo, why)
        return WeightsPlan(given.source, repo=repo, endpoint=given.endpoint)
    if given.source is WeightsFrom.S3:
        region = choose.pick(f"{at}.region", given.region, DEFAULT_REGION, "AWS's first; others ignore it")
        own = given.endpoint is not None
        why = "storage of one's own seldom has a host name per bucket" if own else "what AWS asks for"
        return WeightsPlan(
            given.source,
            url=(given.url or "").rstrip("/"),
            sha256=given.sha256 or "",
            endpoint=given.endpoint,
            region=region,
            path_style=choose.pick(f"{at}.pathStyle", given.path_style, own, why),
        )
    if given.folder is None and given.source in (WeightsFrom.CLAIM, WeightsFrom.IMAGE):
        choose.note(f"{at}.folder", "the root", f"the {given.source} holds one model")
    return WeightsPlan(
        given.source,
        claim=given.claim or "",
        folder=given.folder or "",
        image=mirrored(given.image, registry) if given.image is not None else "",
    )


def resolve_revision(entry: Model, at: str, variant: Variant, choose: Chooser) -> str:
    """The commit of the files; empty where the source has no commits."""
    source = source_of(entry)
    if source not in WITH_COMMIT:
        choose.note(f"{at}.revision", "none", f"weights from {source} are not pinned by a commit")
        return ""
    why = "the commit that the catalogue pins" if entry.source is None else "the commit of source"
    return choose.pick(f"{at}.revision", entry.revision, variant.revision or "", why)
