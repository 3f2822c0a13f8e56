"""The probe: what it concludes from its pods, and that its namespace is gone however it ends."""

import os
import signal
import time
from collections.abc import Callable

import pytest
from fake_api import FakeApi
from fake_pods import FakePods

from tierup.io.cluster.client import Cluster
from tierup.io.cluster.doctor.model import Check, Status
from tierup.io.cluster.doctor.probe import run, session, state
from tierup.io.cluster.doctor.probe.pods import PREFIX, Objects, images, python_kit
from tierup.manifests import render
from tierup.plan.model import Plan

MakePlan = Callable[..., Plan]
OK, WARNING, PROBLEM, NOT_CHECKED = Status.OK, Status.WARNING, Status.PROBLEM, Status.NOT_CHECKED


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake is at its end at once, so the waiting can be short."""
    monkeypatch.setattr(session, "_POLL_SECONDS", 0.01)
    monkeypatch.setattr(session, "_REMOVE_SECONDS", 0.2)
    monkeypatch.setattr(run, "_SECONDS", 0.1)
    monkeypatch.setattr(run, "_SILENT_SECONDS", 0.3)


def probed(api: FakeApi, cluster: Cluster, plan: Plan, pods: FakePods) -> dict[str, Check]:
    """The results by name; every namespace that was created is gone unless the cluster keeps it."""
    api.live = pods.answer
    manifests = render(plan)
    checks = list(run.probe(cluster, plan, manifests, python_kit(plan), timeout=1, say=lambda _: None))
    assert all(name.startswith(PREFIX) for name in pods.made)
    assert pods.spaces == [] or not pods.removes
    return {check.name: check for check in checks}


def statuses(results: dict[str, Check]) -> dict[str, Status]:
    return {name: check.status for name, check in results.items()}


def test_a_cluster_in_which_all_works(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    pods = FakePods()
    results = probed(api, cluster, make_plan(), pods)
    assert statuses(results) == {"dns": OK, "policies": OK, "images": OK}
    assert "10.96.0.1" in results["dns"].found
    assert len(pods.made) == 1
    pulled = {pod["spec"]["containers"][0]["image"] for pod in pods.pods.values()}
    assert pulled == set(images(render(make_plan())))
    assert len(pulled) > 4


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        (FakePods(resolves=False), Check("dns", PROBLEM, "cannot resolve kubernetes.default.svc.cluster")),
        (FakePods(enforces=False), Check("policies", PROBLEM, "network policies are not enforced")),
        (FakePods(reaches=False), Check("policies", PROBLEM, "cannot reach another pod, without a policy")),
        (FakePods(recovers=False), Check("policies", NOT_CHECKED, "may have broken by itself")),
    ],
    ids=["no DNS", "not enforced", "no network", "broken meanwhile"],
)
def test_what_does_not_work_is_named_and_the_rest_is_ok(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, pods: FakePods, expected: Check
) -> None:
    results = probed(api, cluster, make_plan(), pods)
    assert statuses(results) == {"dns": OK, "policies": OK, "images": OK} | {expected.name: expected.status}
    assert expected.found in results[expected.name].found


def test_an_image_that_cannot_be_pulled_is_a_problem_and_a_slow_one_a_warning(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan()
    missing = probed(api, cluster, plan, FakePods(missing=frozenset({plan.images.nginx})))["images"]
    assert missing.status is PROBLEM
    assert missing.found == f"{plan.images.nginx} cannot be pulled: {plan.images.nginx}: not found"
    slow = probed(api, cluster, plan, FakePods(slow=frozenset({plan.images.grafana})))["images"]
    assert (slow.status, slow.found) == (WARNING, f"{plan.images.grafana} is not there yet")
    assert "--timeout" in str(slow.fix)


def test_simulated_pods_prove_nothing(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    results = probed(api, cluster, make_plan(), FakePods(simulated=True))
    rest = dict.fromkeys(("images", "dns", "policies"), NOT_CHECKED)
    assert statuses(results) == {"pods": PROBLEM} | rest
    assert "the nodes are simulated" in results["pods"].found


def test_a_simulator_that_knows_container_ids_proves_nothing_either(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pods are said to run, with a container's id, and never answer."""
    monkeypatch.setattr(state, "simulated", lambda pod: False)
    results = probed(api, cluster, make_plan(), FakePods(simulated=True))
    assert results["pods"].status is PROBLEM
    assert OK not in {results[name].status for name in ("dns", "policies")}


def test_the_reason_of_the_scheduler_is_reported(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    results = probed(api, cluster, make_plan(), FakePods(unplaced="0/3 nodes are available"))
    assert results["pods"].found == "no node takes a pod: 0/3 nodes are available"
    assert {results[name].status for name in ("images", "dns", "policies")} == {NOT_CHECKED}


def test_without_its_own_image_the_probe_claims_nothing(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan()
    results = probed(api, cluster, plan, FakePods(missing=frozenset({plan.images.reloader})))
    assert f"the probe's own image {plan.images.reloader} cannot be pulled" in results["pods"].found
    assert results["images"].found.startswith(plan.images.reloader)
    assert {results[name].status for name in ("dns", "policies")} == {NOT_CHECKED}


@pytest.mark.parametrize("refused", [("POST", "namespaces"), ("POST", "pods"), ("GET", "serviceaccounts")])
def test_a_refused_probe_leaves_nothing(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, refused: tuple[str, str]
) -> None:
    results = probed(api, cluster, make_plan(), FakePods(refuses=refused))
    assert results["probe"].status is PROBLEM
    assert "answers 403" in results["probe"].found
    assert {results[name].status for name in ("images", "dns", "policies")} == {NOT_CHECKED}


def test_a_namespace_that_stays_is_named_with_the_command_that_removes_it(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    pods = FakePods(removes=False)
    check = probed(api, cluster, make_plan(), pods)["probe"]
    assert (check.status, check.fix) == (WARNING, f"kubectl delete namespace {pods.made[0]}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_probe_after_its_namespace_is_gone(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, number: signal.Signals
) -> None:
    pods = FakePods(slow=frozenset({make_plan().images.reloader}))
    api.live = pods.answer

    def say(line: str) -> None:
        if "first pod" in line:
            assert len(pods.spaces) == 1
            os.kill(os.getpid(), number)
            time.sleep(0.1)

    plan = make_plan()
    # A shell that starts the tests in the background lets them ignore SIGINT.
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            list(run.probe(cluster, plan, render(plan), python_kit(plan), timeout=5, say=say))
        assert (pods.spaces, len(pods.made)) == ([], 1)
        assert signal.getsignal(number) is usual
    finally:
        signal.signal(number, before)


def test_the_pods_are_such_as_a_restricted_namespace_admits(make_plan: MakePlan) -> None:
    plan = make_plan()
    objects = Objects.of(python_kit(plan), plan)
    levels = objects.own_namespace()["metadata"]["labels"]
    assert levels["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = objects.runs("server", "serve", "8080")["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchFields"][0]["values"] == ["test-gpu-1"]


def test_the_policy_that_is_tried_is_the_stack_s_own(make_plan: MakePlan) -> None:
    plan = make_plan()
    tried = Objects.of(python_kit(plan), plan).deny()
    (own,) = [item for item in render(plan) if item["metadata"]["name"] == "default-deny"]
    assert (tried["kind"], tried["spec"]) == (own["kind"], own["spec"])
