"""What a deployment needs follows from its objects; what the user lacks is named by kind, with the rule."""

from collections.abc import Callable
from typing import Any

from fake_api import Answer, FakeApi

from tierup.io.cluster.client import Cluster
from tierup.io.cluster.doctor.access import Need, needs, permissions, roles
from tierup.io.cluster.doctor.model import Status
from tierup.manifests import render
from tierup.plan.model import Plan

MakePlan = Callable[..., Plan]
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ALL = ("get", "list", "watch", "create", "patch", "delete")


def allowing(api: FakeApi, may: Callable[[dict[str, str]], bool]) -> list[dict[str, str]]:
    """The API answers access reviews; returns the list of what it was asked."""
    asked: list[dict[str, str]] = []

    def answer(method: str, path: str, body: Any) -> Answer | None:
        if (method, path) != ("POST", REVIEWS):
            return None
        attributes = body["spec"]["resourceAttributes"]
        asked.append(attributes)
        return 201, {"status": {"allowed": may(attributes)}}

    api.live = answer
    return asked


def test_every_rendered_kind_is_needed_with_its_scope(make_plan: MakePlan) -> None:
    plan = make_plan(secrets=frozenset({"hub-token"}))
    manifests = render(plan)
    needed = {need.kind: need for need in needs(manifests, keda=False)}
    assert needed["deployments.apps"] == Need("apps", "deployments", ALL, True)
    assert needed["namespaces"] == Need("", "namespaces", ALL, False)
    assert needed["secrets"].namespaced
    assert needed["nodes"].verbs == ("get", "list", "watch", "patch")  # labels, on nodes that exist
    assert needed["storageclasses.storage.k8s.io"].verbs == ("list",)
    assert needed["persistentvolumes"].verbs == ALL  # of the cache in the nodes' folders
    assert "scaledobjects.keda.sh" not in needed
    assert "scaledobjects.keda.sh" in {need.kind for need in needs(manifests, keda=True)}


def test_an_administrator_is_asked_about_once(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    asked = allowing(api, lambda _: True)
    (check,) = permissions(cluster, make_plan(), needs(render(make_plan()), keda=False))
    assert check.status is Status.OK
    assert asked == [{"group": "*", "resource": "*", "verb": "*"}]


def test_a_user_with_exactly_the_needed_rights_passes(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan()
    needed = needs(render(plan), keda=False)
    asked = allowing(api, lambda attributes: attributes["verb"] != "*")
    (check,) = permissions(cluster, plan, needed)
    assert check.status is Status.OK
    assert len(asked) == 1 + sum(len(need.verbs) for need in needed)
    spaces = {(item["resource"], item.get("namespace")) for item in asked}
    assert ("deployments", "tierup-test") in spaces
    assert ("nodes", None) in spaces


def test_what_is_missing_is_one_line_for_each_kind_with_the_rule_to_ask_for(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    def may(attributes: dict[str, str]) -> bool:
        lacks = attributes["resource"] == "jobs" and attributes["verb"] in ("create", "delete")
        return attributes["verb"] != "*" and not lacks and attributes["resource"] != "nodes"

    allowing(api, may)
    plan = make_plan(models=[{"id": "qwen2.5-7b", "cache": {"kind": "shared", "storageClass": "nfs"}}])
    found = permissions(cluster, plan, needs(render(plan), keda=False))
    assert [(check.status, check.found) for check in found] == [
        (Status.PROBLEM, "nodes in the whole cluster: the user may not get, list, watch, patch"),
        (Status.PROBLEM, "jobs.batch in namespace tierup-test: the user may not create, delete"),
    ]
    assert found[1].fix is not None
    assert 'a Role with apiGroups: ["batch"], resources: [jobs], verbs: [create, delete]' in found[1].fix


def test_the_roles_hold_every_need_in_its_scope(make_plan: MakePlan) -> None:
    plan = make_plan()
    needed = needs(render(plan), keda=True)
    namespace, wide, narrow = roles(plan, needed)
    assert (namespace["kind"], namespace["metadata"]["labels"]["tierup/stack"]) == ("Namespace", "test")
    assert (wide["kind"], narrow["kind"]) == ("ClusterRole", "Role")
    assert narrow["metadata"]["namespace"] == plan.namespace
    rules = {(rule["resources"][0], tuple(rule["verbs"])) for rule in (*wide["rules"], *narrow["rules"])}
    assert rules == {(need.resource, need.verbs) for need in needed}
    assert not {"*"} & {verb for _, verbs in rules for verb in verbs}
