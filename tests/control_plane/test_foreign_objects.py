"""A preview or `up` refuses a cluster that does not match the stack file before it creates anything."""

import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from tier_plans import with_model_key
from tiers import Edit, Tier

from tierup.io.cluster.client import Cluster as ClusterClient
from tierup.io.cluster.scalers import api_groups, metrics_findings
from tierup.local.cluster.api import WAIT_TIMEOUT_S, Api, ApiError
from tierup.local.cluster.project import PulumiFailed

Run = Callable[[Tier], str]
RUNS: dict[str, Run] = {
    "up": lambda tier: tier.project.pulumi("up", "--yes", "--skip-preview", quiet=True),
    "preview": lambda tier: tier.project.pulumi("preview", quiet=True),
}
runs = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)


def refusal(tier: Tier, run: Run) -> str:
    """The error message; checks that it is one clean message and that nothing was created."""
    with pytest.raises(PulumiFailed) as refused:
        run(tier)
    message = str(refused.value)
    assert "Traceback" not in message
    assert tier.cluster.api.list_all("apps/v1", "Deployment", namespace=tier.plan.namespace) == []
    labelled = tier.cluster.api.list_all("v1", "Node", selector={"tierup/stack": tier.stack})
    assert [n["metadata"]["name"] for n in labelled if "tierup/role" in n["metadata"]["labels"]] == []
    return message


@runs
def test_all_foreign_objects_are_named_in_one_message(tier_of: Callable[..., Tier], run: Run) -> None:
    tier = tier_of("standard")
    tier.prepare()
    namespace, priority = tier.plan.namespace, f"tierup-{tier.stack}-model-server"
    for manifest in (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "gateway", "namespace": namespace},
        },
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": priority, "labels": {"tierup/stack": "other"}},
            "value": 5,
        },
    ):
        tier.cluster.api.create(manifest)
    message = refusal(tier, run)
    for name in (
        f"namespace/{namespace}",
        "serviceaccount/gateway",
        f"priorityclass/{priority}",
    ):
        assert f"TIER081 {name}: exists in the cluster and is not this stack's" in message
    assert f"the cluster of stack '{tier.stack}' has 3 problems:" in message
    kept = tier.cluster.api.get("scheduling.k8s.io/v1", "PriorityClass", priority)
    assert kept is not None
    assert kept["value"] == 5


def test_an_object_that_our_own_interrupted_up_left_is_adopted(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard")
    labels = {"tierup/stack": tier.stack}
    tier.cluster.api.create(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": tier.plan.namespace, "labels": labels}}
    )
    tier.up()
    tier.up("--expect-no-changes")


def test_another_deployment_of_the_same_stack_name_is_refused(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard")
    tier.up()
    states = tier.project.work_folder / "pulumi" / ".pulumi"
    ours = states.with_name("elsewhere")
    states.rename(ours)  # a colleague with another backend: same checkout, same cluster
    tier.prepare()
    for run in RUNS.values():
        with pytest.raises(PulumiFailed) as refused:
            run(tier)
        message = str(refused.value)
        assert "Traceback" not in message
        assert (
            f"TIER084 nodes.names[0]: node {tier.stack}-gpu-1 serves another deployment of a stack" in message
        )
        priority = f"priorityclass/tierup-{tier.stack}-model-server"
        assert f"TIER081 {priority}: belongs to another deployment of a stack" in message
    shutil.rmtree(states)
    ours.rename(states)
    tier.up("--expect-no-changes")


@runs
def test_missing_foreign_and_mismatched_nodes_are_named(tier_of: Callable[..., Tier], run: Run) -> None:
    tier = tier_of("standard")
    tier.prepare()
    api = tier.cluster.api
    api.delete("v1", "Node", f"{tier.stack}-gpu-1")
    api.wait("v1", "Node", f"{tier.stack}-gpu-1", until=lambda node: node is None)
    api.merge(
        f"/api/v1/nodes/{tier.stack}-gpu-2", {"metadata": {"labels": {"nvidia.com/gpu.product": "Tesla-T4"}}}
    )
    api.merge(f"/api/v1/nodes/{tier.stack}-gpu-3", {"metadata": {"labels": {"tierup/stack": "other"}}})
    message = refusal(tier, run)
    assert "TIER082 nodes.names[0]: the cluster has no such node" in message
    assert f"TIER083 nodes.names[1]: node {tier.stack}-gpu-2 is not a standard-2x-a100-80g-pcie" in message
    assert "(got Tesla-T4; allowed NVIDIA-A100-80GB-PCIe)" in message
    assert f"TIER084 nodes.names[2]: node {tier.stack}-gpu-3 serves the stack 'other'" in message


def test_a_missing_storage_class_is_named(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of(
        "standard",
        lambda text: with_model_key(text, "cache: {storageClass: fast-nfs}"),
    )
    tier.prepare()
    message = refusal(tier, RUNS["preview"])
    assert "TIER085 persistentvolumeclaim/models-shared-" in message
    assert "the cluster has no such storage class (got fast-nfs; allowed shared, standard)" in message


def claim_from(storage_class: str) -> Edit:
    """The standard tier with its model files in a claim of this class."""
    return lambda text: with_model_key(text, f"cache: {{kind: shared, storageClass: {storage_class}}}")


def test_a_single_node_storage_class_for_three_nodes_is_refused_until_a_shared_volume_exists(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("standard", claim_from("disks"), own_cluster=True)
    tier.prepare()
    api = tier.cluster.api

    def store(kind: str, version: str, name: str, **body: Any) -> None:
        api.create({"apiVersion": version, "kind": kind, "metadata": {"name": name}, **body})

    def volume(name: str, mode: str) -> None:
        source = {"nfs": {"server": "192.0.2.1", "path": f"/{name}"}}
        spec = {"storageClassName": "disks", "capacity": {"storage": "2Ti"}, "accessModes": [mode], **source}
        store("PersistentVolume", "v1", name, spec=spec)

    store("StorageClass", "storage.k8s.io/v1", "disks", provisioner="ebs.csi.aws.com")
    volume("for-one", "ReadWriteOnce")
    message = refusal(tier, RUNS["preview"])
    assert f"the cluster of stack '{tier.stack}' has 1 problem:" in message
    assert "TIER088 persistentvolumeclaim/models-shared-" in message
    assert "storage class disks makes no volume that serves ReadWriteMany, which 3 nodes need" in message
    assert "(got ebs.csi.aws.com) - name a class that does in cluster.modelStorageClass" in message
    volume("for-many", "ReadWriteMany")
    assert "TIER08" not in tier.project.pulumi("preview", quiet=True)


def second_scalers(namespace: str) -> list[dict[str, Any]]:
    """Autoscalers that a colleague may have created; the first of each kind targets one of the tier's Deployments."""
    mine = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "model-qwen2-5-7b"}
    theirs = {**mine, "name": "something-else"}
    target = {"type": "Utilization", "averageUtilization": 80}
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    trigger = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}
    return [
        {
            "apiVersion": version,
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"scaleTargetRef": reference, **rest},
        }
        for version, kind, rest in (
            ("autoscaling/v2", "HorizontalPodAutoscaler", {"maxReplicas": 4, "metrics": [cpu]}),
            ("keda.sh/v1alpha1", "ScaledObject", {"maxReplicaCount": 4, "triggers": [trigger]}),
        )
        for name, reference in (("theirs", mine), ("harmless", theirs))
    ]


def knows_scaled_objects(api: Api) -> bool:
    """Whether the API server serves KEDA's kind and lists its group, some time after the definition exists."""
    try:
        served = api.request("GET", "/apis/keda.sh/v1alpha1")
    except ApiError:
        return False
    listed = {group["name"] for group in api.request("GET", "/apis")["groups"]}
    return "keda.sh" in listed and bool(served["resources"])


@pytest.mark.parametrize("enabled", ["true", "false"])
def test_a_second_autoscaler_is_refused_until_it_is_removed(
    tier_of: Callable[..., Tier], scaled_objects: str, enabled: str
) -> None:
    """A real HPA, and a real ScaledObject under KEDA's own definition; KEDA itself does not run."""
    tier = tier_of("standard", own_cluster=True)
    if enabled == "false":
        tier.edit(lambda text: text.replace("enabled: true", "enabled: false"))
    tier.prepare()
    api, namespace = tier.cluster.api, tier.plan.namespace
    tier.kubectl("apply", "--server-side", "-f", scaled_objects)
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while not knows_scaled_objects(api):
        assert time.monotonic() < deadline, "the API server never served ScaledObjects"
    labels = {"tierup/stack": tier.stack}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    for manifest in second_scalers(namespace):
        api.create(manifest)
    message = refusal(tier, RUNS["up"])
    assert f"the cluster of stack '{tier.stack}' has 2 problems:" in message
    for kind in ("horizontalpodautoscaler", "scaledobject"):
        assert f"TIER089 {kind}/theirs: scales deployment/model-qwen2-5-7b" in message
        tier.kubectl("delete", "--namespace", namespace, kind, "theirs")
    assert "TIER089" not in tier.project.pulumi("preview", quiet=True)


def test_an_autoscaler_without_metrics_is_only_a_warning(tier_of: Callable[..., Tier]) -> None:
    """The tier could scale up to a warm spare, but the local cluster serves no metrics to scale by."""
    tier = tier_of("standard", lambda text: text.replace("mode: cold", "mode: warm", 1), own_cluster=True)
    tier.prepare()
    output = tier.project.pulumi("preview", quiet=True)
    assert "TIER014 autoscaling: no adapter serves custom.metrics.k8s.io in this cluster" in output
    assert "TIER08" not in output
    # A registered adapter is enough; whether it works is its owner's responsibility.
    tier.cluster.api.create(
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1beta2.custom.metrics.k8s.io"},
            "spec": {
                "group": "custom.metrics.k8s.io",
                "version": "v1beta2",
                "groupPriorityMinimum": 100,
                "versionPriority": 200,
                "insecureSkipTLSVerify": True,
                "service": {"name": "adapter", "namespace": "default"},
            },
        }
    )
    cluster = ClusterClient(str(tier.cluster.kubeconfig), tier.cluster.context)
    assert metrics_findings(tier.plan, api_groups(cluster)) == []


def use_cluster(tier: Tier, **values: str) -> None:
    """Set another cluster in the scratch stack file."""
    document = yaml.safe_load(tier.project.stack_file.read_text())
    document["config"]["tierup:cluster"] |= values
    tier.project.stack_file.write_text(yaml.safe_dump(document))


def test_an_unreachable_cluster_is_one_message(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard", own_cluster=True)
    tier.prepare()
    broken = tier.project.folder / "broken"
    broken.write_text("a: [")
    for run in RUNS.values():
        use_cluster(tier, context="nowhere")
        assert f"kubeconfig {tier.cluster.kubeconfig} has no context 'nowhere'" in refusal(tier, run)
        use_cluster(tier, kubeconfig="no/such/file")
        assert "kubeconfig no/such/file cannot be used" in refusal(tier, run)
        use_cluster(tier, kubeconfig=str(broken))
        assert f"kubeconfig {broken} cannot be used" in refusal(tier, run)
        use_cluster(tier, kubeconfig=str(tier.cluster.kubeconfig), context=tier.cluster.context)
    tier.cluster.kill("kube-apiserver")
    for run in RUNS.values():
        with pytest.raises(PulumiFailed, match="does not answer") as refused:
            run(tier)
        assert "Traceback" not in str(refused.value)


def test_missing_read_permission_is_reported_with_the_servers_message(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard")
    tier.prepare()
    tier.kubectl("create", "serviceaccount", "dev")
    access = yaml.safe_load(tier.cluster.kubeconfig.read_text())
    for user in access["users"]:
        user["user"] = {"token": tier.kubectl("create", "token", "dev").strip()}
    weak = tier.project.folder / "weak"
    weak.write_text(yaml.safe_dump(access))
    use_cluster(tier, kubeconfig=str(weak))
    message = refusal(tier, RUNS["preview"])
    assert "TIER080 cluster: " in message
    assert 'User "system:serviceaccount:default:dev" cannot get resource "namespaces"' in message
    assert "ask its administrator for a role" in message


def test_a_bad_stack_file_is_one_message_in_the_preview(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard")
    tier.prepare()
    text = tier.project.stack_file.read_text()
    tier.project.stack_file.write_text(
        text.replace("users: 50", "users: -1").replace("id: qwen2.5-7b", "id: qwen2.5-8b")
    )
    message = refusal(tier, RUNS["preview"])
    assert f"stack '{tier.stack}' has 2 problems:" in message
    assert "TIER006 workload.users" in message
    assert "TIER021 models[0].id: the catalogue has no such model (got qwen2.5-8b" in message
