"""Every check of a cluster in order, each with what was found and what to do."""

import functools
from collections.abc import Callable, Iterable, Iterator

from tierup.catalog.versions import load_versions
from tierup.findings.model import Finding
from tierup.io.cluster.checks import object_findings
from tierup.io.cluster.client import Cluster, ClusterError
from tierup.io.cluster.doctor import services
from tierup.io.cluster.doctor.access import needs, permissions
from tierup.io.cluster.doctor.model import Check, not_checked, of_findings, ok, problem
from tierup.io.cluster.doctor.nodes import nodes, runtime
from tierup.io.cluster.owner import Owner
from tierup.io.cluster.scalers import KEDA, group_versions, metrics_findings
from tierup.io.cluster.storage import storage_findings
from tierup.io.cluster.version import server_version, version_findings
from tierup.io.cluster.weights import weights_findings
from tierup.manifests import render
from tierup.plan.model import Plan
from tierup.rules import acceptance

REQUEST_SECONDS = 5
_WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_OTHER_SERVER = "name another kubeconfig or context in tierup:cluster"
_NO_ANSWER = (None, 401)  # statuses after which no other request can succeed


Probe = Callable[[Cluster], Iterable[Check]]


def _connect(plan: Plan) -> Cluster:
    """The stack's cluster, with a short time for each request; raises `ClusterError` if there is no such kubeconfig."""
    return Cluster(plan.cluster.kubeconfig, plan.cluster.context, read_seconds=REQUEST_SECONDS, retries=0)


def examine(plan: Plan, probe: Probe | None = None) -> Iterator[Check]:
    """The result of each check as soon as it is known; reads only, unless `probe` creates something.

    A check that the server refuses is a problem. Where no server answers, those after it are not made.
    """
    steps = dict(_Examination(plan, probe).steps())
    for index, (name, step) in enumerate(steps.items()):
        try:
            yield from step()
        except ClusterError as error:
            yield from _refused(name, error)
            if error.status in _NO_ANSWER:
                rest = list(steps)[index + 1 :]
                yield from (not_checked(other, "the cluster does not answer") for other in rest)
                return


def _refused(name: str, error: ClusterError) -> list[Check]:
    """A problem, unless only the doctor wants to read this: a deployment does without."""
    if name == "runtime" and error.forbidden:
        return [not_checked(name, item.problem, item.fix) for item in error.findings]
    return of_findings(name, error.findings)


class _Examination:
    """The checks of one plan; what several of them read is read once."""

    def __init__(self, plan: Plan, probe: Probe | None) -> None:
        self._plan = plan
        self._probe = probe
        self._manifests = render(plan)
        # The stack's state is not read here: what has the stack's label counts as its own. The preview tells apart two
        # deployments of the same name.
        self._owner = Owner(plan.stack, frozenset(), established=True)

    @functools.cached_property
    def _cluster(self) -> Cluster:
        return _connect(self._plan)

    @functools.cached_property
    def _groups(self) -> dict[str, str]:
        return group_versions(self._cluster)

    def steps(self) -> Iterator[tuple[str, Callable[[], Iterable[Check]]]]:
        """Each check's name, and the function that makes it."""
        yield "cluster", self._access
        yield "version", self._version
        yield "permissions", self._permissions
        yield "apis", lambda: services.apis(self._cluster, self._manifests, self._groups)
        yield "metrics", self._metrics
        yield "storage", self._storage
        yield "nodes", lambda: nodes(self._cluster, self._plan, self._owner, self._manifests)
        yield "runtime", lambda: runtime(self._cluster, self._plan)
        yield "objects", self._objects
        yield "pods", self._pods

    def _marked(self, name: str, findings: Iterable[Finding]) -> list[Check]:
        """The results of findings, of which the stack file may accept some."""
        return of_findings(name, acceptance.marked(findings, self._plan.accept))

    def _access(self) -> list[Check]:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = self._cluster.send("POST", _WHO, review) or {}
        user = answer.get("status", {}).get("userInfo", {}).get("username", "a user without a name")
        found = f"{self._cluster.ref}, as {user}"
        if user == "system:anonymous":
            return [problem("cluster", found, "log in to it: the kubeconfig's user sends no credentials")]
        return [ok("cluster", found)]

    def _version(self) -> list[Check]:
        if "gitVersion" not in (self._cluster.get("/version") or {}):
            found = (
                f"{self._cluster.ref.server} reports no version: it is not the API of a Kubernetes cluster"
            )
            raise ClusterError("cluster", found, _OTHER_SERVER)
        tested = load_versions().kubernetes.tested
        found = f"Kubernetes {server_version(self._cluster) or 'of no known version'}; tested with {tested}"
        return self._marked("version", version_findings(self._cluster)) or [ok("version", found)]

    def _permissions(self) -> list[Check]:
        needed = needs(self._manifests, keda=KEDA in self._groups)
        return permissions(self._cluster, self._plan, needed)

    def _metrics(self) -> list[Check]:
        custom = self._marked("metrics", metrics_findings(self._plan, self._groups))
        others = services.metrics(self._cluster, self._plan, self._groups)
        return [*custom, *(check for check in others if not custom or check.fix is not None)]

    def _storage(self) -> list[Check]:
        claims = [item for item in self._manifests if item["kind"] == "PersistentVolumeClaim"]
        names = ", ".join(item["metadata"]["name"] for item in claims) or "none"
        findings = storage_findings(self._cluster, self._plan, self._manifests)
        findings += weights_findings(self._cluster, self._plan)
        return self._marked("storage", findings) or [
            ok("storage", f"the volume claims can be served: {names}")
        ]

    def _objects(self) -> list[Check]:
        name = self._plan.namespace
        new = self._cluster.get(f"/api/v1/namespaces/{name}") is None
        findings = object_findings(
            self._cluster, self._plan, self._owner, self._manifests, self._groups, new=new
        )
        found = f"namespace {name} does not exist yet" if new else f"namespace {name} is this stack's"
        return self._marked("objects", findings) or [ok("objects", f"{found}; nothing is in the way")]

    def _pods(self) -> Iterable[Check]:
        """What only pods show."""
        if self._probe is not None:
            return self._probe(self._cluster)
        return [
            not_checked("images", "only a node shows whether it can pull them", "--probe pulls each once"),
            services.dns(self._cluster),
            not_checked("policies", "only a connection shows whether they are enforced", "--probe tries one"),
        ]
