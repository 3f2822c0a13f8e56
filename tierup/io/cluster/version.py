"""Check that a cluster's Kubernetes is new enough for the objects of a plan."""

import re

from tierup.catalog.versions import load_versions
from tierup.findings.model import Code, Finding
from tierup.io.cluster.client import Cluster

# Since 1.30 a preStop hook may be a `sleep` without a feature gate (KEP-3960: alpha in 1.29, beta and on in 1.30), and
# every gateway and model server has one. An older API server drops the field and refuses the empty hook; an older
# kubelet does not wait. Everything else in the manifests is older: ContainerResource metrics of the autoscaler and
# `unhealthyPodEvictionPolicy` are on since 1.27.
MINIMUM = tuple(int(part) for part in load_versions().kubernetes.oldest.split("."))


def version_findings(cluster: Cluster) -> list[Finding]:
    """A finding if the API server is too old."""
    version = server_version(cluster)
    if version is None:
        return []
    what = f"the API server at {cluster.ref.server}"
    return too_old(version, "cluster", what, "upgrade it, or name another cluster in tierup:cluster")


def server_version(cluster: Cluster) -> str | None:
    """The API server's version as it reports it, None if it reports none."""
    reported = cluster.get("/version") or {}
    # Vendors add suffixes to both: "v1.31.4-eks-abc", minor "30+".
    for version in (
        reported.get("gitVersion", ""),
        f"{reported.get('major', '')}.{reported.get('minor', '')}",
    ):
        if parse(version) is not None:
            return str(version)
    return None


def too_old(version: str, path: str, what: str, fix: str) -> list[Finding]:
    """A finding if `version` is below the minimum; text that is not a version, as of a simulated node, is ignored."""
    parsed = parse(version)
    if parsed is None or parsed >= MINIMUM:
        return []
    problem = f"{what} is too old: it does not support the preStop `sleep` with which pods end without losing requests"
    allowed = f"{MINIMUM[0]}.{MINIMUM[1]} or newer"
    return [Finding(Code.CLUSTER_TOO_OLD, path, problem, fix, version, allowed)]


def parse(version: str) -> tuple[int, int] | None:
    """Major and minor number, None for a text that is not a version."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match is not None else None
