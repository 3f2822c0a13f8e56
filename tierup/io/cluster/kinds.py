"""Check that a cluster serves the kinds of a plan's objects; those of add-ons exist only where they are installed."""

from collections.abc import Iterable

from tierup.findings.model import Code, Finding
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.paths import api_root
from tierup.manifests.common import Manifest

_ENABLE = "enable this API in the API server, or upgrade the cluster"
# The API groups that are not Kubernetes' own, with what to install.
_ADDONS = {
    "gateway.networking.k8s.io": "install the Gateway API (standard channel, 1.2 or newer) and a controller",
    "cert-manager.io": "install cert-manager, with the issuer that `gateway.tls` names",
}


def _group(version: str) -> str:
    return version.partition("/")[0]


def how_to_serve(version: str) -> str:
    """What to do so that a cluster serves an API version."""
    return _ADDONS.get(_group(version), _ENABLE)


def missing_kinds(cluster: Cluster, manifests: Iterable[Manifest]) -> dict[str, str]:
    """The kinds of the objects that the cluster does not serve, by API version: `Job of batch/v1`."""
    wanted: dict[str, set[str]] = {}
    for manifest in manifests:
        wanted.setdefault(manifest["apiVersion"], set()).add(manifest["kind"])
    missing = {}
    for version, kinds in wanted.items():
        listed = cluster.get(api_root(version)) or {"resources": []}
        if lacking := kinds - {item["kind"] for item in listed["resources"]}:
            missing[version] = f"{', '.join(sorted(lacking))} of {version}"
    return missing


def kind_findings(cluster: Cluster, manifests: Iterable[Manifest]) -> list[Finding]:
    """A finding for each add-on whose kinds a plan needs and the cluster lacks.

    The engine would find out only when it creates the object, after most of the others.
    """
    of_addons = [item for item in manifests if _group(item["apiVersion"]) in _ADDONS]
    missing = missing_kinds(cluster, of_addons)
    problem = "the cluster does not serve a kind of this stack"
    return [
        Finding(Code.MISSING_KIND, "gateway", problem, how_to_serve(version), kinds)
        for version, kinds in missing.items()
    ]
