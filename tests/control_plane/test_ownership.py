"""Who owns what of a tier that is scheduled on simulated nodes, and what its namespace refuses."""

import base64
import copy
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml
from tier_checks import check_pods
from tiers import Tier, make_tier

from tierup.cli.render import to_yaml
from tierup.cli.tier_page import gpus_of_pod
from tierup.local.cluster.api import WAIT_TIMEOUT_S, Api, ApiError
from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.project import PulumiFailed
from tierup.manifests import render

Object = dict[str, Any]
SECRETS = "".join(
    f"  tierup:secret-{name}:\n    secure: v1:not:ours\n" for name in ("grafana-admin", "hub-token")
)
# Made by controllers without an owner reference: copies of a Service, and the log of events.
BY_CONTROLLERS = {"endpoints", "endpointslices.discovery.k8s.io", "events", "events.events.k8s.io"}
IN_EVERY_NAMESPACE = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


@pytest.fixture(scope="module")
def standard(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tier]:
    """A standard tier with both secrets that is up; tests only look at it."""
    tier = make_tier("standard", cluster, tmp_path_factory.mktemp("standard"))
    tier.edit(lambda text: text + SECRETS)
    tier.up()
    check_pods(tier)
    yield tier
    tier.remove()


def rendered(tier: Tier) -> list[Object]:
    """The tier's objects as the command prints them."""
    return list(yaml.safe_load_all(to_yaml(render(tier.plan))))


def identity(item: Object) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


def live_object(api: Api, manifest: Object) -> Object:
    metadata = manifest["metadata"]
    found = api.get(manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace"))
    assert found is not None, f"{identity(manifest)} is rendered and not in the cluster"
    return found


def our_manager(live: Object) -> str:
    """Pulumi's field manager of an object: one, with a random name."""
    found = {
        str(item["manager"]) for item in live["metadata"]["managedFields"] if item["operation"] == "Apply"
    }
    ours = [name for name in found if name.startswith("pulumi-kubernetes")]
    assert len(ours) == 1, f"{identity(live)} is applied by {found}"
    return ours[0]


def comparable(item: Object) -> Object:
    """Without what the server writes at each request, and without the marks of Pulumi itself."""
    item = copy.deepcopy(item)
    metadata = item["metadata"]
    for key in ("managedFields", "resourceVersion", "generation"):
        metadata.pop(key, None)
    for key, mine in (("labels", "app.kubernetes.io/managed-by"), ("annotations", "pulumi.com/patchForce")):
        metadata.get(key, {}).pop(mine, None)
        if not metadata.get(key):
            metadata.pop(key, None)
    return item


def with_values(manifest: Object, live: Object) -> Object:
    """A rendered Secret with values in the place of its references."""
    data = {key: base64.b64decode(value).decode() for key, value in live["data"].items()}
    references = manifest["stringData"]
    assert references.keys() == data.keys()
    assert all(value.startswith("${tierup:secret-") for value in references.values())
    assert not any("${" in value for value in data.values()), "the cluster has the value, not its reference"
    return {**manifest, "stringData": data}


def applied_as_pulumi(api: Api, manifest: Object) -> tuple[Object, Object]:
    """The live object, and what it would be if Pulumi applied the rendered one, at one and the same moment."""
    metadata = manifest["metadata"]
    path = api.path(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"), metadata["name"])
    while True:
        live = live_object(api, manifest)
        wanted = with_values(manifest, live) if manifest["kind"] == "Secret" else manifest
        query = urlencode({"fieldManager": our_manager(live), "dryRun": "All"})
        applied: Object = api.request("PATCH", f"{path}?{query}", wanted, "application/apply-patch+yaml")
        # Controllers and heartbeats write status: both must have been read of the same version.
        if live_object(api, manifest)["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]:
            return live, applied


def test_applying_the_rendered_objects_as_pulumis_own_field_manager_would_change_no_field(
    standard: Tier,
) -> None:
    """Server-side apply would remove a field of ours that is not rendered, and add one that was not applied."""
    api = standard.cluster.api
    for manifest in rendered(standard):
        live, applied = applied_as_pulumi(api, manifest)
        assert comparable(applied) == comparable(live), identity(manifest)


def test_the_cluster_has_no_object_of_the_stack_that_is_not_rendered(standard: Tier) -> None:
    namespace = standard.plan.namespace
    known = {identity(manifest) for manifest in rendered(standard)}
    listed = {
        scope: set(
            standard.kubectl("api-resources", "--verbs=list", f"--namespaced={scope}", "-oname").split()
        )
        for scope in ("true", "false")
    }
    for arguments in (
        (",".join(sorted(listed["true"] - BY_CONTROLLERS)), "--namespace", namespace),
        (",".join(sorted(listed["false"])), "--selector", f"tierup/stack={standard.stack}"),
    ):
        items = json.loads(standard.kubectl("get", *arguments, "--output=json"))["items"]
        made = {identity(item) for item in items if not item["metadata"].get("ownerReferences")}
        assert made, "the query finds nothing, so it proves nothing"
        assert made - IN_EVERY_NAMESPACE <= known


def test_no_value_of_a_secret_is_written_to_a_file_or_shown(standard: Tier) -> None:
    """The output of pulumi and all files that it and the project keep, in plain text and in the API's base64."""
    folder, namespace = standard.project.work_folder, standard.plan.namespace
    secrets = standard.cluster.api.list_all("v1", "Secret", namespace=namespace)
    encoded = [value.encode() for secret in secrets for value in secret["data"].values()]
    assert len(encoded) == 2
    needles = [*encoded, *map(base64.b64decode, encoded)]
    shown = [
        standard.project.pulumi(*args, quiet=True)
        for args in (
            ("preview", "--diff", "--show-sames"),
            ("preview", "--json", "--show-sames"),
            ("stack", "export"),
            ("config",),
        )
    ]
    files = [file for part in ("pulumi", "project") for file in (folder / part).rglob("*") if file.is_file()]
    assert any(file.name == f"{standard.stack}.json" for file in files), "the state is one of the files"
    for text in (*(text.encode() for text in shown), *(file.read_bytes() for file in files)):
        assert not any(needle in text for needle in needles)


def test_the_autoscaler_and_not_pulumi_sets_the_replicas(standard: Tier) -> None:
    """It has no metrics here, but brings the Deployment to its minimum, which `up` then finds unchanged."""
    (model,) = standard.plan.models
    name = f"model-{model.slug}"
    deployment = live_object(
        standard.cluster.api, next(m for m in rendered(standard) if m["kind"] == "Deployment")
    )
    assert deployment["metadata"]["name"] == name
    assert deployment["spec"]["replicas"] == model.replicas == 2
    owners = {
        entry["manager"]
        for entry in deployment["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
    assert owners <= {"kube-controller-manager"}
    rescaled: list[str] = []
    deadline = time.monotonic() + WAIT_TIMEOUT_S  # events are written some time after the deed
    while not rescaled and time.monotonic() < deadline:
        rescaled = [
            event["message"]
            for event in standard.objects("v1", "Event")
            if (event["reason"], event["involvedObject"]["name"]) == ("SuccessfulRescale", name)
        ]
    assert any(message.startswith("New size: 2") for message in rescaled)


def test_a_second_stack_in_the_cluster_leaves_every_object_of_the_first_alone(
    tier_of: Callable[..., Tier],
) -> None:
    first = tier_of("entry")
    first.up()
    check_pods(first)
    second = tier_of("premium", beside=first)
    nodes = "server: premium-4x-h100-80g-sxm\n    count: 1\n"
    names = f"    names: [{first.stack}-gpu-1, {second.stack}-gpu-2]\n"
    second.edit(lambda text: text.replace(nodes, nodes + names, 1))
    second.project.prepare()  # and no servers: the first stack's would become another model's
    with pytest.raises(PulumiFailed) as refused:
        second.project.pulumi("preview", quiet=True)
    assert f"serves the stack '{first.stack}'" in str(refused.value)
    second.edit(lambda text: text.replace(names, "", 1))

    def versions() -> dict[tuple[str, str], tuple[str, Any]]:
        found = [live_object(first.cluster.api, manifest) for manifest in rendered(first)]
        return {
            identity(item): (item["metadata"]["uid"], item.get("spec", item.get("data"))) for item in found
        }

    before = versions()
    second.up()
    check_pods(second)
    check_pods(first)
    assert versions() == before
    mine, theirs = ({identity(item) for item in rendered(tier)} for tier in (first, second))
    cluster_wide = {"Namespace", "Node", "PersistentVolume", "PriorityClass"}
    assert not {key for key in mine & theirs if key[0] in cluster_wide}
    second.project.pulumi("destroy", "--yes", "--skip-preview", quiet=True)
    assert versions() == before
    check_pods(first)
    first.up("--expect-no-changes")
    assert not second.cluster.api.list_all("v1", "Node", selector={"tierup/stack": second.stack})


def test_a_removed_server_can_be_drained_onto_those_in_service(
    tier_of: Callable[..., Tier],
) -> None:
    """Pods stay where they run when labels go, so the operator drains; the budgets let that end."""
    tier = tier_of("standard")
    tier.edit(lambda text: text.replace("count: 1\n    standby:", "count: 2\n    standby:", 1))
    tier.edit(lambda text: text.replace("capexUsd: 210000", "capexUsd: 240000", 1))
    tier.up()
    check_pods(tier)
    given = tier.plan.nodes.in_service[1]
    quota = {"requests.nvidia.com/gpu": "5"}  # four cards and the one pod that a rollout adds
    assert tier.objects("v1", "ResourceQuota")[0]["spec"]["hard"].items() >= quota.items()
    tier.cluster.api.merge(f"/api/v1/nodes/{given}", {"metadata": {"annotations": {"example.com/rack": "7"}}})
    tier.edit(lambda text: text.replace("count: 2\n    standby:", "count: 1\n    standby:", 1))
    tier.up()
    tier.kubectl(
        "drain",
        given,
        "--delete-emptydir-data",
        "--timeout=300s",
        f"--pod-selector=tierup/stack={tier.stack}",
    )
    tier.kubectl("uncordon", given)
    for deployment in tier.objects("apps/v1", "Deployment"):
        name = deployment["metadata"]["name"]
        tier.kubectl("rollout", "status", "--timeout=300s", "-n", tier.plan.namespace, f"deployment/{name}")
    check_pods(tier)
    pods = tier.objects("v1", "Pod")
    assert [pod["metadata"]["name"] for pod in pods if pod["spec"]["nodeName"] == given] == []
    assert sum(map(gpus_of_pod, pods)) == 2
    node = tier.cluster.api.get("v1", "Node", given)
    assert node is not None
    assert node["metadata"]["annotations"]["example.com/rack"] == "7"
    tier.up("--expect-no-changes")


# --- what the namespace refuses


def own_pod(tier: Tier) -> Object:
    """A pod as the model's Deployment makes it, with no GPU, so that the quota does not apply."""
    (model,) = tier.plan.models
    deployment = tier.cluster.api.get("apps/v1", "Deployment", f"model-{model.slug}", tier.plan.namespace)
    assert deployment is not None
    spec: Object = copy.deepcopy(deployment["spec"]["template"]["spec"])
    for kind in ("requests", "limits"):
        del spec["containers"][0]["resources"][kind]["nvidia.com/gpu"]
    metadata = {"name": "own", "namespace": tier.plan.namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def ask_to_create(tier: Tier, item: Object) -> None:
    """Send an object to admission as a dry run; ApiError 403 if it is refused."""
    path = tier.cluster.api.path(item["apiVersion"], item["kind"], tier.plan.namespace)
    tier.cluster.api.request("POST", f"{path}?dryRun=All", item)


def make_privileged(spec: Object) -> None:
    spec["containers"][0]["securityContext"] = {"privileged": True}


def mount_the_host(spec: Object) -> None:
    spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}})


def run_as_root(spec: Object) -> None:
    spec["securityContext"]["runAsUser"] = 0


def drop_seccomp(spec: Object) -> None:
    del spec["securityContext"]["seccompProfile"]


def use_the_nodes_network(spec: Object) -> None:
    spec["hostNetwork"] = True


WRONG = [
    (make_privileged, "privileged"),
    (mount_the_host, "hostPath"),
    (run_as_root, "runAsUser=0"),
    (drop_seccomp, "seccompProfile"),
    (use_the_nodes_network, "host namespaces"),
]


@pytest.mark.parametrize(("spoil", "reason"), WRONG)
def test_our_own_pod_is_admitted_and_refused_with_one_violation(
    standard: Tier, spoil: Callable[[Object], None], reason: str
) -> None:
    pod = own_pod(standard)
    ask_to_create(standard, pod)
    spoil(pod["spec"])
    with pytest.raises(ApiError) as refused:
        ask_to_create(standard, pod)
    assert refused.value.status == 403
    assert 'violates PodSecurity "restricted' in str(refused.value)
    assert reason in str(refused.value)


def wait_until_the_quota_counts_every_pod(tier: Tier) -> None:
    """Its controller counts from a cache that trails the pods; until then it admits too much."""
    key = "requests.nvidia.com/gpu"
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while True:
        wanted = sum(map(gpus_of_pod, tier.objects("v1", "Pod")))
        (quota,) = tier.objects("v1", "ResourceQuota")
        counted = int(quota.get("status", {}).get("used", {}).get(key, 0))
        if counted == wanted:
            return
        assert time.monotonic() < deadline, f"the quota counts {counted} cards, the pods ask for {wanted}"
        time.sleep(0.2)


def test_the_quota_admits_one_pending_pod_and_no_exposed_service(standard: Tier) -> None:
    wait_until_the_quota_counts_every_pod(standard)
    pod = own_pod(standard)
    for count, allowed in ((1, True), (2, False)):
        for kind in ("requests", "limits"):
            pod["spec"]["containers"][0]["resources"][kind]["nvidia.com/gpu"] = str(count)
        if allowed:
            ask_to_create(standard, pod)
        else:
            with pytest.raises(ApiError, match="exceeded quota: tier"):
                ask_to_create(standard, pod)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "open", "namespace": standard.plan.namespace},
        "spec": {"type": "NodePort", "selector": {"a": "b"}, "ports": [{"port": 80}]},
    }
    with pytest.raises(ApiError, match="exceeded quota: tier"):
        ask_to_create(standard, service)


def test_no_controller_was_ever_refused_a_pod_of_ours(standard: Tier) -> None:
    """Not by Pod Security, not by the quota, and not for a service account that comes later."""
    events = standard.objects("v1", "Event")
    assert any(event["reason"] == "SuccessfulCreate" for event in events), "controllers report what they make"
    assert [event["message"] for event in events if event["reason"] == "FailedCreate"] == []
