"""The second engine behind the same pod: differences and common properties. It is not run here."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tierup.manifests import model_server, monitoring, render
from tierup.manifests.common import Manifest
from tierup.manifests.engines import serving
from tierup.plan.capacity import sizing_input
from tierup.plan.model import Plan
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import memory

MakePlan = Callable[..., Plan]
IMAGE = "nvcr.io/nvidia/tensorrt-llm/release:1.2.1"
# Names that `trtllm-serve` has in its documentation of 0.18.2 and 1.0.0 and in its source from 1.0 to 1.3.
OPTIONS = {
    *("--host", "--port", "--backend", "--tp_size", "--pp_size", "--max_seq_len", "--max_batch_size"),
    *("--max_num_tokens", "--extra_llm_api_options"),
}
# Fields of TorchLlmArgs in the documentation of the LLM API, 1.0.0 to 1.3.
FIELDS = {
    *("enable_chunked_prefill", "enable_iter_perf_stats", "kv_cache_config", "return_perf_metrics"),
    *("dtype", "allreduce_strategy"),
}


def plan_with(make_plan: MakePlan, server: str = "standard-4x-a100-80g-pcie", **model: Any) -> Plan:
    entry = {"id": "qwen2.5-7b", "engine": "tensorrt-llm", **model}
    return make_plan(nodes={"server": server}, models=[entry])


def deployment(plan: Plan) -> Manifest:
    (found,) = [item for item in model_server.objects(plan, plan.models[0]) if item["kind"] == "Deployment"]
    return found


def container(plan: Plan) -> Manifest:
    (found,) = deployment(plan)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def options(plan: Plan) -> dict[str, Any]:
    (found,) = [item for item in model_server.objects(plan, plan.models[0]) if item["kind"] == "ConfigMap"]
    read: dict[str, Any] = yaml.safe_load(found["data"]["options.yaml"])
    return read


def test_the_arguments_of_one_model(make_plan: MakePlan) -> None:
    plan = plan_with(make_plan, parallelism={"tensor": 2, "pipeline": 2}, context=4096, maxNumSeqs=24)
    item = container(plan)
    assert (item["image"], item["command"]) == (IMAGE, ["trtllm-serve"])
    assert item["args"] == [
        "/served/qwen2.5-7b",
        *("--host", "0.0.0.0"),
        *("--port", "8000"),
        *("--backend", "pytorch"),
        *("--tp_size", "2"),
        *("--pp_size", "2"),
        *("--max_seq_len", "4096"),
        *("--max_batch_size", "24"),
        *("--max_num_tokens", "2048"),
        *("--extra_llm_api_options", "/etc/engine/options.yaml"),
    ]
    assert {word for word in item["args"] if word.startswith("--")} == OPTIONS


@pytest.mark.parametrize(
    ("server", "more", "differs"),
    [
        ("standard-4x-a100-80g-pcie", {}, {}),
        ("standard-4x-a100-80g-pcie", {"precision": "fp16"}, {"dtype": "float16"}),
        ("standard-4x-a100-80g-pcie", {"parallelism": {"tensor": 2}}, {}),
        ("entry-2x-rtx-4090", {"parallelism": {"tensor": 2}}, {"allreduce_strategy": "NCCL"}),
    ],
)
def test_what_has_no_option_is_in_the_file(
    make_plan: MakePlan, server: str, more: dict[str, Any], differs: dict[str, str]
) -> None:
    found = options(plan_with(make_plan, server, **more))
    assert found.keys() <= FIELDS
    del found["kv_cache_config"]
    always = {"enable_chunked_prefill", "enable_iter_perf_stats", "return_perf_metrics"}
    assert found == dict.fromkeys(always, True) | differs


@pytest.mark.parametrize("dtype", ["auto", "fp8"])
@pytest.mark.parametrize("server", ["entry-2x-rtx-4090", "premium-4x-h100-80g-sxm"])
@pytest.mark.parametrize("utilization", [0.8, 0.9, 0.95])
def test_the_kv_cache_gets_what_was_planned_and_no_more(
    make_plan: MakePlan, server: str, dtype: str, utilization: float
) -> None:
    plan = plan_with(make_plan, server, kvCacheDtype=dtype, gpuMemoryUtilization=utilization)
    found = options(plan)["kv_cache_config"]
    assert found["dtype"] == dtype
    room = memory(sizing_input(plan, plan.models[0]), load_calibration().values)
    # The engine takes this share of the GPU's memory that weights and buffers leave free.
    left = room.visible - room.weights - room.overhead
    assert 0.97 * room.kv <= found["free_gpu_memory_fraction"] * left <= room.kv


def test_the_model_is_found_under_the_name_it_is_served_by(make_plan: MakePlan) -> None:
    plan = plan_with(make_plan, name="chat-model")
    (mount,) = [item for item in container(plan)["volumeMounts"] if item["name"] == "models"]
    model = plan.models[0]
    assert mount == {
        "name": "models",
        "mountPath": "/served/chat-model",
        "subPath": model.path,
        "readOnly": True,
    }
    assert container(plan)["args"][0] == mount["mountPath"]
    assert container(plan)["readinessProbe"]["exec"]["command"][-1] == "chat-model"
    (wait,) = deployment(plan)["spec"]["template"]["spec"]["initContainers"]
    assert wait["image"] == IMAGE
    assert f"/models/{model.path}/.complete" in wait["command"][2]


def test_it_serves_offline_without_options_of_vllm(make_plan: MakePlan) -> None:
    plan = plan_with(make_plan, "entry-2x-rtx-4090", parallelism={"tensor": 2})
    env = {item["name"]: item["value"] for item in container(plan)["env"]}
    assert (env["HF_HUB_OFFLINE"], env["NCCL_P2P_DISABLE"]) == ("1", "1")
    assert not [name for name in env if name.startswith("VLLM_")]
    assert env["HOME"] == "/scratch"


def test_a_terminating_pod_finishes_its_requests_before_sigterm(make_plan: MakePlan) -> None:
    """The engine has no drain, so the pod keeps serving in its preStop hook; the gateway sends nothing new by then."""
    plan = plan_with(make_plan)
    longest = max(item.answer_tokens * item.tpot_ms / 1000 for item in plan.classes.values())
    sleep = container(plan)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleep >= plan.models[0].prestop_seconds + longest
    assert sleep < deployment(plan)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]


def test_its_pod_is_as_safe_as_the_other_engine_s(
    make_plan: MakePlan, well_formed: Callable[[list[Manifest]], None]
) -> None:
    plan = plan_with(make_plan, parallelism={"tensor": 2})
    well_formed(render(plan))
    (shm,) = [v for v in deployment(plan)["spec"]["template"]["spec"]["volumes"] if v["name"] == "shm"]
    assert shm["emptyDir"] == {"medium": "Memory", "sizeLimit": "6Gi"}


def test_a_change_of_an_option_rolls_the_pods(make_plan: MakePlan) -> None:
    def config(**more: Any) -> str:
        volumes = deployment(plan_with(make_plan, **more))["spec"]["template"]["spec"]["volumes"]
        return next(str(item["configMap"]["name"]) for item in volumes if item["name"] == "options")

    assert config() == config()
    assert config() != config(kvCacheDtype="fp8")
    assert config().startswith("model-qwen2-5-7b-options-")


def test_it_has_no_autoscaler_and_fixed_replicas(make_plan: MakePlan) -> None:
    plan = plan_with(make_plan)
    assert plan.autoscaling.enabled is False
    assert deployment(plan)["spec"]["replicas"] == plan.models[0].replicas == plan.models[0].max_replicas == 4
    assert not [item for item in render(plan) if item["kind"] == "HorizontalPodAutoscaler"]


def test_prometheus_scrapes_each_engines_own_path(make_plan: MakePlan) -> None:
    plan = make_plan(
        models=[{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "name": "second", "engine": "tensorrt-llm"}]
    )
    jobs = {job["job_name"]: job for job in yaml.safe_load(monitoring.prometheus_yml(plan))["scrape_configs"]}
    paths = {name: job.get("metrics_path") for name, job in jobs.items() if name.startswith("model-server/")}
    assert paths == {"model-server/qwen2-5-7b": "/metrics", "model-server/second": "/prometheus/metrics"}


def test_both_engines_run_side_by_side(
    make_plan: MakePlan, well_formed: Callable[[list[Manifest]], None]
) -> None:
    plan = make_plan(
        models=[{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "name": "second", "engine": "tensorrt-llm"}]
    )
    well_formed(render(plan))
    assert [serving(plan, model).command[0] for model in plan.models] == ["vllm", "trtllm-serve"]
