"""Check that the cluster has what models are served from that are not fetched: image volumes, and named claims."""

from collections.abc import Iterator

from tierup.findings.model import Code, Finding, Severity
from tierup.io.cluster.client import Cluster, ClusterError
from tierup.io.cluster.version import parse, server_version
from tierup.plan.model import Plan
from tierup.stack.sections import WeightsFrom

# KEP-4639: alpha in 1.31, beta and off in 1.33, beta and on in 1.35.
IMAGE_VOLUMES, IMAGE_VOLUMES_WITH_GATE = (1, 35), (1, 33)


def weights_findings(cluster: Cluster, plan: Plan) -> Iterator[Finding]:
    """What is missing; a claim that the user may not read is not checked."""
    for index, model in enumerate(plan.models):
        at = f"models[{index}].weights"
        if model.weights.source is WeightsFrom.IMAGE:
            yield from _image_volumes(cluster, at)
        if model.weights.source is WeightsFrom.CLAIM and not _has_claim(cluster, plan, model.weights.claim):
            problem = (
                f"namespace {plan.namespace} has no such volume claim: the pods of {model.name} wait for it"
            )
            fix = "make it there, from the volume that has the files"
            got = model.weights.claim
            yield Finding(Code.NO_CLAIM, f"{at}.claim", problem, fix, got, severity=Severity.WARNING)


def _image_volumes(cluster: Cluster, at: str) -> Iterator[Finding]:
    version = server_version(cluster)
    number = parse(version) if version is not None else None
    if number is None or number >= IMAGE_VOLUMES:
        return
    allowed = f"{IMAGE_VOLUMES[0]}.{IMAGE_VOLUMES[1]} or newer"
    if number >= IMAGE_VOLUMES_WITH_GATE:
        problem, severity = "image volumes are off by default in this Kubernetes", Severity.WARNING
        fix = "turn on the feature gate ImageVolume in the API server and on the nodes, or upgrade"
    else:
        problem, severity = "this Kubernetes mounts no images as volumes", Severity.ERROR
        fix = "upgrade it, or use weights: {from: claim}"
    yield Finding(Code.NO_IMAGE_VOLUMES, at, problem, fix, version, allowed, severity=severity)


def _has_claim(cluster: Cluster, plan: Plan, name: str) -> bool:
    path = f"/api/v1/namespaces/{plan.namespace}/persistentvolumeclaims/{name}"
    try:
        return cluster.get(path) is not None
    except ClusterError as error:
        if error.forbidden:
            return True
        raise
