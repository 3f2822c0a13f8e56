"""What a cluster's owners ask of every pod: registries, classes, taints, labels, sizes, and where models are kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeApi, kubeconfig
from small_stack import MODEL, NODES, findings, refusals, small_plan

from tierup.findings.model import Code, Severity
from tierup.io.cluster.classes import class_findings
from tierup.io.cluster.client import Cluster
from tierup.manifests import render
from tierup.manifests.common import GPU_TOLERATION, Manifest
from tierup.plan.model import Plan
from tierup.resources.gpus import pod_gpus
from tierup.rules.tier import system_size
from tierup.stack.cluster import mirrored

SPARE = NODES | {"standby": {"mode": "cold", "count": 1}}
RUNTIMES = "/apis/node.k8s.io/v1/runtimeclasses"
PRIORITIES = "/apis/scheduling.k8s.io/v1/priorityclasses"


def templates(plan: Plan) -> dict[str, Manifest]:
    """The pod templates by component."""
    found = [item["spec"]["template"] for item in render(plan) if "template" in item.get("spec", {})]
    return {template["metadata"]["labels"]["app.kubernetes.io/name"]: template for template in found}


def pods(plan: Plan) -> dict[str, Manifest]:
    return {component: template["spec"] for component, template in templates(plan).items()}


def kinds(plan: Plan, kind: str) -> list[Manifest]:
    return [item for item in render(plan) if item["kind"] == kind]


def test_pods_of_every_component_are_such_as_the_cluster_s_owners_want() -> None:
    taint = {"key": "dedicated", "value": "llm", "effect": "NoSchedule"}
    plan = small_plan(
        cluster={
            "imagePullSecrets": ["regcred"],
            "nodeSelector": {"pool": "llm"},
            "tolerations": [taint, {"key": "spot"}],
        }
    )
    assert len(pods(plan)) == 5
    for pod in pods(plan).values():
        assert pod["imagePullSecrets"] == [{"name": "regcred"}]
        assert pod["nodeSelector"] == {"pool": "llm"}
        assert pod["tolerations"] == [
            GPU_TOLERATION,
            {"key": "dedicated", "operator": "Equal", "value": "llm", "effect": "NoSchedule"},
            {"key": "spot", "operator": "Exists"},
        ]


def test_without_the_section_pods_have_nothing_of_it() -> None:
    for template in templates(small_plan()).values():
        assert not {"imagePullSecrets", "nodeSelector", "runtimeClassName"} & template["spec"].keys()
        assert template["spec"]["tolerations"] == [GPU_TOLERATION]
        assert "annotations" not in template["metadata"]


def test_engines_run_in_a_runtime_and_with_a_priority_of_the_cluster() -> None:
    plan = small_plan(cluster={"runtimeClassName": "nvidia", "priorityClassName": "inference"})
    engine = pods(plan).pop("model-server")
    assert (engine["runtimeClassName"], engine["priorityClassName"]) == ("nvidia", "inference")
    assert [name for name, pod in pods(plan).items() if "runtimeClassName" in pod] == ["model-server"]
    assert kinds(plan, "PriorityClass") == []
    assert len(kinds(small_plan(), "PriorityClass")) == 1


def test_gpus_are_asked_for_by_the_name_of_the_cluster_s_device_plugin() -> None:
    plan = small_plan(cluster={"gpuResource": "nvidia.com/gpu.shared"})
    (container,) = pods(plan)["model-server"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu.shared"] == "1"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    (quota,), (before,) = kinds(plan, "ResourceQuota"), kinds(small_plan(), "ResourceQuota")
    (gpus,) = {"requests.nvidia.com/gpu"} - quota["spec"]["hard"].keys()
    assert quota["spec"]["hard"]["requests.nvidia.com/gpu.shared"] == before["spec"]["hard"][gpus]
    assert pod_gpus(pods(plan)["model-server"]) == 1, "policies and costs count them"
    (wrong,) = refusals(cluster={"gpuResource": "nvidia.com/mig-3g.40gb"})
    assert (wrong.code, wrong.path) == (Code.BAD_FORMAT, "cluster.gpuResource")


def test_labels_and_annotations_of_a_component_change_no_selector() -> None:
    own = {"labels": {"cost-center": "ml"}, "annotations": {"linkerd.io/inject": "disabled"}}
    plan = small_plan(cluster={"components": {"gateway": own, "modelServer": own}})
    labelled = {
        component
        for component, item in templates(plan).items()
        if "cost-center" in item["metadata"]["labels"]
    }
    annotated = {
        component for component, item in templates(plan).items() if "annotations" in item["metadata"]
    }
    assert labelled == annotated == {"gateway", "model-server"}
    for before, after in zip(render(small_plan()), render(plan), strict=True):
        assert after.get("spec", {}).get("selector") == before.get("spec", {}).get("selector")
        if after["metadata"]["labels"].get("app.kubernetes.io/name") in annotated:
            assert after["metadata"]["labels"]["cost-center"] == "ml", after["kind"]


@pytest.mark.parametrize("label", ["app.kubernetes.io/name", "tierup/stack", "tierup.io/role"])
def test_a_label_by_which_tierup_finds_its_objects_is_refused(label: str) -> None:
    (wrong,) = refusals(cluster={"components": {"gateway": {"labels": {label: "mine"}}}})
    assert wrong.code is Code.BAD_FORMAT
    assert "are set by tierup" in wrong.what


def test_a_value_that_no_label_can_have_is_refused_with_the_form_of_labels() -> None:
    (wrong,) = refusals(cluster={"components": {"grafana": {"labels": {"team": "a b"}}}})
    assert (wrong.code, wrong.path) == (Code.BAD_FORMAT, "cluster.components.grafana.labels.team")
    assert "at most 63 characters" in wrong.what


def test_pods_can_be_larger_and_a_server_must_hold_them() -> None:
    components = {
        name: {"cpu": 2, "memory": "3Gi"} for name in ("gateway", "modelFetch", "prometheus", "grafana")
    }
    plan = small_plan(cluster={"components": components}, models=[MODEL | {"cpu": 6, "memoryGib": 20}])
    for component, pod in pods(plan).items():
        limits = pod["containers"][0]["resources"]["limits"]
        expected = ("6", "22Gi") if component == "model-server" else ("2", "3Gi")
        assert (limits["cpu"], limits["memory"]) == expected, component
    gateways = plan.gateway.replicas + 1
    cpu, memory = system_size(plan)
    assert cpu == pytest.approx(6 + 2.1 * gateways)
    assert memory == pytest.approx(9 + (3 + 64 / 1024) * gateways)
    too_large = {"components": {"prometheus": {"cpu": 500, "memory": "2000Gi"}}}
    assert {item.code for item in refusals(cluster=too_large)} == {Code.CPU_EXCEEDED, Code.MEMORY_EXCEEDED}


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("vllm/vllm-openai:v1", "vllm/vllm-openai:v1"),
        ("python:3.13-alpine", "library/python:3.13-alpine"),
        ("ghcr.io/someone/tool:1", "someone/tool:1"),
        ("localhost/tool:1", "tool:1"),
        ("registry:5000/a/b/c:1", "a/b/c:1"),
    ],
)
def test_an_image_keeps_its_path_in_a_mirror(image: str, name: str) -> None:
    assert mirrored(image, "mirror.example.com/hub") == f"mirror.example.com/hub/{name}"
    assert mirrored(mirrored(image, "mirror.example.com/hub"), "mirror.example.com/hub").count("mirror") == 1
    assert mirrored(image, None) == image


def test_all_images_come_from_the_mirror() -> None:
    plan = small_plan(
        cluster={"registry": "mirror.example.com:5000/hub"}, images={"nginx": "quay.io/nginx/nginx:1.29"}
    )
    used = {
        container["image"]
        for pod in pods(plan).values()
        for container in (*pod["containers"], *pod.get("initContainers", ()))
    }
    assert len(used) == 5
    assert all(image.startswith("mirror.example.com:5000/hub/") for image in used)
    assert "mirror.example.com:5000/hub/nginx/nginx:1.29" in used
    shown = {default.path: default.value for default in plan.defaults}
    assert shown["images.grafana"].startswith("mirror.example.com:5000/hub/grafana/grafana:")


def test_credentials_of_a_registry_are_a_secret_of_the_stack() -> None:
    plan = small_plan(secrets=frozenset({"image-pull"}), cluster={"imagePullSecrets": ["other"]})
    (secret,) = kinds(plan, "Secret")
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    assert json.dumps(secret["stringData"]) == '{".dockerconfigjson": "${tierup:secret-image-pull}"}'
    names = [secret["metadata"]["name"], "other"]
    for pod in pods(plan).values():
        assert pod["imagePullSecrets"] == [{"name": name} for name in names]


def test_tolerations_that_kubernetes_refuses_are_refused_before() -> None:
    wrong = [{"key": "a", "operator": "Exists", "value": "b"}, {"operator": "Equal", "value": "b"}]
    found = refusals(cluster={"tolerations": wrong})
    assert [(item.code, item.path) for item in found] == [
        (Code.TOLERATION, "cluster.tolerations[0].value"),
        (Code.TOLERATION, "cluster.tolerations[1].key"),
    ]


def caches(**sections: Any) -> tuple[str, list[Severity]]:
    """The kind of the model's cache, and the severities of what is found about it."""
    notes = [item.severity for item in findings(**sections) if item.code is Code.OWN_COPIES]
    return str(small_plan(**sections).models[0].cache_kind), notes


def test_models_are_kept_where_every_cluster_can_keep_them_unless_a_shared_class_is_named() -> None:
    assert caches() == ("node", []), "one server has one copy anyway"
    assert caches(nodes=SPARE) == ("node", [Severity.NOTE])
    assert caches(nodes=SPARE, cluster={"modelStorageClass": "nfs"}) == ("shared", [])
    of_model = [MODEL | {"cache": {"storageClass": "cephfs"}}]
    assert caches(nodes=SPARE, models=of_model) == ("shared", [])
    both = small_plan(nodes=SPARE, models=of_model, cluster={"modelStorageClass": "nfs"})
    assert both.models[0].cache_storage_class == "cephfs"


@pytest.fixture
def missing(tmp_path: Path, api: FakeApi) -> Callable[..., list[tuple[str, str | None]]]:
    def found(**cluster: str) -> list[tuple[str, str | None]]:
        connected = Cluster(kubeconfig(tmp_path, api.url), None)
        named = class_findings(connected, small_plan(cluster=cluster))
        return [(item.path, item.allowed) for item in named if item.code is Code.NO_CLASS]

    return found


def test_classes_that_the_stack_names_must_exist(
    api: FakeApi, missing: Callable[..., list[tuple[str, str | None]]]
) -> None:
    api.has(RUNTIMES, {"metadata": {"name": "nvidia"}}, {"metadata": {"name": "gvisor"}})
    api.has(PRIORITIES)
    assert missing(runtimeClassName="nvidia") == []
    assert missing(runtimeClassName="nvidai", priorityClassName="high") == [
        ("cluster.runtimeClassName", "gvisor, nvidia"),
        ("cluster.priorityClassName", "none"),
    ]
    api.responses[RUNTIMES] = (403, b'{"kind": "Status", "code": 403}')
    assert missing(runtimeClassName="nvidai") == [], "who may not read them can still deploy"
