"""The checks of a cluster before `up`, over real HTTP: access, nodes, foreign objects."""

import json
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_api import (
    CLASSES,
    GROUPS,
    NAMESPACE,
    NODES,
    RTX,
    VERSION,
    FakeApi,
    cluster_wide,
    collections,
    gpu_node,
    kubeconfig,
    labelled,
    storage_class,
    with_namespace,
)

from tierup.findings.model import Code
from tierup.io.cluster.checks import check, foreign_objects, node_findings
from tierup.io.cluster.client import Cluster, ClusterError
from tierup.io.cluster.owner import Owner
from tierup.manifests import render
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan
from tierup.resources.identity import STACK_LABEL

MakePlan = Callable[..., Plan]
OURS = Owner("test", frozenset(), established=True)  # the state contains the existing namespace
NEW = Owner("test", frozenset(), established=False)


def test_the_cluster_is_named_with_how_it_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kubeconfig(tmp_path, "http://127.0.0.1:1", "first", "second")
    assert str(Cluster(path, "second").ref) == (
        f"context 'second' of {path} at http://127.0.0.1:1 (named by tierup:cluster)"
    )
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", path)
    ambient = Cluster(None, None).ref
    assert (ambient.context, ambient.ambient) == ("first", True)
    assert "ambient" in str(ambient)


def test_the_home_folder_is_written_out_for_the_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kubectl's default is `~/.kube/config`; the provider takes text that is not a path as a kubeconfig."""
    kubeconfig(tmp_path, "http://127.0.0.1:1")
    (config,) = tmp_path.iterdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    path = f"~/{config.name}"
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", path)
    assert Cluster(None, None).ref.kubeconfig == str(config)
    assert Cluster(path, None).ref.kubeconfig == str(config)


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="nowhere cannot be used"):
        Cluster(str(tmp_path / "nowhere"), None)


def test_a_missing_context_is_named(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(ClusterError, match=f"kubeconfig {path} has no context 'other'"):
        Cluster(path, "other")


def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    cluster = Cluster(kubeconfig(tmp_path, "http://127.0.0.1:1"), None)
    with pytest.raises(ClusterError, match=r"http://127\.0\.0\.1:1 does not answer"):
        cluster.get(NODES)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_a_refusal_is_reported_with_its_status_and_path(api: FakeApi, cluster: Cluster, status: int) -> None:
    api.responses[NODES] = (status, b"{}")
    with pytest.raises(ClusterError, match=f"answers {status} to {NODES}"):
        cluster.get(NODES)


def test_a_server_s_message_is_reported_with_a_fix(api: FakeApi, cluster: Cluster) -> None:
    message = 'nodes is forbidden: User "dev" cannot list resource "nodes" at the cluster scope'
    api.responses[NODES] = (403, json.dumps({"message": message}).encode())
    with pytest.raises(ClusterError, match=r"TIER080 cluster: .*User \"dev\" cannot list .* - ask its admin"):
        cluster.get(NODES)


@pytest.mark.parametrize("text", ["a: [", "just words", "", "- 1", "contexts: 3", "\x00"])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes"
    path.write_text(text)
    with pytest.raises(ClusterError, match=r"TIER080 cluster.kubeconfig: kubeconfig .*notes cannot be used"):
        Cluster(str(path), None)


def test_of_several_kubeconfigs_the_one_with_the_context_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        paths.append(kubeconfig(tmp_path / name, f"http://{name}.invalid", name))
    listed = os.pathsep.join(["/nowhere", *paths])
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", listed)
    ref = Cluster(None, "second").ref
    assert (ref.kubeconfig, ref.server) == (paths[1], "http://second.invalid")


@pytest.mark.parametrize("page", [b"<html>Log in</html>", b"[1]", b"", b"\xff"])
def test_a_server_that_is_no_kubernetes_is_named(api: FakeApi, cluster: Cluster, page: bytes) -> None:
    api.responses[NODES] = (200, page)
    with pytest.raises(ClusterError, match=f"{api.url} does not answer as a Kubernetes API does"):
        cluster.get(NODES)


def test_a_wrong_certificate_or_protocol_is_not_tried_again(api: FakeApi, tmp_path: Path) -> None:
    cluster = Cluster(kubeconfig(tmp_path, api.url.replace("http:", "https:")), None)
    began = time.monotonic()
    with pytest.raises(ClusterError, match="does not answer"):
        cluster.get(NODES)
    assert time.monotonic() - began < 5


def test_a_missing_object_is_none(api: FakeApi, cluster: Cluster) -> None:
    api.missing.add(NAMESPACE)
    assert cluster.get(NAMESPACE) is None


def test_an_existing_object_is_returned(api: FakeApi, cluster: Cluster) -> None:
    api.holds(NAMESPACE, {"metadata": {"name": "tierup-test"}})
    assert cluster.get(NAMESPACE) == {"metadata": {"name": "tierup-test"}}


def test_nodes_as_planned_are_no_finding(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    api.has(NODES, gpu_node("test-gpu-1", owner="test"), gpu_node("stranger", "NVIDIA-L4", 1))
    assert node_findings(cluster, make_plan(), OURS) == []


def test_a_missing_node_is_reported_with_the_suitable_ones(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    api.has(NODES, gpu_node("a"), gpu_node("b"), gpu_node("c", "NVIDIA-L4"))
    (found,) = node_findings(cluster, make_plan(), OURS)
    assert (found.code, found.path, found.got) == (Code.NODE_MISSING, "nodes.names[0]", "test-gpu-1")
    assert f"nodes with {RTX}: a, b" in str(found)


def test_a_missing_spare_is_reported_too(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    api.has(NODES, gpu_node("test-gpu-1"))
    standby = {"mode": "cold", "count": 1}
    (found,) = node_findings(
        cluster, make_plan(nodes={"server": "entry-2x-rtx-4090", "standby": standby}), OURS
    )
    assert (found.code, found.got) == (Code.NODE_MISSING, "test-gpu-2")


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (gpu_node("test-gpu-1", "NVIDIA-L4"), (Code.NODE_MISMATCH, "NVIDIA-L4")),
        (gpu_node("test-gpu-1", gpus=1), (Code.NODE_MISMATCH, "1")),
        (gpu_node("test-gpu-1", owner="other"), (Code.NODE_TAKEN, "test-gpu-1")),
    ],
    ids=["product", "gpus", "taken"],
)
def test_a_node_that_does_not_match_the_plan_is_refused(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, node: Manifest, expected: tuple[Code, str]
) -> None:
    api.has(NODES, node)
    (found,) = node_findings(cluster, make_plan(), OURS)
    assert (found.code, found.got) == expected
    assert found.path == "nodes.names[0]"


def test_every_problem_of_a_node_is_reported(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    api.has(NODES, {"metadata": {"name": "test-gpu-1"}, "status": {}})
    found = node_findings(cluster, make_plan(), OURS)
    assert [(item.code, item.got) for item in found] == [
        (Code.NODE_MISMATCH, "none"),
        (Code.NODE_MISMATCH, "0"),
    ]


def test_an_empty_cluster_has_nothing_foreign_and_gets_few_requests(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    cluster_wide(api)
    api.has(NODES, gpu_node("test-gpu-1"))
    api.has(CLASSES, storage_class("standard", "nfs.csi.k8s.io"))
    plan = make_plan(monitoring={"storageClass": "standard"})
    assert check(cluster, plan, render(plan), frozenset()) == []
    # Nothing is requested inside a namespace that does not exist.
    assert set(api.requested) == {*api.missing, NODES, CLASSES, VERSION, GROUPS}


def test_our_own_objects_are_adopted(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    plan = make_plan()
    with_namespace(api, "test")
    ours = {"metadata": {"name": "gateway", "labels": {STACK_LABEL: "test"}}}
    api.has("/apis/apps/v1/namespaces/tierup-test/deployments", ours)
    assert foreign_objects(cluster, OURS, render(plan)) == []


@pytest.fixture
def deployed(api: FakeApi) -> None:
    """A cluster in which a deployment of a stack of this name is up."""
    with_namespace(api, "test")
    api.has(NODES, gpu_node("test-gpu-1", owner="test"))
    api.has(CLASSES, storage_class("standard", "nfs.csi.k8s.io"))
    api.has(
        "/apis/apps/v1/namespaces/tierup-test/deployments",
        *(labelled(name, f"{name}-uid") for name in ("gateway", "grafana")),
    )
    api.holds("/api/v1/persistentvolumes/tierup-test-models", labelled("tierup-test-models", "pv-uid"))


@pytest.mark.usefixtures("deployed")
def test_a_state_with_the_namespace_owns_all_its_objects(cluster: Cluster, make_plan: MakePlan) -> None:
    plan = make_plan(monitoring={"storageClass": "standard"})
    assert check(cluster, plan, render(plan), frozenset({"ns"})) == []


@pytest.mark.usefixtures("deployed")
def test_a_state_without_the_objects_is_another_deployment(cluster: Cluster, make_plan: MakePlan) -> None:
    plan = make_plan(monitoring={"storageClass": "standard"})
    node, objects = check(cluster, plan, render(plan), frozenset({"of-another-cluster"}))
    assert (node.code, node.path, node.got) == (Code.NODE_TAKEN, "nodes.names[0]", "test-gpu-1")
    assert objects.code is Code.FOREIGN_OBJECT
    assert objects.got == "persistentvolume/tierup-test-models, deployment/gateway, deployment/grafana"
    for finding in (node, objects):
        assert "another deployment of a stack 'test', which is not in this state" in finding.problem


@pytest.mark.usefixtures("deployed")
def test_a_state_owns_single_objects_if_their_namespace_was_recreated(
    cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan(monitoring={"storageClass": "standard"})
    held = frozenset({"test-gpu-1-uid", "pv-uid", "gateway-uid"})
    (objects,) = check(cluster, plan, render(plan), held)
    assert objects.got == "deployment/grafana"


def test_objects_retained_by_destroy_are_adopted_by_an_empty_state(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    with_namespace(api, "test")
    claims = "/api/v1/namespaces/tierup-test/persistentvolumeclaims"
    api.has(claims, labelled("prometheus-data", "pvc-uid", retain="true"))
    assert foreign_objects(cluster, NEW, render(make_plan())) == []
    api.has(claims, labelled("prometheus-data", "pvc-uid"))
    (found,) = foreign_objects(cluster, NEW, render(make_plan()))
    assert found.path == "persistentvolumeclaim/prometheus-data"


def test_many_objects_of_another_deployment_are_one_finding(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan(models=[{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq"}])
    with_namespace(api, "test")
    for manifest in render(plan):
        if manifest["kind"] in ("Service", "ServiceAccount"):
            plural = f"{manifest['kind'].lower()}s"
            path = f"/api/v1/namespaces/tierup-test/{plural}"
            items = json.loads(api.responses[path][1])["items"]
            api.has(path, *items, labelled(manifest["metadata"]["name"], "u"))
    (found,) = foreign_objects(cluster, NEW, render(plan))
    assert found.got is not None
    assert re.search(r" and \d+ more$", found.got)
    assert found.got.count(",") == 4


@pytest.mark.parametrize("owner", [None, "other"])
def test_objects_without_our_label_are_refused(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, owner: str | None
) -> None:
    plan = make_plan()
    with_namespace(api, "test")
    labels = {} if owner is None else {"labels": {STACK_LABEL: owner}}
    bystander = {"metadata": {"name": "not-in-the-plan"}}
    api.has(
        "/apis/apps/v1/namespaces/tierup-test/deployments",
        {"metadata": {"name": "gateway", **labels}},
        bystander,
    )
    api.holds("/api/v1/persistentvolumes/tierup-test-models", {"metadata": {"name": "x", **labels}})
    found = foreign_objects(cluster, OURS, render(plan))
    assert {(item.code, item.path, item.got) for item in found} == {
        (Code.FOREIGN_OBJECT, "deployment/gateway", owner),
        (Code.FOREIGN_OBJECT, "persistentvolume/tierup-test-models", owner),
    }


def test_a_namespace_that_is_not_ours_is_refused(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    plan = make_plan()
    with_namespace(api, None)
    (found,) = foreign_objects(cluster, OURS, render(plan))
    assert found.path == "namespace/tierup-test"
    assert "set cluster.namespace" in str(found)


def test_a_list_is_read_once(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    plan = make_plan(models=[{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq"}])
    with_namespace(api, "test")
    foreign_objects(cluster, OURS, render(plan))
    lists = [path for path in api.requested if path in collections()]
    assert len(lists) == len(set(lists)) >= 9


def test_the_fake_records_unknown_paths(tmp_path: Path) -> None:
    fake = FakeApi()
    threading.Thread(target=fake.server.handle_request).start()
    cluster = Cluster(kubeconfig(tmp_path, fake.url), None)
    with pytest.raises(ClusterError, match="answers 500 to /api/v1/secrets"):
        cluster.get("/api/v1/secrets")
    fake.server.server_close()
    assert fake.unknown == ["/api/v1/secrets"]
