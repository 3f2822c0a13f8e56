"""Proves with pods of its own what the API cannot show: images can be pulled, names resolve, policies are enforced."""

import time
from collections.abc import Callable, Iterable, Iterator

from tierup.findings.model import counted
from tierup.io.cluster.client import Cluster, ClusterError
from tierup.io.cluster.doctor.model import Check, not_checked, of_findings, ok, problem, warning
from tierup.io.cluster.doctor.probe import state
from tierup.io.cluster.doctor.probe.pods import PORT, Kit, Objects, images
from tierup.io.cluster.doctor.probe.session import Session
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

NAME = "kubernetes.default.svc.cluster.local"
_SERVER, _DNS, _DENY = "server", "dns", "deny"
_SECONDS = 20  # for a name to resolve, a server to answer, or a policy to apply
_SILENT_SECONDS = 3 * _SECONDS  # after which a pod that is said to run does not
_NEED_PODS = ("images", "dns", "policies")
_PLUGIN = "install a network plugin that enforces NetworkPolicies, such as Calico or Cilium"

Say = Callable[[str], None]


def probe(
    cluster: Cluster, plan: Plan, manifests: Iterable[Manifest], kit: Kit, *, timeout: float, say: Say
) -> Iterator[Check]:
    """The results of the probe, which creates a namespace with pods and removes it again.

    It ends after `timeout` seconds and the seconds of the removal; `say` gets its progress.
    """
    objects = Objects.of(kit, plan)
    session = Session(cluster, objects, time.monotonic() + timeout)
    checks: list[Check] = []
    try:
        with session.opened():
            say(f"probe: namespace {objects.namespace}, at most {timeout:.0f} s")
            checks.extend(_Probe(session, say).results(images(manifests)))
    except ClusterError as error:
        checks.extend(of_findings("probe", error.findings))
        checks.extend(not_checked(name, "the probe was refused") for name in _NEED_PODS)
    finally:
        if session.left:
            say(f"probe: namespace {objects.namespace} is still there")
    yield from checks
    if session.left:
        found = f"namespace {objects.namespace} was not removed in time"
        yield warning("probe", found, f"kubectl delete namespace {objects.namespace}")


class _Probe:
    """The steps of a probe in an open session."""

    def __init__(self, session: Session, say: Say) -> None:
        self._session = session
        self._objects = session.objects
        self._say = say

    def results(self, wanted: list[str]) -> list[Check]:
        """All results; where pods do not run, one that says so."""
        objects, create = self._objects, self._session.create
        create(objects.runs(_SERVER, "serve", str(PORT)))
        create(objects.runs(_DNS, "resolve", NAME, str(_SECONDS)))
        pulls = {f"image-{index}": image for index, image in enumerate(wanted)}
        for name, image in pulls.items():
            create(objects.pulls(name, image))
        self._say("probe: waiting for the first pod")
        resolved = self._answer(_DNS)
        if isinstance(resolved, str):
            return [self._resolved(resolved), *self._policies(), *self._images(pulls)]
        own = state.pull_failure(self._session.pods().get(_DNS, {}))
        # Only where the probe's own image is what is missing, other pods may run.
        seen = self._images(pulls) if own is not None else [not_checked("images", "no pod runs")]
        return [resolved, *seen, *(not_checked(name, "no pod runs") for name in ("dns", "policies"))]

    def _answer(self, name: str) -> str | Check:
        """The answer of a pod, or why there is none."""
        since: dict[str, float] = {}  # when a pod was first seen to wait for a node, or to run

        def settled(pods: dict[str, Manifest]) -> bool:
            pod, now = pods.get(name, {}), time.monotonic()
            if state.ended(pod) or state.simulated(pod) or state.pull_failure(pod) is not None:
                return True
            if state.waiting_for_node(pod) is not None:
                return now - since.setdefault("unplaced", now) > _SECONDS
            if pod.get("status", {}).get("phase") == "Running":
                return now - since.setdefault("runs", now) > _SILENT_SECONDS
            return False

        pod = self._session.watch(settled).get(name, {})
        answer = state.answer_of(pod, self._objects.token)
        return answer if answer is not None else _why_not(pod)

    def _resolved(self, answer: str) -> Check:
        if answer.startswith("resolved "):
            return ok("dns", f"{NAME} is {answer.removeprefix('resolved ')} in a pod")
        fix = "check the pods of CoreDNS in kube-system, and the kubelet's clusterDNS"
        return problem("dns", f"a pod cannot resolve {NAME} ({answer})", fix)

    def _policies(self) -> list[Check]:
        """Open without a policy, shut with one, open again without it."""
        self._say("probe: connecting without and with a network policy")
        address = self._session.pods().get(_SERVER, {}).get("status", {}).get("podIP")
        if address is None:
            return [not_checked("policies", "the probe's server has no address")]
        before = self._connection("before", address, "open")
        if before != "open":
            fix = "check the network plugin: pods must reach each other's addresses"
            return [
                _none(before) or problem("policies", "a pod cannot reach another pod, without a policy", fix)
            ]
        self._session.create(self._objects.deny())
        during = self._connection("during", address, "shut")
        self._session.delete(self._objects.deny())
        if during != "shut":
            found = "a connection stays open under a policy that denies it: network policies are not enforced"
            return [_none(during) or problem("policies", found, _PLUGIN)]
        after = self._connection("after", address, "open")
        if after != "open":
            found = "the connection did not come back after the policy, so it may have broken by itself"
            return [_none(after) or not_checked("policies", found, "run it again")]
        return [ok("policies", "a connection is open without a policy and shut by one that denies it")]

    def _connection(self, name: str, address: str, wanted: str) -> str | Check:
        self._session.create(self._objects.runs(name, "connect", address, str(PORT), wanted, str(_SECONDS)))
        return self._answer(name)

    def _images(self, pulls: dict[str, str]) -> list[Check]:
        self._say(f"probe: waiting for {counted(len(pulls), 'image')}")
        pods = self._session.watch(lambda now: all(_pull_known(now.get(name, {})) for name in pulls))
        checks = [check for name, image in pulls.items() if (check := _pull(pods.get(name, {}), image))]
        return checks or [
            ok("images", f"nodes have or can pull all {counted(len(pulls), 'image')} of the stack")
        ]


def _none(answer: str | Check) -> Check | None:
    """Why there is no answer, if there is none."""
    return answer if isinstance(answer, Check) else None


def _why_not(pod: Manifest) -> Check:
    """Why a pod gave no answer."""
    unplaced, failure = state.waiting_for_node(pod), state.pull_failure(pod)
    if failure is not None:
        image = pod["spec"]["containers"][0]["image"]
        return problem("pods", f"the probe's own image {image} cannot be pulled: {failure}", _REGISTRY)
    if unplaced is not None:
        return problem("pods", f"no node takes a pod: {unplaced}", "make one of the plan's nodes take pods")
    if state.ended(pod):
        return problem("pods", f"a pod ended without an answer: {state.end_reason(pod)}", _DESCRIBE)
    if pod.get("status", {}).get("phase") == "Running":
        found = "pods are said to run, but nothing runs in them: the nodes are simulated"
        return problem("pods", found, "name nodes with a kubelet in nodes.names")
    return problem("pods", "no pod started in time", f"{_DESCRIBE}, or give more time by --timeout")


_REGISTRY = "check the image's name under `images`, and the nodes' access to its registry"
_DESCRIBE = "check the kubelet and the container runtime of the nodes"


def _pull_known(pod: Manifest) -> bool:
    return state.pulled(pod) or state.pull_failure(pod) is not None or state.waiting_for_node(pod) is not None


def _pull(pod: Manifest, image: str) -> Check | None:
    """What is wrong with an image, None if a node has it."""
    if (failure := state.pull_failure(pod)) is not None:
        return problem("images", f"{image} cannot be pulled: {failure}", _REGISTRY)
    if state.pulled(pod):
        return None
    if (unplaced := state.waiting_for_node(pod)) is not None:
        return not_checked("images", f"{image}: no node takes a pod: {unplaced}")
    return warning(
        "images", f"{image} is not there yet", "give more time by --timeout, or pull it on the nodes"
    )
