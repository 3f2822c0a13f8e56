"""Prometheus's configuration and rules, checked by its own promtool."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tierup.manifests.alerts import alerts_yml
from tierup.manifests.monitoring import prometheus_yml
from tierup.plan.model import Plan
from tierup.templates import ROOT

MakePlan = Callable[..., Plan]
RULES = ROOT / "monitoring/rules"
TWO = [{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq"}]


@pytest.mark.parametrize(
    "sections",
    [{}, {"models": TWO}, {"monitoring": {"scrapeIntervalSeconds": 5, "gpuExporter": "dcgm.gpus.svc:9400"}}],
    ids=["one model", "two models", "own exporter"],
)
def test_promtool_accepts_the_configuration(
    make_plan: MakePlan, promtool: Callable[..., str], tmp_path: Path, sections: dict[str, Any]
) -> None:
    config, alerts, plan = tmp_path / "prometheus.yml", tmp_path / "alerts.yml", make_plan(**sections)
    alerts.write_text(alerts_yml(plan))
    config.write_text(prometheus_yml(plan, rules=[str(RULES / "recording.yml"), str(alerts)]))
    assert "2 rule files found" in promtool("check", "config", str(config))


def test_promtool_accepts_the_rules(promtool: Callable[..., str]) -> None:
    assert "3 rules found" in promtool("check", "rules", str(RULES / "recording.yml"))


def test_the_rules_compute_the_expected_values_of_known_samples(promtool: Callable[..., str]) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(RULES / "recording_test.yml"))


@pytest.mark.parametrize(
    ("target", "labels"),
    [
        (
            "model-qwen2-5-7b-6c9f-x7k2p.model-qwen2-5-7b.tierup-test.svc.cluster.local.",
            {"instance": "model-qwen2-5-7b-6c9f-x7k2p", "pod": "model-qwen2-5-7b-6c9f-x7k2p"},
        ),
        ("10-0-3-17.model-qwen2-5-7b.tierup-test.svc.cluster.local.", {"instance": "10-0-3-17"}),
    ],
    ids=["DNS that names pods", "DNS that names addresses"],
)
def test_a_replica_is_named_by_its_dns_record(
    make_plan: MakePlan, target: str, labels: dict[str, str]
) -> None:
    """Relabelling as Prometheus does it: an expression must match the complete value, or nothing changes."""
    (job,) = [
        job
        for job in yaml.safe_load(prometheus_yml(make_plan()))["scrape_configs"]
        if job["job_name"] == "model-server/qwen2-5-7b"
    ]
    made = {}
    for step in job["relabel_configs"]:
        if step.get("source_labels") == ["__meta_dns_srv_record_target"]:
            matched = re.fullmatch(step["regex"], target)
            if matched is not None:
                made[step["target_label"]] = matched.group(1)
    assert made == labels
