"""The gateway's objects: safe pods, references that resolve, numbers that follow the plan."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import reloader_rules
from small_stack import small_stack, with_task

from tierup.catalog import Task
from tierup.manifests import gateway, gateway_files
from tierup.manifests.common import Manifest
from tierup.plan.apis import APIS
from tierup.plan.model import Plan
from tierup.plan.resolve import resolve
from tierup.stack.parse import parse
from tierup.stack.sections import GeneratePath

MakePlan = Callable[..., Plan]
TWO_MODELS = [{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq"}]
CALLERS = {
    "keys": {"web": {"classes": ["chat"]}, "batch": {"inFlight": 4, "requestsPerSecond": 2}},
    "tls": True,
}
KEYS = frozenset({"key-web", "key-batch", "tls-certificate", "tls-key"})


def of_kind(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"models": TWO_MODELS},
        {"gateway": {"serviceType": "LoadBalancer", "sourceRanges": ["10.0.0.0/8"]}},
        {"gateway": CALLERS, "secrets": KEYS},
    ],
)
def test_objects_are_well_formed(
    make_plan: MakePlan, well_formed: Callable[[list[Manifest]], None], sections: dict[str, Any]
) -> None:
    well_formed(gateway.objects(make_plan(**sections)))


def drop_security(spec: Manifest) -> None:
    del spec["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]


def drop_volume(spec: Manifest) -> None:
    spec["template"]["spec"]["volumes"].pop()


def rename_port(spec: Manifest) -> None:
    spec["template"]["spec"]["containers"][0]["ports"][0]["name"] = "web"


def relabel(spec: Manifest) -> None:
    spec["template"]["metadata"]["labels"] = {"app.kubernetes.io/name": "other"}


@pytest.mark.parametrize("spoil", [drop_security, drop_volume, rename_port, relabel])
def test_the_check_of_objects_detects_mistakes(
    make_plan: MakePlan, well_formed: Callable[[list[Manifest]], None], spoil: Callable[[Manifest], None]
) -> None:
    manifests = copy.deepcopy(gateway.objects(make_plan()))
    spoil(of_kind(manifests, "Deployment")["spec"])
    with pytest.raises((AssertionError, KeyError)):
        well_formed(manifests)


def test_config_name_changes_with_the_content_and_only_then(make_plan: MakePlan) -> None:
    def name(**settings: int) -> str:
        return str(of_kind(gateway.objects(make_plan(gateway=settings)), "ConfigMap")["metadata"]["name"])

    assert name() == name() == name(keepaliveTimeoutSeconds=60)
    assert name(keepaliveTimeoutSeconds=61) != name()


def test_pods_mount_existing_configs(make_plan: MakePlan) -> None:
    manifests = gateway.objects(make_plan())
    volumes = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]["volumes"]
    config = of_kind(manifests, "ConfigMap")["metadata"]["name"]
    assert {"name": "config", "configMap": {"name": config}} in volumes


def test_a_pod_outlives_its_longest_stream(make_plan: MakePlan) -> None:
    plan = make_plan()
    pod = of_kind(gateway.objects(plan), "Deployment")["spec"]["template"]["spec"]
    prestop = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > prestop + plan.gateway.read_timeout_seconds


def test_a_gateway_knows_of_a_lost_server_long_before_its_read_timeout(make_plan: MakePlan) -> None:
    plan = make_plan()
    pod = of_kind(gateway.objects(plan), "Deployment")["spec"]["template"]["spec"]
    kernel = {item["name"]: int(item["value"]) for item in pod["securityContext"]["sysctls"]}
    time, interval, probes = (
        kernel[f"net.ipv4.tcp_keepalive_{name}"] for name in ("time", "intvl", "probes")
    )
    assert time + interval * probes == gateway.LOST_PEER_SECONDS < plan.gateway.read_timeout_seconds / 10


def test_a_rollout_never_lowers_the_number_of_gateways(make_plan: MakePlan) -> None:
    spec = of_kind(gateway.objects(make_plan()), "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["replicas"] == 2


def test_the_reloader_watches_the_headless_services(make_plan: MakePlan) -> None:
    config = json.loads(gateway_files.files(make_plan(models=TWO_MODELS))["gateway.json"])
    inside = "tierup-test.svc.cluster.local"
    assert [model["source"] for model in config["models"]] == [
        f"dns:model-qwen2-5-7b.{inside}:8000",
        f"dns:model-qwen2-5-7b-awq.{inside}:8000",
    ]
    assert config["gateways"] == {"source": f"dns:gateway-peers.{inside}:8081", "count": 2}
    services = [item for item in gateway.objects(make_plan()) if item["kind"] == "Service"]
    peers = next(item for item in services if item["metadata"]["name"] == "gateway-peers")
    assert peers["spec"]["clusterIP"] == "None"
    assert "publishNotReadyAddresses" not in peers["spec"]


def test_the_reloader_watches_the_metrics_that_each_engine_has(make_plan: MakePlan) -> None:
    models = [{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "name": "second", "engine": "tensorrt-llm"}]
    config = json.loads(gateway_files.files(make_plan(models=models))["gateway.json"])
    progress = ["vllm:generation_tokens_total", "vllm:prompt_tokens_total"]
    assert [(item["metrics"], item["running"], item["progress"]) for item in config["models"]] == [
        ("/metrics", "vllm:num_requests_running", progress),
        (None, None, []),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        '[{"gpuMemUsage": 76665782272, "iter": 154, "numActiveRequests": 1}]',  # TensorRT-LLM's /metrics
        "[]",
        "vllm:num_requests_running 1\nvllm:generation_tokens_total 5\nvllm:prompt_tokens_total 5\n",
        "None 1\n 1\n",
    ],
)
def test_an_engine_without_a_progress_metric_is_judged_by_its_health_alone(
    make_plan: MakePlan, answer: str
) -> None:
    """Nothing that its server returns at /metrics counts as progress or as a stall."""
    plan = make_plan(models=[{"id": "qwen2.5-7b", "engine": "tensorrt-llm"}])
    config = reloader_rules.parse_config(gateway_files.reloader_config(plan))
    assert reloader_rules.read_metrics(answer, config.models[0]) is None
    engine = reloader_rules.Engine()
    for now in (0.0, 10.0, 100.0, 1000.0):
        engine = reloader_rules.after_probe(engine, True, None, now, config.probe)
    assert reloader_rules.hung_reason(engine, config.probe) is None
    for now in range(config.probe.failures):
        engine = reloader_rules.after_probe(engine, False, None, 1000.0 + now, config.probe)
    assert reloader_rules.hung_reason(engine, config.probe) == "silent"


def test_the_reloader_parses_its_configuration(make_plan: MakePlan) -> None:
    """Every marker of the template is one that it fills, and every field one that it knows."""
    for plan in (make_plan(), make_plan(models=TWO_MODELS, gateway=CALLERS, secrets=KEYS)):
        files = gateway_files.files(plan)
        config = reloader_rules.parse_config(json.loads(files["gateway.json"]))
        engines = {model.slug: ["10.0.0.1:8000", "10.0.0.2:8000"] for model in config.models}
        text = reloader_rules.render(
            reloader_rules.View(files["nginx.conf"], engines, 2, {"0" * 64: "web"}), config.models
        )
        assert "@" not in re.sub(r"@[a-z_0-9/-]+(?=[ ;])", "", text.replace("error_page", "")), (
            "a marker is left"
        )
        slots = plan.models[0].slots
        assert f"limit_conn in_flight {(2 * slots + plan.gateway.queue_length + 1) // 2};" in text
        assert f"limit_conn capped {slots // 2};" in text


def test_the_guides_numbers_are_the_defaults(make_plan: MakePlan) -> None:
    text = gateway_files.nginx_conf(make_plan())
    assert "keepalive_timeout 60s;" in text
    assert "client_body_buffer_size 128k;" in text


def test_a_load_balancer_lets_in_only_its_ranges(make_plan: MakePlan) -> None:
    settings = {"serviceType": "LoadBalancer", "sourceRanges": ["10.0.0.0/8", "192.0.2.0/24"]}
    manifests = gateway.objects(make_plan(gateway=settings))
    service = named(manifests, "Service", "gateway")["spec"]
    assert service["loadBalancerSourceRanges"] == settings["sourceRanges"]
    assert service["externalTrafficPolicy"] == "Local"
    clients = of_kind(manifests, "NetworkPolicy")["spec"]["ingress"][0]
    assert [peer["ipBlock"]["cidr"] for peer in clients["from"] if "ipBlock" in peer] == settings[
        "sourceRanges"
    ]


def test_inside_the_cluster_nothing_is_exposed(make_plan: MakePlan) -> None:
    manifests = gateway.objects(make_plan())
    assert named(manifests, "Service", "gateway")["spec"]["type"] == "ClusterIP"
    clients, metrics = of_kind(manifests, "NetworkPolicy")["spec"]["ingress"]
    assert clients == {"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 8080}]}
    assert [port["port"] for port in metrics["ports"]] == [8081]
    assert metrics["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "prometheus"


def test_only_the_named_namespaces_may_call(make_plan: MakePlan) -> None:
    settings = {
        "namespaces": ["chat-app", "batch", "chat-app"],
        "serviceType": "LoadBalancer",
        "sourceRanges": ["192.0.2.0/24"],
    }
    clients, metrics = of_kind(gateway.objects(make_plan(gateway=settings)), "NetworkPolicy")["spec"][
        "ingress"
    ]
    inside, outside = clients["from"]
    (names,) = inside["namespaceSelector"]["matchExpressions"]
    assert (
        names
        == {
            "key": "kubernetes.io/metadata.name",  # which Kubernetes sets itself, so that no one can give it another
            "operator": "In",
            "values": ["chat-app", "batch"],
        }
    )
    assert outside == {"ipBlock": {"cidr": "192.0.2.0/24"}}
    assert "namespaceSelector" not in metrics["from"][0], "the stack's own Prometheus scrapes it as before"


def test_keys_reach_the_reloader_only_and_under_their_callers_names(make_plan: MakePlan) -> None:
    manifests = gateway.objects(make_plan(gateway=CALLERS, secrets=KEYS))
    data = named(manifests, "Secret", "gateway-keys")["stringData"]
    assert data == {"web": "${tierup:secret-key-web}", "batch": "${tierup:secret-key-batch}"}
    nginx, beside = of_kind(manifests, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert "keys" not in [mount["name"] for mount in nginx["volumeMounts"]]
    assert "keys" in [mount["name"] for mount in beside["volumeMounts"]]
    assert named(manifests, "Secret", "gateway-tls")["type"] == "kubernetes.io/tls"


def test_without_callers_there_is_no_secret_and_no_key_is_required(make_plan: MakePlan) -> None:
    manifests = gateway.objects(make_plan())
    assert "Secret" not in [item["kind"] for item in manifests]
    assert "return 401;" not in gateway_files.nginx_conf(make_plan())


@pytest.mark.parametrize("number", [1, 9, 10, 99, 131_072, 2_097_152])
def test_a_number_is_bounded_by_text_alone(number: int) -> None:
    pattern = re.compile(gateway_files.at_most(number))
    near = {*range(250), *range(max(0, number - 1100), number + 1100), number * 10}
    for candidate in near:
        assert bool(pattern.match(str(candidate))) == (candidate <= number), candidate
    for text in ("", "-1", "1x", " 1", "1,1"):
        assert not pattern.match(text)


def test_classes_are_divided_by_the_requested_tokens(make_plan: MakePlan) -> None:
    """Midway by factor between answers of 200 and 1500 tokens: 548 is 2.74 times the one and 1 / 2.74 of the other."""
    rules = make_plan().gateway.classes
    assert [(rule.name, rule.match.max_tokens_from, rule.capped) for rule in rules] == [
        ("longform", 548, True),
        ("chat", None, False),
    ]


def test_a_refused_client_waits_for_the_queue_at_the_planned_rate(make_plan: MakePlan) -> None:
    plan = make_plan(gateway={"queueLength": 100})
    known = plan.models[0].capacity
    assert known is not None
    assert known.full.req_s is not None
    wait = gateway_files.retry_after_seconds(plan, plan.models[0])
    assert wait - 1 < 100 / known.full.req_s.p50 <= wait
    assert gateway_files.retry_after_seconds(make_plan(gateway={"queueLength": 0}), plan.models[0]) == 1


@pytest.mark.parametrize(
    ("task", "engine", "paths"),
    [
        (
            "generate",
            "vllm",
            ["chat/completions", "completions", "responses", "messages", "messages/count_tokens"],
        ),
        ("generate", "tensorrt-llm", ["chat/completions", "completions", "responses"]),
        ("embed", "vllm", ["embeddings", "rerank", "score"]),
        ("score", "vllm", ["rerank", "score"]),
    ],
)
def test_open_paths_are_those_of_the_models(task: Task, engine: str, paths: list[str]) -> None:
    plan = resolve(
        parse(small_stack(models=[{"id": "qwen2.5-7b", "engine": engine}])).config(), with_task(task)
    )
    expected = [f"/v1/{path}" for path in paths]
    assert list(gateway_files.policy(plan)["paths"]) == expected
    text = gateway_files.nginx_conf(plan)
    assert [path for path in GeneratePath if f"location = {path} {{" in text] == expected
    closed = [path for path in GeneratePath if path not in expected]
    assert [path for path in GeneratePath if f'"no model here serves {path}"' in text] == closed


def test_every_path_says_how_its_requests_limit_their_answers() -> None:
    assert set(APIS) == set(GeneratePath)
    assert all(api.limits or api.unsaid is None for api in APIS.values())
