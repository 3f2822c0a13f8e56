"""The tier's own containers run in local images as their manifests say: user, read-only root, probes."""

import json

import pytest
from polling import until
from tier_pods import TierPods

from tierup.local.cluster.cluster import Cluster
from tierup.local.dev.plan import dev_plan
from tierup.local.images import LocalImage, canonical, for_plan
from tierup.local.tiny_model import SHAPE, make_tiny_model
from tierup.manifests.model_server import workload_name
from tierup.plan.model import Plan
from tierup.templates import ROOT


@pytest.fixture(scope="module")
def plan() -> Plan:
    return dev_plan(ROOT / "stacks" / "Pulumi.standard.yaml")


@pytest.fixture(scope="module")
def images(plan: Plan) -> dict[str, LocalImage]:
    return {image.title: image for image in for_plan(plan, print)}


@pytest.fixture(scope="module")
def tier(cluster: Cluster, plan: Plan, images: dict[str, LocalImage]) -> TierPods:
    assert cluster.node is not None
    cluster.node.import_images(images.values(), print)
    return TierPods(cluster, plan)


def user_and_root(tier: TierPods, pod: str, container: str) -> tuple[int, int]:
    """The user of the container, and the exit code of a write to its root."""
    user = int(tier.run(pod, "id", "-u", container=container).stdout)
    return user, tier.run(pod, "touch", "/no", check=False, container=container).returncode


def test_the_gateway_answers_with_its_rendered_configuration(tier: TierPods) -> None:
    spec = tier.start("gateway")
    until(lambda: tier.ready("gateway"), "the gateway")
    for container in ("nginx", "reloader"):
        assert user_and_root(tier, "gateway", container) == (spec["securityContext"]["runAsUser"], 1)
    ask = ["wget", "-qO-", "http://127.0.0.1:8081/healthz"]
    assert tier.run("gateway", *ask, container="nginx").stdout == '{"status":"ok"}\n'
    listed = tier.run("gateway", "wget", "-qO-", "http://127.0.0.1:8080/v1/models", container="nginx")
    assert [model["id"] for model in json.loads(listed.stdout)["data"]] == ["qwen2.5-7b"]
    assert "python3" in tier.run("gateway", "cat", "/proc/1/cmdline", container="reloader").stdout
    assert tier.restarts("gateway") == 0
    tier.remove("gateway")


def test_prometheus_is_ready_with_its_rendered_configuration(tier: TierPods) -> None:
    spec = tier.start("prometheus", {"data": {"emptyDir": {}}})
    until(lambda: tier.ready("prometheus"), "Prometheus")
    assert user_and_root(tier, "prometheus", "prometheus") == (spec["securityContext"]["runAsUser"], 1)
    answer = tier.run("prometheus", "wget", "-qO-", "http://127.0.0.1:9090/api/v1/rules").stdout
    assert json.loads(answer)["data"]["groups"]
    tier.remove("prometheus")


def test_vllm_answers_on_the_cpu_with_its_rendered_arguments(
    tier: TierPods, plan: Plan, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (model,) = plan.models
    models = tmp_path_factory.mktemp("models")
    files = models / model.path
    files.parent.mkdir(parents=True)
    make_tiny_model(files, **SHAPE)
    (files / ".complete").touch()
    for folder in (models, *(path for path in models.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    workload = workload_name(model)
    spec = tier.start(workload, {"models": {"hostPath": {"path": str(models), "type": "Directory"}}})
    took = until(lambda: tier.ready(workload), "vLLM", 300)
    print(f"vLLM ready after {took:.0f} s")
    container = spec["containers"][0]["name"]
    assert user_and_root(tier, workload, container) == (spec["securityContext"]["runAsUser"], 1)
    log = tier.kubectl("logs", workload).stdout
    assert "vllm: local stand-in for the build for GPUs" in log
    assert "vllm: without --tensor-parallel-size 1: it is for GPUs" in log
    body = json.dumps({"model": model.name, "prompt": "hello", "max_tokens": 4, "ignore_eos": True})
    ask = [
        *("wget", "-qO-", "--header", "Content-Type: application/json", "--post-data", body),
        "http://127.0.0.1:8000/v1/completions",
    ]
    answer = json.loads(tier.run(workload, *ask, container=container).stdout)
    assert answer["usage"]["completion_tokens"] == 4
    fetch = "import huggingface_hub, fcntl, threading"  # what fetch_model.py uses
    assert tier.run(workload, "python3", "-c", fetch, container=container).returncode == 0
    refused = tier.run(workload, "vllm", "serve", "/m", "--no-such-option", check=False, container=container)
    assert refused.returncode == 2
    assert "--no-such-option: not known how to run this on a CPU" in refused.stderr
    tier.remove(workload)


def test_an_image_says_what_it_stands_in_for(images: dict[str, LocalImage], plan: Plan) -> None:
    nginx = images["nginx"]
    assert nginx.name == canonical(plan.images.nginx)
    assert nginx.config["Labels"]["tierup/stand-in-for"] == nginx.name
