"""A cache that many nodes share needs a storage class that serves many nodes, and one that is there at all."""

import datetime
from collections.abc import Callable

import pytest
from fake_api import CLASSES, VOLUMES, FakeApi, storage_class

from tierup.catalog.provisioners import load_provisioners
from tierup.findings.model import Code, Finding
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.storage import storage_findings
from tierup.manifests import render
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

MakePlan = Callable[..., Plan]
BLOCK = [name for name, entry in load_provisioners().items() if entry.value == "never" and "*" not in name]
ONE_NODE = [name for name, entry in load_provisioners().items() if entry.value == "one-node"]
DEFAULT = storage_class("disks", "ebs.csi.aws.com", default=True)
BY_HAND = "kubernetes.io/no-provisioner"


def shared(make_plan: MakePlan, nodes: int = 2, kind: str = "shared") -> Plan:
    """A tier whose model files lie in a claim of the class `models`."""
    cache = {"kind": kind} if kind == "node" else {"kind": kind, "storageClass": "models"}
    servers = {"server": "entry-2x-rtx-4090", "count": nodes}
    return make_plan(nodes=servers, models=[{"id": "qwen2.5-7b", "cache": cache}])


def findings_of(api: FakeApi, cluster: Cluster, plan: Plan, provisioner: str) -> list[Finding]:
    api.has(CLASSES, storage_class("models", provisioner), DEFAULT)
    return storage_findings(cluster, plan, render(plan))


def volume(plan: Plan, claimed_by: str | None, *modes: str, name: str = "models") -> Manifest:
    """A volume that an administrator made for a class."""
    spec: Manifest = {"storageClassName": name, "accessModes": list(modes)}
    if claimed_by is not None:
        spec["claimRef"] = {"namespace": plan.namespace, "name": claimed_by}
    return {"metadata": {"name": "by-hand"}, "spec": spec, "status": {"phase": "Available"}}


def claim_name(plan: Plan) -> str:
    (name,) = [
        item["metadata"]["name"] for item in render(plan) if item["metadata"]["name"].startswith("models-sha")
    ]
    return str(name)


def test_claims_ask_for_classes_that_exist(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    model = {"id": "qwen2.5-7b", "cache": {"kind": "shared", "storageClass": "nfs"}}
    plan = make_plan(models=[model], monitoring={"storageClass": "fast"})
    fast = storage_class("fast", "ebs.csi.aws.com")
    api.has(CLASSES, fast, storage_class("slow", "ebs.csi.aws.com"))
    (found,) = storage_findings(cluster, plan, render(plan))
    assert (found.code, found.got, found.allowed) == (Code.NO_STORAGE_CLASS, "nfs", "fast, slow")
    # The metrics have one reader, so a disk of one node does for them.
    api.has(CLASSES, fast, storage_class("nfs", "nfs.csi.k8s.io"))
    assert storage_findings(cluster, plan, render(plan)) == []


def test_a_claim_on_a_volume_of_its_own_needs_no_class(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    api.has(CLASSES, DEFAULT)  # for the metrics
    plan = make_plan()
    assert any("volumeName" in item.get("spec", {}) for item in render(plan))
    assert storage_findings(cluster, plan, render(plan)) == []


METRICS = "/api/v1/namespaces/tierup-test/persistentvolumeclaims/prometheus-data"


@pytest.mark.parametrize("listed", [True, False], ids=["no default", "no class at all"])
def test_a_claim_without_a_class_needs_a_default_one(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, listed: bool
) -> None:
    plan = make_plan()
    api.has(CLASSES, *([storage_class("slow", "ebs.csi.aws.com")] if listed else []))
    api.has(VOLUMES)
    api.missing.add(METRICS)
    (found,) = storage_findings(cluster, plan, render(plan))
    assert (found.code, found.path) == (Code.NO_STORAGE_CLASS, "persistentvolumeclaim/prometheus-data")
    assert found.problem == "names no storage class, and the cluster has no default one"
    assert found.allowed == ("slow" if listed else "none")


def test_a_claim_without_a_class_is_served_by_what_exists(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    plan = make_plan()
    api.has(CLASSES)
    api.missing.add(METRICS)
    free: Manifest = {
        "metadata": {"name": "by-hand"},
        "spec": {"accessModes": ["ReadWriteOnce"]},
        "status": {"phase": "Available"},
    }
    api.has(VOLUMES, free)
    assert storage_findings(cluster, plan, render(plan)) == []
    free["spec"]["accessModes"] = ["ReadOnlyMany"]
    api.has(VOLUMES, free)
    assert len(storage_findings(cluster, plan, render(plan))) == 1
    api.holds(METRICS, {"status": {"phase": "Bound"}})  # by an earlier `up`, when there was a default
    assert storage_findings(cluster, plan, render(plan)) == []


@pytest.mark.parametrize("provisioner", [*BLOCK, "rook-ceph.rbd.csi.ceph.com", *ONE_NODE])
def test_a_shared_cache_on_a_disk_of_one_node_is_refused(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, provisioner: str
) -> None:
    api.has(VOLUMES)
    plan = shared(make_plan)
    (found,) = findings_of(api, cluster, plan, provisioner)
    assert (found.code, found.path) == (Code.ONE_WRITER, f"persistentvolumeclaim/{claim_name(plan)}")
    assert found.got == provisioner
    assert (
        found.problem == "storage class models makes no volume that serves ReadWriteMany, which 2 nodes need"
    )
    assert (
        "cluster.modelStorageClass (NFS, CephFS, EFS, Filestore, Azure Files), or none: each node"
        in found.fix
    )


@pytest.mark.parametrize(
    "provisioner",
    [
        *("nfs.csi.k8s.io", "cephfs.csi.ceph.com", "rook-ceph.cephfs.csi.ceph.com", "efs.csi.aws.com"),
        *("filestore.csi.storage.gke.io", "file.csi.azure.com", "kubernetes.io/azure-file"),
        *("driver.longhorn.io", "csi.vsphere.vmware.com", "filestorage.csi.scaleway.com"),
        *("storage.example.com/unknown", "not-ebs.csi.aws.com", "ebs.csi.aws.com.example"),
    ],
)
def test_a_class_that_serves_many_nodes_or_is_unknown_passes(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, provisioner: str
) -> None:
    assert findings_of(api, cluster, shared(make_plan), provisioner) == []
    assert api.requested == [CLASSES]


def test_a_spare_counts_as_a_node_that_shares(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    api.has(VOLUMES)
    servers = {"server": "entry-2x-rtx-4090", "count": 1, "standby": {"mode": "cold", "count": 1}}
    plan = make_plan(nodes=servers, models=[{"id": "qwen2.5-7b", "cache": {"storageClass": "models"}}])
    (found,) = findings_of(api, cluster, plan, "k8s.io/minikube-hostpath")
    assert "which 2 nodes need" in found.problem


@pytest.mark.parametrize("provisioner", ONE_NODE)
def test_one_node_may_share_a_folder_with_itself(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, provisioner: str
) -> None:
    assert findings_of(api, cluster, shared(make_plan, nodes=1), provisioner) == []


def test_a_claim_that_is_never_bound_is_refused_on_one_node_too(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    api.has(VOLUMES)
    (found,) = findings_of(api, cluster, shared(make_plan, nodes=1), "ebs.csi.aws.com")
    assert found.problem.endswith("serves ReadWriteMany, which a shared cache asks for")


def test_a_cache_on_each_node_needs_no_class(api: FakeApi, cluster: Cluster, make_plan: MakePlan) -> None:
    assert findings_of(api, cluster, shared(make_plan, kind="node"), "ebs.csi.aws.com") == []


@pytest.mark.parametrize("provisioner", [BY_HAND, "rancher.io/local-path"])
def test_a_volume_made_by_hand_serves_what_the_class_cannot(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan, provisioner: str
) -> None:
    plan = shared(make_plan)
    ours = claim_name(plan)
    for served in (
        volume(plan, None, "ReadWriteOnce", "ReadWriteMany"),
        volume(plan, ours, "ReadWriteMany"),  # bound to us by an earlier `up`
    ):
        api.has(VOLUMES, served)
        assert findings_of(api, cluster, plan, provisioner) == []
    used_up = volume(plan, ours, "ReadWriteMany")
    used_up["status"]["phase"] = "Released"
    for useless in (
        volume(plan, None, "ReadWriteOnce"),
        volume(plan, None, "ReadWriteMany", name="another-class"),
        volume(plan, "another-claim", "ReadWriteMany"),
        used_up,
    ):
        api.has(VOLUMES, useless)
        (found,) = findings_of(api, cluster, plan, provisioner)
        assert found.code is Code.ONE_WRITER


def test_a_class_without_a_provisioner_or_a_volume_is_reported(
    api: FakeApi, cluster: Cluster, make_plan: MakePlan
) -> None:
    api.has(VOLUMES)
    (found,) = findings_of(api, cluster, shared(make_plan), BY_HAND)
    assert found.problem == (
        "storage class models has no free volume that serves ReadWriteMany, which 2 nodes need"
    )


def test_facts_about_a_provisioner_have_a_dated_source() -> None:
    table = load_provisioners()
    assert len(table) >= 30
    for name, entry in table.items():
        assert entry.source.url is not None, name
        assert entry.source.url.startswith("https://"), name
        assert datetime.date(2017, 1, 1) < entry.as_of <= datetime.date(2026, 11, 25), name
