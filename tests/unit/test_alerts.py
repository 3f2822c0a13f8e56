"""The alerts of a stack: each has its numbers, its runbook, and series that exist."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from exposed import EXPOSED
from series import recorded, series_of

from tierup.manifests.alerts import alerts_yml
from tierup.manifests.monitoring import objects
from tierup.plan.model import Plan
from tierup.templates import ROOT

MakePlan = Callable[..., Plan]
RUNBOOKS = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
CHAT = {"promptTokens": 512, "answerTokens": 200, "ttftMs": 500, "tpotMs": 50, "share": 1.0, "priority": 50}


def rules(plan: Plan) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(alerts_yml(plan))["groups"] for rule in group["rules"]]


def expressions(plan: Plan, alert: str) -> list[str]:
    return [rule["expr"] for rule in rules(plan) if rule.get("alert") == alert]


def test_every_alert_says_what_it_means_and_has_a_runbook(make_plan: MakePlan) -> None:
    sections = {title.lower() for title in re.findall(r"^## (Tierup\w+)$", RUNBOOKS, re.MULTILINE)}
    alerts = [rule for rule in rules(make_plan()) if "alert" in rule]
    for rule in alerts:
        assert rule["labels"]["severity"] in {"page", "ticket", "none"}
        note = rule["annotations"]
        assert note["summary"]
        assert note["description"].endswith(".")
        assert note["runbook"] == f"docs/runbooks.md#{rule['alert'].lower()}"
    assert {rule["alert"].lower() for rule in alerts} == sections


def test_every_recorded_series_reads_series_that_exist() -> None:
    for name, expression in recorded().items():
        assert series_of(expression), name
        assert series_of(expression) <= EXPOSED.keys(), name


def test_every_alert_reads_series_that_exist(make_plan: MakePlan) -> None:
    """tests/engine/test_metrics.py proves those of vLLM on a real server."""
    made = {rule["record"] for rule in rules(make_plan()) if "record" in rule} | recorded().keys()
    for rule in rules(make_plan()):
        expression = rule["expr"]
        named = series_of(expression)
        assert named <= EXPOSED.keys() | made, rule
        assert named or expression == "vector(1)", rule


def test_the_numbers_are_those_of_the_stack(make_plan: MakePlan) -> None:
    plan = make_plan(workload={"users": 10, "classes": {"chat": CHAT}})
    (model,) = plan.models
    assert expressions(plan, "TierupReplicasMissing")[0].endswith(f"< {model.replicas}")
    assert expressions(plan, "TierupQueueLong")[0].endswith("> 0.5")
    assert all('le=~"0[.]5"' in text for text in expressions(plan, "TierupTtftLate"))
    assert all('le=~"0[.]05"' in text for text in expressions(plan, "TierupTpotLate"))
    assert "|".join(plan.nodes.in_service) in expressions(plan, "TierupGpuMissing")[0]


def test_a_promise_between_two_bounds_is_measured_at_the_next_one(make_plan: MakePlan) -> None:
    plan = make_plan(workload={"users": 10, "classes": {"chat": CHAT | {"ttftMs": 6000}}})
    assert all('le=~"7[.]5"' in text for text in expressions(plan, "TierupTtftLate"))


def test_each_model_has_alerts_of_its_own(make_plan: MakePlan) -> None:
    plan = make_plan(models=[{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq"}])
    assert len(expressions(plan, "TierupModelDown")) == 2
    for model in plan.models:
        assert any(
            f'job="model-server/{model.slug}"' in text for text in expressions(plan, "TierupModelDown")
        )


def test_an_engine_without_known_histograms_is_judged_by_its_answers(make_plan: MakePlan) -> None:
    plan = make_plan(models=[{"id": "qwen2.5-7b", "engine": "tensorrt-llm"}])
    names = {rule["alert"] for rule in rules(plan) if "alert" in rule}
    assert "TierupModelDown" in names
    assert not any("vllm:" in rule["expr"] for rule in rules(plan))


def test_an_alertmanager_gets_the_alerts_and_may_be_reached(make_plan: MakePlan) -> None:
    def made(plan: Plan) -> tuple[dict[str, Any], list[int]]:
        found = {(item["kind"], item["metadata"]["name"].partition("-")[0]): item for item in objects(plan)}
        config = yaml.safe_load(found["ConfigMap", "prometheus"]["data"]["prometheus.yml"])
        egress = found["NetworkPolicy", "prometheus"]["spec"]["egress"]
        return config, [port["port"] for rule in egress if "to" not in rule for port in rule["ports"]]

    without, ports = made(make_plan())
    assert "alerting" not in without
    assert 9093 not in ports
    with_it, ports = made(make_plan(monitoring={"alertmanager": "am.monitoring.svc.cluster.local:9093"}))
    (sender,) = with_it["alerting"]["alertmanagers"]
    assert sender["dns_sd_configs"][0]["names"] == ["am.monitoring.svc.cluster.local"]
    assert sender["dns_sd_configs"][0]["port"] == 9093
    assert 9093 in ports


@pytest.mark.parametrize("mode", ["bundled", "operator"])
def test_the_bundled_prometheus_reads_them(make_plan: MakePlan, mode: str) -> None:
    plan = make_plan(monitoring={"mode": mode})
    maps = [
        item for item in objects(plan) if item["kind"] == "ConfigMap" and "prometheus.yml" in item["data"]
    ]
    if mode == "operator":
        assert maps == []
        return
    (config,) = maps
    files = yaml.safe_load(config["data"]["prometheus.yml"])["rule_files"]
    assert files == ["/etc/prometheus/recording.yml", "/etc/prometheus/alerts.yml"]
    assert config["data"]["alerts.yml"] == alerts_yml(plan)
