"""Which permissions a deployment needs, which of them the user lacks, and a role that has them."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tierup.io.cluster.client import Cluster
from tierup.io.cluster.doctor.model import Check, ok, problem
from tierup.io.cluster.paths import PLURALS, namespaced
from tierup.io.cluster.scalers import KEDA
from tierup.manifests import base
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

_READ = ("get", "list", "watch")
_ALL = (*_READ, "create", "patch", "delete")  # server-side apply creates and changes with `patch`
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_AT_ONCE = 8  # requests; a deployment needs about a hundred reviews


@dataclass(frozen=True, slots=True)
class Need:
    """Verbs that a deployment needs for one kind of object, in the stack's namespace or in the whole cluster."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    namespaced: bool

    @property
    def kind(self) -> str:
        """As kubectl names it: `deployments.apps`."""
        return f"{self.resource}.{self.group}" if self.group else self.resource

    def rule(self, verbs: Iterable[str]) -> Manifest:
        """A rule of a Role or ClusterRole."""
        return {"apiGroups": [self.group], "resources": [self.resource], "verbs": list(verbs)}


# What is read and not written: by the checks of a preview, and by Pulumi while it waits for workloads and claims.
_READ_ONLY = (
    Need("storage.k8s.io", "storageclasses", ("list",), False),
    Need("", "persistentvolumes", ("list",), False),
    Need("", "pods", _READ, True),
    Need("", "events", _READ, True),
    Need("apps", "replicasets", _READ, True),
    Need("apps", "deployments", ("list",), True),
    Need("autoscaling", "horizontalpodautoscalers", ("list",), True),
)
_SCALED_OBJECTS = Need(KEDA, "scaledobjects", ("list",), True)


def needs(manifests: Iterable[Manifest], keda: bool) -> list[Need]:
    """What a deployment of these objects needs, each kind once; `keda`: its objects are read too."""
    written = [_need_of(item) for item in manifests]
    merged: dict[tuple[str, str, bool], Need] = {}
    for need in (*written, *_READ_ONLY, *([_SCALED_OBJECTS] if keda else [])):
        key = (need.group, need.resource, need.namespaced)
        before = merged[key].verbs if key in merged else ()
        verbs = tuple(verb for verb in _ALL if verb in {*before, *need.verbs})
        merged[key] = Need(need.group, need.resource, verbs, need.namespaced)
    return sorted(merged.values(), key=lambda need: (need.namespaced, need.group, need.resource))


def _need_of(manifest: Manifest) -> Need:
    group = manifest["apiVersion"].rpartition("/")[0]
    # Nodes are patched, never created.
    verbs = (*_READ, "patch") if manifest["kind"] == "Node" else _ALL
    return Need(group, PLURALS[manifest["kind"]], verbs, namespaced(manifest))


def permissions(cluster: Cluster, plan: Plan, needed: Iterable[Need]) -> list[Check]:
    """A problem for each kind for which the user lacks a verb."""
    if _allowed(cluster, Need("*", "*", (), False), "*", None):
        return [ok("permissions", "the user may do everything")]
    asked = [(need, verb) for need in needed for verb in need.verbs]

    def answer(question: tuple[Need, str]) -> bool:
        need, verb = question
        return _allowed(cluster, need, verb, plan.namespace if need.namespaced else None)

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        answers = dict(zip(asked, threads.map(answer, asked), strict=True))
    checks = []
    for need in dict.fromkeys(need for need, _ in asked):
        missing = [verb for verb in need.verbs if not answers[need, verb]]
        if missing:
            checks.append(_missing(plan, need, missing))
    kinds = len({need for need, _ in asked})
    return checks or [ok("permissions", f"the user may do what is needed with {kinds} kinds of objects")]


def _allowed(cluster: Cluster, need: Need, verb: str, namespace: str | None) -> bool:
    attributes = {"group": need.group, "resource": need.resource, "verb": verb}
    if namespace is not None:
        attributes["namespace"] = namespace
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = cluster.send("POST", _REVIEWS, review) or {}
    return bool(answer.get("status", {}).get("allowed"))


def _missing(plan: Plan, need: Need, verbs: list[str]) -> Check:
    where = f"in namespace {plan.namespace}" if need.namespaced else "in the whole cluster"
    found = f"{need.kind} {where}: the user may not {', '.join(verbs)}"
    rule = f'apiGroups: ["{need.group}"], resources: [{need.resource}], verbs: [{", ".join(verbs)}]'
    kind = "Role" if need.namespaced else "ClusterRole"
    fix = f"ask an administrator for a {kind} with {rule}; --role prints all rules"
    return problem("permissions", found, fix)


def roles(plan: Plan, needed: Iterable[Need]) -> Iterator[Manifest]:
    """The stack's namespace, and the roles that an administrator binds to whoever deploys the stack."""
    rules: dict[bool, list[Manifest]] = {True: [], False: []}
    for need in needed:
        rules[need.namespaced].append(need.rule(need.verbs))
    name, api = f"tierup-{plan.stack}", "rbac.authorization.k8s.io/v1"
    yield base.namespace(plan)  # a Role cannot exist before its namespace
    yield {"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules[False]}
    metadata = {"name": name, "namespace": plan.namespace}
    yield {"apiVersion": api, "kind": "Role", "metadata": metadata, "rules": rules[True]}
