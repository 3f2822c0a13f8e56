"""Check that the cluster has the classes that the stack file names for its pods."""

from collections.abc import Iterator

from tierup.findings.model import Code, Finding
from tierup.io.cluster.client import Cluster, ClusterError
from tierup.plan.model import Plan


def class_findings(cluster: Cluster, plan: Plan) -> Iterator[Finding]:
    """Classes that do not exist: the API server would refuse the pods, after everything else has been made."""
    named = {
        "runtimeClassName": (
            plan.cluster.runtime_class_name,
            "RuntimeClass",
            "/apis/node.k8s.io/v1/runtimeclasses",
        ),
        "priorityClassName": (
            plan.cluster.priority_class_name,
            "PriorityClass",
            "/apis/scheduling.k8s.io/v1/priorityclasses",
        ),
    }
    for key, (name, kind, path) in named.items():
        if name is None or (existing := _names(cluster, path)) is None or name in existing:
            continue
        fix = f"name one of them, or leave out cluster.{key}"
        problem, allowed = f"the cluster has no such {kind}", ", ".join(sorted(existing)) or "none"
        yield Finding(Code.NO_CLASS, f"cluster.{key}", problem, fix, name, allowed)


def _names(cluster: Cluster, path: str) -> list[str] | None:
    """The names in a list of objects; None where the user may not read it, which a deployment does not need."""
    try:
        listed = cluster.get(path) or {"items": []}
    except ClusterError as error:
        if error.forbidden:
            return None
        raise
    return [item["metadata"]["name"] for item in listed["items"]]
