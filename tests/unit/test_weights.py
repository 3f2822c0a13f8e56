"""Where the files of a model come from: what the stack file says, and what the pods and the cluster get."""

import json
from typing import Any

import pytest
from fake_api import VERSION, FakeApi
from small_stack import MODEL, findings, refusals, small_plan

from tierup.cli.plan_page import lines
from tierup.findings.model import Code
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.weights import weights_findings
from tierup.local.cluster.data_centre import real_servers
from tierup.local.cluster.folders import LocalClusterError
from tierup.manifests import render
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan
from tierup.policies.pod_security import pod_security
from tierup.resources.model import Resource

COMMIT, SUM = "d" * 40, "e" * 64
MODEL_SCOPE = {"weights": {"from": "modelScope"}, "revision": COMMIT}
S3 = {"weights": {"from": "s3", "url": "s3://models/qwen/", "sha256": SUM, "endpoint": "http://minio:9000"}}
CLAIM = {"weights": {"from": "claim", "claim": "team-models", "folder": "qwen"}}
FOLDER = {"weights": {"from": "folder", "folder": "/data/qwen"}}
IMAGE = {"weights": {"from": "image", "image": "registry.example.com/qwen:1"}}
THERE = [CLAIM, FOLDER, IMAGE]
ADAPTER = {"adapters": [{"name": "support", "repo": "acme/support", "revision": COMMIT, "rank": 8}]}


def plan_of(model: dict[str, Any], **more: Any) -> Plan:
    return small_plan(models=[MODEL | model], **more)


def of_kind(plan: Plan, kind: str, component: str | None = None) -> list[Manifest]:
    return [
        item
        for item in render(plan)
        if item["kind"] == kind
        and component in (None, item["metadata"]["labels"].get("app.kubernetes.io/name"))
    ]


def engine_pod(plan: Plan) -> dict[str, Any]:
    (found,) = of_kind(plan, "Deployment", "model-server")
    pod: dict[str, Any] = found["spec"]["template"]["spec"]
    return pod


def fetch_container(plan: Plan) -> dict[str, Any]:
    (found,) = of_kind(plan, "DaemonSet", "model-fetch")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    return dict(container)


def wanted(plan: Plan) -> list[dict[str, Any]]:
    (text,) = [item["value"] for item in fetch_container(plan)["env"] if item["name"] == "MODELS"]
    found: list[dict[str, Any]] = json.loads(text)
    return found


@pytest.mark.parametrize("source", [MODEL_SCOPE, S3])
def test_a_fetched_model_is_served_from_the_folder_into_which_it_is_fetched(source: dict[str, Any]) -> None:
    plan = plan_of(source)
    (model,) = wanted(plan)
    pod = engine_pod(plan)
    assert pod["containers"][0]["args"][0] == model["folder"]
    assert f'[ -f "{model["folder"]}/.complete" ]' in pod["initContainers"][0]["command"][-1]


def test_modelscope_has_the_repository_of_the_hub_by_default_at_a_commit_of_its_own() -> None:
    (model,) = wanted(plan_of(MODEL_SCOPE))
    assert model == {
        "from": "modelScope",
        "repo": "Qwen/Qwen2.5-7B-Instruct",
        "revision": COMMIT,
        "endpoint": None,
        "folder": f"/models/modelscope/Qwen--Qwen2.5-7B-Instruct/{COMMIT}",
    }
    (missing,) = refusals(models=[MODEL | {"weights": {"from": "modelScope"}}])
    assert (missing.code, missing.path) == (Code.NO_REVISION, "models[0].revision")


def test_a_bucket_of_one_s_own_is_in_the_path_and_one_of_aws_in_the_host() -> None:
    (own,) = wanted(plan_of(S3))
    assert own == {
        "from": "s3",
        "url": "s3://models/qwen",
        "sha256": SUM,
        "endpoint": "http://minio:9000",
        "region": "us-east-1",
        "path_style": True,
        "folder": f"/models/s3/{SUM}",
    }
    weights = {"from": "s3", "url": "s3://models/qwen", "sha256": SUM, "region": "eu-west-1"}
    (aws,) = wanted(plan_of({"weights": weights}))
    assert (aws["endpoint"], aws["region"], aws["path_style"]) == (None, "eu-west-1", False)


def test_credentials_reach_the_fetch_alone_and_by_reference() -> None:
    names = {"s3-access-key", "s3-secret-key", "modelscope-token"}
    plan = plan_of(S3, secrets=frozenset(names))
    assert {item["metadata"]["name"] for item in of_kind(plan, "Secret", "model-fetch")} == names
    given = {
        item["name"]: item["valueFrom"]["secretKeyRef"]["name"]
        for item in fetch_container(plan)["env"]
        if "valueFrom" in item
    }
    assert given == {
        "AWS_ACCESS_KEY_ID": "s3-access-key",
        "AWS_SECRET_ACCESS_KEY": "s3-secret-key",
        "MODELSCOPE_API_TOKEN": "modelscope-token",
    }
    assert "s3-secret-key" not in json.dumps(engine_pod(plan))


def test_the_network_policy_opens_the_port_of_the_storage() -> None:
    (policy,) = of_kind(plan_of(S3), "NetworkPolicy", "model-fetch")
    assert [port["port"] for port in policy["spec"]["egress"][1]["ports"]] == [443, 9000]


@pytest.mark.parametrize("source", THERE)
def test_files_in_the_cluster_are_mounted_read_only_and_nothing_is_fetched(source: dict[str, Any]) -> None:
    plan = plan_of(source)
    kinds = {item["kind"] for item in render(plan) if "fetch" in item["metadata"]["name"]}
    assert kinds == set()
    assert not of_kind(plan, "NetworkPolicy", "model-fetch")
    pod = engine_pod(plan)
    (volume,) = [item for item in pod["volumes"] if item["name"] == "weights"]
    assert "models" not in {item["name"] for item in pod["volumes"]}
    for container in (*pod["initContainers"], *pod["containers"]):
        (mount,) = [item for item in container["volumeMounts"] if item["name"] == "weights"]
        assert (mount["mountPath"], mount["readOnly"]) == ("/weights", True)
    folder = "/weights/qwen" if source is CLAIM else "/weights"
    assert pod["containers"][0]["args"][0] == folder
    assert f'[ -f "{folder}/config.json" ]' in pod["initContainers"][0]["command"][-1]
    expected: dict[str, dict[str, Any]] = {
        "claim": {"persistentVolumeClaim": {"claimName": "team-models", "readOnly": True}},
        "folder": {"persistentVolumeClaim": {"claimName": "weights-qwen2-5-7b", "readOnly": True}},
        "image": {"image": {"reference": "registry.example.com/qwen:1", "pullPolicy": "IfNotPresent"}},
    }
    assert volume == {"name": "weights", **expected[source["weights"]["from"]]}


def test_a_folder_of_the_nodes_is_a_local_volume_because_a_host_path_is_refused() -> None:
    plan = plan_of(FOLDER)
    (volume,) = [
        item
        for item in of_kind(plan, "PersistentVolume")
        if item["metadata"]["name"] == "tierup-small-weights-qwen2-5-7b"
    ]
    (claim,) = [
        item
        for item in of_kind(plan, "PersistentVolumeClaim")
        if item["metadata"]["name"] == "weights-qwen2-5-7b"
    ]
    assert volume["spec"]["local"] == {"path": "/data/qwen"}
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert claim["spec"]["accessModes"] == volume["spec"]["accessModes"] == ["ReadOnlyMany"]


@pytest.mark.parametrize("source", [*THERE, S3])
def test_the_pods_pass_pod_security_restricted(source: dict[str, Any]) -> None:
    (deployment,) = of_kind(plan_of(source), "Deployment", "model-server")
    resource = Resource("urn", "kubernetes:apps/v1:Deployment", "model", None, deployment)
    assert list(pod_security(resource)) == []


def test_adapters_are_fetched_beside_files_that_are_there() -> None:
    plan = plan_of(CLAIM | ADAPTER)
    (only,) = wanted(plan)
    assert only["repo"] == "acme/support"
    pod = engine_pod(plan)
    assert {"models", "weights"} <= {item["name"] for item in pod["volumes"]}
    wait = pod["initContainers"][0]["command"][-1]
    assert ".complete" in wait
    assert "/weights/qwen/config.json" in wait


def test_an_image_of_weights_comes_from_the_mirror_of_all_images() -> None:
    pod = engine_pod(plan_of(IMAGE, cluster={"registry": "mirror.example.com/all"}))
    (volume,) = [item for item in pod["volumes"] if item["name"] == "weights"]
    assert volume["image"]["reference"] == "mirror.example.com/all/qwen:1"


def test_an_image_of_weights_without_a_version_is_reported() -> None:
    floating = {"weights": {"from": "image", "image": "registry.example.com/qwen:latest"}}
    found = [item for item in findings(models=[MODEL | floating]) if item.code is Code.FLOATING_IMAGE]
    assert [item.path for item in found] == ["models[0].weights.image"]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (MODEL_SCOPE, f"Qwen/Qwen2.5-7B-Instruct at ModelScope@{COMMIT}: fetched and checked"),
        (S3, f"s3://models/qwen@{SUM}: fetched and checked"),
        (CLAIM, "volume claim team-models, folder qwen: mounted read-only, nothing is fetched"),
        (FOLDER, "folder /data/qwen of the node: mounted read-only, nothing is fetched"),
        (IMAGE, "image registry.example.com/qwen:1: mounted read-only, nothing is fetched"),
    ],
)
def test_the_plan_shows_the_source(source: dict[str, Any], line: str) -> None:
    assert f"  weights   {line}" in list(lines(plan_of(source)))


def test_the_source_changes_no_figure_of_the_model() -> None:
    hub, claim = plan_of({}).models[0], plan_of(CLAIM).models[0]
    assert (hub.capacity, hub.slots, hub.memory_gib) == (claim.capacity, claim.slots, claim.memory_gib)


# --- mistakes


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ({"weights": {"from": "s3"}}, "from s3: url and sha256 must be given"),
        ({"weights": {"from": "hub", "claim": "a"}}, "from hub: claim would have no effect"),
        (
            {"weights": {"from": "claim", "region": "x", "pathStyle": True, "folder": "/abs"}},
            (
                "from claim: claim must be given; region and pathStyle would have no effect; "
                "folder is a path inside of it, without / at its beginning"
            ),
        ),
        (
            {"weights": {"from": "folder", "folder": "data"}},
            "from folder: folder is an absolute path on the nodes",
        ),
    ],
)
def test_all_mistakes_of_a_source_are_one_message(model: dict[str, Any], problem: str) -> None:
    (found,) = refusals(models=[MODEL | model])
    assert (found.code, found.path, found.problem) == (Code.WEIGHTS, "models[0].weights", problem)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "https://models"),
        ("sha256", "abc"),
        ("folder", "a/../../b"),
        ("claim", "Team"),
        ("endpoint", "http://user:word@minio"),
    ],
)
def test_a_wrong_value_is_refused(key: str, value: str) -> None:
    found = refusals(models=[MODEL | {"weights": {"from": "s3", key: value}}])
    assert [item.code for item in found if item.path == f"models[0].weights.{key}"] == [Code.BAD_FORMAT]


# --- the cluster


@pytest.mark.parametrize(
    ("version", "severity"),
    [("v1.35.0", None), ("v1.34.2", "warning"), ("v1.33.0", "warning"), ("v1.32.9", "error")],
)
def test_image_volumes_need_a_kubernetes_that_has_them(
    api: FakeApi, cluster: Cluster, version: str, severity: str | None
) -> None:
    api.holds(VERSION, {"gitVersion": version})
    found = [(str(item.severity), item.path) for item in weights_findings(cluster, plan_of(IMAGE))]
    assert found == ([] if severity is None else [(severity, "models[0].weights")])


def test_a_claim_that_is_not_there_is_a_warning(api: FakeApi, cluster: Cluster) -> None:
    plan = plan_of(CLAIM)
    path = f"/api/v1/namespaces/{plan.namespace}/persistentvolumeclaims/team-models"
    api.missing.add(path)
    (found,) = weights_findings(cluster, plan)
    assert (found.code, str(found.severity)) == (Code.NO_CLAIM, "warning")
    api.holds(path, {"metadata": {"name": "team-models"}})
    assert list(weights_findings(cluster, plan)) == []


def test_a_local_cluster_says_that_it_has_only_its_hub() -> None:
    with pytest.raises(LocalClusterError, match=r"models\[0\]\.weights: s3://models/qwen - a local cluster"):
        real_servers(plan_of(S3), 1)
