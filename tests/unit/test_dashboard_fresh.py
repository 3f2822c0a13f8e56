"""The committed dashboard equals its builder's output, and queries only series that exist."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from series import recorded, series_of

from tierup.manifests import grafana
from tierup.templates import ROOT

BUILDER = ROOT / "monitoring/dashboards/tier.py"

# Listed from the /metrics of vLLM 0.32.0 (CPU build), the version that the default image pins.
VLLM_METRICS = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:num_preemptions_total",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
    "vllm:admission_rejections_total",
    "vllm:cache_config_info",
}
VLLM_HISTOGRAMS = {
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:request_time_per_output_token_seconds",
    "vllm:e2e_request_latency_seconds",
    "vllm:request_queue_time_seconds",
    "vllm:request_prefill_time_seconds",
    "vllm:request_decode_time_seconds",
}
# The DCGM exporter's default counters, the node exporter's default collectors, Prometheus's own.
OTHERS = {
    "DCGM_FI_DEV_FB_USED",
    "DCGM_FI_DEV_FB_FREE",
    "DCGM_FI_DEV_FB_RESERVED",
    "DCGM_FI_DEV_GPU_UTIL",
    "DCGM_FI_DEV_POWER_USAGE",
    "node_cpu_seconds_total",
    "node_network_receive_bytes_total",
    "node_network_transmit_bytes_total",
    "node_netstat_Tcp_RetransSegs",
    "node_netstat_Tcp_OutSegs",
    "scrape_duration_seconds",
}
SERIES = (
    VLLM_METRICS
    | OTHERS
    | {f"{name}_{part}" for name in VLLM_HISTOGRAMS for part in ("bucket", "sum", "count")}
)


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "monitoring/dashboards/tier.json").read_text())
    return loaded


def queries(board: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]


def test_the_committed_dashboard_is_a_fresh_build() -> None:
    specification = importlib.util.spec_from_file_location("tier_dashboard", BUILDER)
    assert specification is not None
    assert specification.loader is not None
    builder = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(builder)
    committed = Path(builder.OUTPUT).read_text(encoding="utf-8")
    assert builder.build() == committed, f"run `python {BUILDER.relative_to(ROOT)}`"


def test_every_query_uses_series_that_exist(board: dict[str, Any]) -> None:
    for expression in queries(board):
        named = series_of(expression)
        assert named, expression
        assert named <= SERIES | recorded().keys(), expression


def test_every_rule_reads_series_that_exist() -> None:
    for name, expression in recorded().items():
        assert series_of(expression), name
        assert series_of(expression) <= SERIES, name


def test_every_question_of_the_guide_has_a_panel(board: dict[str, Any]) -> None:
    expressions = "\n".join(queries(board))
    for name in (
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:time_to_first_token_seconds_bucket",
        "vllm:request_time_per_output_token_seconds_bucket",
        "vllm:e2e_request_latency_seconds_bucket",
        "vllm:generation_tokens_total",
        "vllm:kv_cache_usage_perc",
        "vllm:num_preemptions_total",
        "tierup_queue_time_seconds",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_POWER_USAGE",
        "node_cpu_seconds_total",
        "node_network_receive_bytes_total",
    ):
        assert name in expressions


def test_panels_have_a_unit_an_explanation_and_the_provisioned_source(board: dict[str, Any]) -> None:
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in panels:
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == grafana.DATASOURCE_UID
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {grafana.DATASOURCE_UID}


def test_panels_do_not_overlap(board: dict[str, Any]) -> None:
    cells = [
        (x, y)
        for position in (panel["gridPos"] for panel in board["panels"])
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
