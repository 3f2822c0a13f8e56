"""One served model: the engine's arguments, its GPUs, its probes, how it drains and how it is replaced."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import pytest
from small_stack import small_stack, with_task
from tier_plans import every_variant

from tierup.catalog import Task
from tierup.catalog.options import load_options
from tierup.manifests import model_server, render
from tierup.manifests.common import Manifest
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.resolve import IMAGES, resolve
from tierup.plan.times import PRESTOP_SECONDS
from tierup.stack.parse import parse
from tierup.templates import ROOT

MakePlan = Callable[..., Plan]
GGUF_IMAGE = "registry.example.com/vllm-gguf:v0.32.0"


def deployment(plan: Plan, model: ModelPlan | None = None) -> Manifest:
    manifests = model_server.objects(plan, model if model is not None else plan.models[0])
    (found,) = [manifest for manifest in manifests if manifest["kind"] == "Deployment"]
    return found


def engine(plan: Plan, model: ModelPlan | None = None) -> Manifest:
    (found,) = deployment(plan, model)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(plan: Plan, model: ModelPlan | None = None) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in engine(plan, model)["env"]}


def plan_with(make_plan: MakePlan, server: str = "standard-4x-a100-80g-pcie", **model: Any) -> Plan:
    return make_plan(
        nodes={"server": server}, models=[{"id": "qwen2.5-7b", **model}], images={"gguf": GGUF_IMAGE}
    )


def with_tensor(make_plan: MakePlan, tensor: int, server: str = "standard-4x-a100-80g-pcie") -> Plan:
    return plan_with(make_plan, server, parallelism={"tensor": tensor})


# --- arguments


OPTIONS = load_options("vllm_options.json")


def pairs(args: list[str]) -> Iterator[tuple[str, str | None]]:
    """Each flag with its value, None where it takes none; the first argument is the model."""
    rest = args[1:]
    for index, word in enumerate(rest):
        if word.startswith("--"):
            follows = rest[index + 1] if index + 1 < len(rest) else "--"
            yield word, None if follows.startswith("--") else follows


PRECISIONS = ["bf16", "fp16", "fp8", "int8", "gptq-int8", "gptq-int4", "awq", "q8_0", "q5_k_m"]


def test_the_arguments_of_one_model(make_plan: MakePlan) -> None:
    plan = plan_with(make_plan, precision="awq", context=4096, maxNumSeqs=24, gpuMemoryUtilization=0.85)
    model = plan.models[0]
    assert engine(plan)["command"] == ["vllm", "serve"]
    assert engine(plan)["args"] == [
        f"/models/Qwen--Qwen2.5-7B-Instruct-AWQ/{model.revision}",
        *("--served-model-name", "qwen2.5-7b"),
        *("--host", "0.0.0.0"),
        *("--port", "8000"),
        *("--dtype", "auto"),
        *("--tensor-parallel-size", "1"),
        *("--pipeline-parallel-size", "1"),
        *("--max-model-len", "4096"),
        *("--max-num-seqs", "24"),
        *("--max-num-queued-reqs", "1024"),
        *("--gpu-memory-utilization", "0.85"),
        *("--scheduling-policy", "priority"),
        *("--shutdown-timeout", str(model.drain_seconds)),
        *("--quantization", "awq_marlin"),
        *("--tool-call-parser", "hermes"),
        "--disable-fastapi-docs",
        "--enable-request-id-headers",
        "--enable-auto-tool-choice",
    ]


@pytest.mark.parametrize(
    ("precision", "dtype", "quantization"),
    [
        ("bf16", "auto", None),
        ("fp16", "float16", None),
        ("fp8", "auto", "fp8"),
        ("int8", "auto", "compressed-tensors"),
        ("gptq-int8", "auto", "gptq_marlin"),
        ("gptq-int4", "auto", "gptq_marlin"),
        ("awq", "auto", "awq_marlin"),
        ("q8_0", "auto", None),
        ("q5_k_m", "auto", None),
    ],
)
def test_each_precision_has_its_arguments(
    make_plan: MakePlan, precision: str, dtype: str, quantization: str | None
) -> None:
    args = engine(plan_with(make_plan, precision=precision))["args"]
    options = dict(pairs(args))
    assert options["--dtype"] == dtype
    assert options.get("--quantization") == quantization
    gguf = {"q8_0": "model-00001-of-00003.gguf", "q5_k_m": "model-00001-of-00002.gguf"}.get(precision)
    assert args[0].endswith(".gguf") is ("--tokenizer" in options) is (gguf is not None)
    if gguf is not None:
        assert args[0].endswith(f"/{gguf}")
        assert options["--tokenizer"] == args[0].replace(f"/{gguf}", "/tokenizer")


def test_every_precision_of_the_catalogue_is_tested(make_plan: MakePlan) -> None:
    assert {str(precision) for precision in make_plan().models[0].spec.variants} == set(PRECISIONS)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("more", [{}, {"kvCacheDtype": "fp8", "parallelism": {"tensor": 2, "pipeline": 2}}])
def test_every_flag_and_value_is_one_of_the_pinned_vllm(
    make_plan: MakePlan, precision: str, more: dict[str, Any]
) -> None:
    for server in ("standard-4x-a100-80g-pcie", "entry-2x-rtx-4090"):
        plan = plan_with(make_plan, server, precision=precision, **more)
        assert plan.images.engine("vllm").endswith(":v0.32.0")
        for flag, value in pairs(engine(plan)["args"]):
            assert flag in OPTIONS.options, flag
            choices = OPTIONS.options[flag].choices
            assert not choices or value in choices, f"{flag} {value}"
        ours = [name for name in environment(plan) if name.startswith("VLLM_")]
        assert len(ours) == 5
        assert set(ours) <= {*OPTIONS.environment}


@pytest.mark.parametrize("task", get_args(Task))
def test_a_model_that_writes_no_answers_runs_as_a_pooling_model(task: Task) -> None:
    args = engine(resolve(parse(small_stack()).config(), with_task(task)))["args"]
    assert ("--runner" in args) == (task != "generate")
    if task != "generate":
        assert args[args.index("--runner") + 1] == "pooling"
        assert "pooling" in OPTIONS.options["--runner"].choices


def test_only_a_model_with_code_of_its_own_has_trust_remote_code(make_plan: MakePlan) -> None:
    args = engine(make_plan(models=[{"id": "qwen-7b"}]))["args"]
    assert "--trust-remote-code" in args
    assert "--trust-remote-code" in OPTIONS.options
    assert "--trust-remote-code" not in engine(make_plan())["args"]


@every_variant
def test_priorities_slots_and_the_name_are_always_set(plan: Plan) -> None:
    for model in plan.models:
        options = dict(pairs(engine(plan, model)["args"]))
        assert options["--scheduling-policy"] == "priority"
        assert options["--max-num-seqs"] == str(model.slots)
        assert options["--served-model-name"] == model.name
        assert options["--max-model-len"] == str(model.context)
        assert (
            "--api-key" not in options
        )  # it would be visible in the process list, and protects only some paths
        for name in ("VLLM_MAX_N_SEQUENCES", "VLLM_MAX_COMPLETION_PROMPTS"):
            assert 1 <= int(environment(plan, model)[name]) <= 16
        # Otherwise its first process ends the pod before the startup probe does.
        assert int(environment(plan, model)["VLLM_ENGINE_READY_TIMEOUT_S"]) >= model.startup_seconds


@every_variant
def test_the_last_replica_accepts_all_requests_that_the_gateways_admit(plan: Plan) -> None:
    for model in plan.models:
        bound = int(str(dict(pairs(engine(plan, model)["args"]))["--max-num-queued-reqs"]))
        gateways = plan.gateway.replicas
        let_in = model.slots * model.max_replicas + plan.gateway.queue_length
        # Each gateway has its share of it, rounded up, and there is one more while one is replaced.
        assert bound >= (gateways + 1) * -(-let_in // gateways)
        assert bound in (1024, 2048, 4096)


def test_a_longer_queue_does_not_restart_engines_unless_it_exceeds_their_limit(make_plan: MakePlan) -> None:
    (model,) = make_plan().models
    largest = 512 - model.slots * model.max_replicas  # twice the admitted requests is 1024

    def bound(queue: int) -> str:
        args = engine(make_plan(gateway={"queueLength": queue}))["args"]
        return str(dict(pairs(args))["--max-num-queued-reqs"])

    assert bound(0) == bound(largest) == "1024"
    assert bound(largest + 1) == "2048"


@pytest.mark.parametrize(("queue", "gateways"), [(0, 1), (0, 2), (1, 2), (1, 20)])
def test_a_short_queue_keeps_the_limit_above_the_rounded_up_sum_of_the_gateways(
    make_plan: MakePlan, queue: int, gateways: int
) -> None:
    plan = make_plan(
        nodes={"server": "standard-4x-a100-80g-pcie"},
        models=[{"id": "qwen2.5-7b", "maxNumSeqs": 9}],
        gateway={"queueLength": queue, "replicas": gateways},
    )
    bound = int(str(dict(pairs(engine(plan)["args"]))["--max-num-queued-reqs"]))
    assert bound >= gateways * -(-(9 * 4 + queue) // gateways)


@pytest.mark.parametrize(
    ("server", "tensor", "without_p2p"),
    [
        ("entry-2x-rtx-4090", 1, False),
        ("entry-2x-rtx-4090", 2, True),
        ("standard-4x-a100-80g-pcie", 1, False),
        ("standard-4x-a100-80g-pcie", 2, False),
        ("premium-4x-h100-80g-sxm", 4, False),
    ],
)
def test_cards_without_peer_access_do_not_try_it(
    make_plan: MakePlan, server: str, tensor: int, without_p2p: bool
) -> None:
    plan = with_tensor(make_plan, tensor, server)
    assert ("--disable-custom-all-reduce" in engine(plan)["args"]) is without_p2p
    assert (environment(plan).get("NCCL_P2P_DISABLE") == "1") is without_p2p


# --- the container


@every_variant
def test_it_serves_offline_and_writes_only_to_its_own_volume(plan: Plan) -> None:
    for model in plan.models:
        env, item = environment(plan, model), engine(plan, model)
        assert env["HF_HUB_OFFLINE"] == "1"
        assert env["VLLM_NO_USAGE_STATS"] == env["DO_NOT_TRACK"] == "1"
        writable = {mount["mountPath"] for mount in item["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"/scratch", "/tmp", "/dev/shm"}
        folders = (
            "HOME",
            "HF_HOME",
            "XDG_CACHE_HOME",
            "VLLM_CACHE_ROOT",
            "TRITON_CACHE_DIR",
            "TORCHINDUCTOR_CACHE_DIR",
        )
        for name in folders:
            assert env[name].split("/")[1] == "scratch", name
        assert (
            deployment(plan, model)["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
            == model_server.ENGINE_USER
        )


@every_variant
def test_it_requests_exactly_the_gpus_of_its_parallelism(plan: Plan) -> None:
    for model in plan.models:
        item = engine(plan, model)
        options = dict(pairs(item["args"]))
        spread = int(str(options["--tensor-parallel-size"])) * int(str(options["--pipeline-parallel-size"]))
        assert item["resources"]["requests"] == item["resources"]["limits"]
        assert item["resources"]["limits"]["nvidia.com/gpu"] == str(spread)
        assert spread <= plan.nodes.gpus_per_server


@pytest.mark.parametrize(("tensor", "least"), [(1, 1), (2, 4), (4, 8)])
def test_shared_memory_grows_with_the_cards_and_counts(make_plan: MakePlan, tensor: int, least: int) -> None:
    plan = with_tensor(make_plan, tensor)
    pod = deployment(plan)["spec"]["template"]["spec"]
    (shm,) = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "shm"]
    assert shm["medium"] == "Memory"
    size = int(shm["sizeLimit"].removesuffix("Gi"))
    assert size >= least
    (mount,) = [mount for mount in engine(plan)["volumeMounts"] if mount["name"] == "shm"]
    assert mount["mountPath"] == "/dev/shm"
    memory = int(engine(plan)["resources"]["limits"]["memory"].removesuffix("Gi"))
    assert memory == plan.models[0].memory_gib + size


@every_variant
def test_the_requests_fit_the_server(plan: Plan) -> None:
    server = plan.nodes.server
    for model in plan.models:
        limits = engine(plan, model)["resources"]["limits"]
        per_server = plan.nodes.gpus_per_server // model.gpus
        assert int(limits["cpu"]) * per_server <= server.cpu.threads.value
        assert int(limits["memory"].removesuffix("Gi")) * per_server <= server.memory.gb.value / 1.0737


@every_variant
def test_it_runs_on_the_gpu_it_was_planned_for(plan: Plan) -> None:
    for model in plan.models:
        affinity = deployment(plan, model)["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        rules = {rule["key"]: rule["values"] for rule in term["matchExpressions"]}
        assert rules["nvidia.com/gpu.product"] == [plan.nodes.gpu.product_label.value]


def test_only_a_gguf_model_uses_the_gguf_image(make_plan: MakePlan) -> None:
    assert engine(plan_with(make_plan, precision="q8_0"))["image"] == GGUF_IMAGE
    assert engine(plan_with(make_plan))["image"] == "vllm/vllm-openai:v0.32.0"


@pytest.mark.parametrize(
    ("pair", "names"),
    [
        (("bf16", "awq"), ["qwen2.5-7b", "qwen2.5-7b-awq"]),
        (("q5_k_m", "q8_0"), ["qwen2.5-7b-q5_k_m", "qwen2.5-7b-q8_0"]),
    ],
)
def test_variants_side_by_side_are_served_each_under_its_own_name(
    make_plan: MakePlan, pair: tuple[str, str], names: list[str]
) -> None:
    models = [{"id": "qwen2.5-7b", "precision": precision} for precision in pair]
    plan = make_plan(models=models, images={"gguf": GGUF_IMAGE})
    assert [dict(pairs(engine(plan, model)["args"]))["--served-model-name"] for model in plan.models] == names
    assert [engine(plan, model)["readinessProbe"]["exec"]["command"][-1] for model in plan.models] == names
    files = [engine(plan, model)["args"][0] for model in plan.models]
    assert len(set(files)) == 2
    rendered = {(item["kind"], item["metadata"]["name"]) for item in render(plan)}
    for name in names:
        slug = name.replace(".", "-").replace("_", "-")
        kinds = ("Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler")
        assert {(kind, f"model-{slug}") for kind in kinds} <= rendered
    text = json.dumps([item for item in render(plan) if item["metadata"]["name"].startswith("prometheus-")])
    assert all(f"model-server/{name.replace('.', '-').replace('_', '-')}" in text for name in names)


def test_the_gguf_image_is_the_pinned_engine_with_pinned_plugins_and_the_pods_user() -> None:
    text = (ROOT / "images/vllm-gguf/Containerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[0] == f"FROM {IMAGES['vllm'][0]}"
    assert lines[-1] == f"USER {model_server.ENGINE_USER}:{model_server.ENGINE_USER}"
    (installed,) = re.findall(r"pip install (.*?) \\$", text, re.MULTILINE)
    packages = [word for word in installed.split() if not word.startswith("--")]
    assert [re.fullmatch(r"[\w-]+==[\d.]+", package) is not None for package in packages] == [True, True]
    assert packages[0].startswith("vllm-gguf-plugin==")


# --- probes


@every_variant
def test_a_slow_start_is_not_killed(plan: Plan) -> None:
    for model in plan.models:
        probe = engine(plan, model)["startupProbe"]
        assert probe["httpGet"] == {"path": "/health", "port": "http"}
        assert probe["failureThreshold"] * probe["periodSeconds"] >= model.startup_seconds > 120


@every_variant
def test_a_hung_engine_is_restarted_and_a_busy_one_is_not(plan: Plan) -> None:
    for model in plan.models:
        probe = engine(plan, model)["livenessProbe"]
        assert probe["httpGet"] == {"path": "/health", "port": "http"}
        assert 30 <= probe["failureThreshold"] * probe["periodSeconds"] <= 120


@every_variant
def test_an_engine_that_a_probe_has_failed_does_not_drain(plan: Plan) -> None:
    for model in plan.models:
        for name in ("startupProbe", "livenessProbe"):
            grace = engine(plan, model)[name]["terminationGracePeriodSeconds"]
            assert PRESTOP_SECONDS < grace < model.grace_seconds


class _Models(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known_path = self.path == "/v1/models"
        body = json.dumps({"object": "list", "data": [{"id": "qwen2.5-7b"}, {"id": "other"}]}).encode()
        self.send_response(200 if known_path else 500)
        self.end_headers()
        self.wfile.write(body if known_path else b"unknown path")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Models)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield int(server.server_address[1])
    server.shutdown()
    thread.join()
    server.server_close()


def run_readiness(plan: Plan, port: int) -> int:
    """The probe's own command, with its port moved to the test's server."""
    program, *rest = engine(plan)["readinessProbe"]["exec"]["command"]
    assert program == "python3"
    command = [part.replace(":8000/", f":{port}/") for part in rest]
    assert command != rest
    return subprocess.run([sys.executable, *command], capture_output=True, timeout=20, check=False).returncode


@pytest.mark.parametrize(("name", "code"), [("qwen2.5-7b", 0), ("other", 0), ("qwen2.5", 1), ("data", 1)])
def test_ready_means_that_this_name_is_served(make_plan: MakePlan, port: int, name: str, code: int) -> None:
    assert run_readiness(plan_with(make_plan, name=name), port) == code


def test_not_ready_without_a_server(make_plan: MakePlan) -> None:
    assert run_readiness(make_plan(), 1) != 0


@every_variant
def test_the_readiness_check_gives_up_before_the_probe_does(plan: Plan) -> None:
    for model in plan.models:
        probe = engine(plan, model)["readinessProbe"]
        (seconds,) = re.findall(r"timeout=(\d+)", probe["exec"]["command"][2])
        assert int(seconds) < probe["timeoutSeconds"]
        assert probe["exec"]["command"][-1] == model.name


# --- waiting for weights


def wait_command(plan: Plan, folder: Path) -> list[str]:
    (item,) = deployment(plan)["spec"]["template"]["spec"]["initContainers"]
    shell, option, script = item["command"]
    return [shell, option, script.replace('"/models/', f'"{folder}/')]


def test_the_engine_starts_once_its_files_are_complete(make_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_plan()
    done = tmp_path / plan.models[0].path / ".complete"
    done.parent.mkdir(parents=True)
    done.touch()
    result = subprocess.run(wait_command(plan, tmp_path), capture_output=True, timeout=20, check=False)
    assert (result.returncode, result.stdout) == (0, b"")


def test_a_pod_that_waits_for_weights_ends_at_sigterm(make_plan: MakePlan, tmp_path: Path) -> None:
    """It handles the signal: the first process of a container ignores signals without a handler."""
    process = subprocess.Popen(wait_command(make_plan(), tmp_path), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("waiting for Qwen--Qwen2.5-7B-Instruct/")
        start = time.monotonic()
        process.terminate()
        assert process.wait(20) == 1
        assert time.monotonic() - start < 10
    finally:
        process.kill()
        process.communicate()


def test_waiting_takes_no_gpu(make_plan: MakePlan) -> None:
    (item,) = deployment(make_plan())["spec"]["template"]["spec"]["initContainers"]
    assert "nvidia.com/gpu" not in item["resources"]["limits"]


# --- shutdown and rollout


@every_variant
def test_a_terminating_pod_finishes_its_requests(plan: Plan) -> None:
    longest = max(item.answer_tokens * item.tpot_ms / 1000 for item in plan.classes.values())
    for model in plan.models:
        item, pod = engine(plan, model), deployment(plan, model)["spec"]["template"]["spec"]
        sleep = item["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = int(str(dict(pairs(item["args"]))["--shutdown-timeout"]))
        assert sleep >= 5
        assert drain >= longest
        assert sleep + drain < pod["terminationGracePeriodSeconds"]


@every_variant
def test_a_rollout_may_take_as_long_as_its_parts(plan: Plan) -> None:
    for model in plan.models:
        spec = deployment(plan, model)["spec"]
        probe = engine(plan, model)["startupProbe"]
        start = probe["failureThreshold"] * probe["periodSeconds"]
        grace = spec["template"]["spec"]["terminationGracePeriodSeconds"]
        assert spec["progressDeadlineSeconds"] >= model.fetch_seconds + start + grace


@every_variant
def test_a_rollout_with_every_gpu_busy_frees_one_first(plan: Plan) -> None:
    """Either another replica fits beside the running ones, or at full size at least one stops first."""
    at_full_size = sum(model.max_replicas * model.gpus for model in plan.models)
    for model in plan.models:
        strategy = deployment(plan, model)["spec"]["strategy"]
        spare = plan.nodes.gpus_schedulable - at_full_size
        if strategy["type"] == "Recreate":
            assert "rollingUpdate" not in strategy
            assert model.max_replicas == 1
            continue
        rolling = strategy["rollingUpdate"]
        leaving = model.max_replicas * int(rolling["maxUnavailable"].removesuffix("%")) // 100
        assert spare >= model.gpus or leaving >= 1
        assert leaving < model.max_replicas or model.max_replicas == 1


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [
        (1, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "0%"}}),
        (3, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "0%"}}),
        (4, {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}}),
    ],
)
def test_the_strategy_follows_the_spare_gpus(make_plan: MakePlan, replicas: int, expected: Manifest) -> None:
    plan = make_plan(
        nodes={"server": "standard-4x-a100-80g-pcie"},
        models=[{"id": "qwen2.5-7b", "replicas": replicas}],
        autoscaling={"enabled": False},
    )
    assert deployment(plan)["spec"]["strategy"] == expected


def test_one_replica_on_full_gpus_is_recreated(make_plan: MakePlan) -> None:
    assert deployment(with_tensor(make_plan, 4))["spec"]["strategy"] == {"type": "Recreate"}


@every_variant
def test_a_drain_takes_one_pod_at_a_time(plan: Plan) -> None:
    for model in plan.models:
        (budget,) = [
            item for item in model_server.objects(plan, model) if item["kind"] == "PodDisruptionBudget"
        ]
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"] == model.slug


def test_models_side_by_side_do_not_select_each_others_pods(make_plan: MakePlan) -> None:
    plan = make_plan(models=[{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq"}])
    selectors = [deployment(plan, model)["spec"]["selector"]["matchLabels"] for model in plan.models]
    assert selectors[0] != selectors[1]
    for manifest in render(plan):
        if manifest["kind"] == "Service" and manifest["metadata"]["name"].startswith("model-"):
            assert manifest["spec"]["selector"] in selectors
            assert manifest["spec"]["clusterIP"] == "None"  # the gateway balances over pods itself
