"""Each alert of a stack fires for its fault and alone, and not for one just under it, as promtool computes it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tierup.catalog import load_catalog
from tierup.io.stack.read import read_stack, stack_path
from tierup.manifests.alerts import alerts_yml
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse
from tierup.templates import ROOT

RECORDING = ROOT / "monitoring/rules/recording.yml"
MODEL = 'namespace="tierup-standard",model="qwen2-5-7b"'
ENGINES = [f'{MODEL},instance="{name}",pod="{name}"' for name in ("a", "b")]
SERVER, NODE = 'Hostname="standard-gpu-1"', 'instance="10.0.0.1:9100"'
TTFT, TPOT = "vllm:time_to_first_token_seconds", "vllm:request_time_per_output_token_seconds"
Series = dict[str, str]


def of_engines(name: str, values: str, labels: str = "") -> Series:
    return {f"{name}{{{engine}{labels}}}": values for engine in ENGINES}


def of_gpus(name: str, values: str) -> Series:
    return {f'{name}{{{SERVER},gpu="{gpu}"}}': values for gpu in (0, 1)}


def late(metric: str, bound: str, per_minute: int, of: int) -> Series:
    """Requests per engine and minute, and how many of them are late."""
    counted = {f"{metric}_count{{{engine}}}": f"0+{of}x{{n}}" for engine in ENGINES}
    in_time = {
        f'{metric}_bucket{{{engine},le="{bound}"}}': f"0+{of - per_minute}x{{n}}" for engine in ENGINES
    }
    return counted | in_time


# A stack that is well, one sample a minute; {n} is the number of minutes.
HEALTHY: Series = {
    **{f'up{{job="model-server/qwen2-5-7b",{engine}}}': "1x{n}" for engine in ENGINES},
    'up{job="gpu"}': "1x{n}",
    'up{job="node"}': "1x{n}",
    **of_engines("vllm:num_requests_running", "3x{n}"),
    **of_engines("vllm:num_requests_waiting", "0x{n}"),
    **of_engines("vllm:generation_tokens_total", "0+9000x{n}"),
    **of_engines("vllm:prompt_tokens_total", "0+900x{n}"),
    **of_engines("vllm:kv_cache_usage_perc", "0.5x{n}"),
    **of_engines("vllm:num_preemptions_total", "0x{n}"),
    **of_engines("vllm:request_success_total", "0+60x{n}"),
    **of_engines("vllm:admission_rejections_total", "0x{n}"),
    **late(TTFT, "10.0", 0, 60),
    **late(TPOT, "0.075", 0, 60),
    **of_gpus("DCGM_FI_DEV_FB_USED", "72000x{n}"),
    **of_gpus("DCGM_FI_DEV_FB_FREE", "8000x{n}"),
    **of_gpus("DCGM_FI_DEV_FB_RESERVED", "500x{n}"),
    **of_gpus("DCGM_FI_DEV_XID_ERRORS", "0x{n}"),
    **of_gpus("DCGM_FI_DEV_ROW_REMAP_FAILURE", "0x{n}"),
    f'node_uname_info{{{NODE},nodename="standard-gpu-1"}}': "1x{n}",
    f"node_memory_MemTotal_bytes{{{NODE}}}": "512000x{n}",
    f"node_memory_MemAvailable_bytes{{{NODE}}}": "256000x{n}",
    f'node_filesystem_size_bytes{{{NODE},mountpoint="/",fstype="ext4"}}': "1000x{n}",
    f'node_filesystem_avail_bytes{{{NODE},mountpoint="/",fstype="ext4"}}': "500x{n}",
    f'node_cpu_seconds_total{{{NODE},cpu="0",mode="idle"}}': "0+40x{n}",
    f"node_timex_offset_seconds{{{NODE}}}": "0.001x{n}",
    f'node_network_receive_errs_total{{{NODE},device="eth0"}}': "0x{n}",
    f'node_network_transmit_errs_total{{{NODE},device="eth0"}}': "0x{n}",
    f"node_netstat_Tcp_RetransSegs{{{NODE}}}": "0+1x{n}",
    f"node_netstat_Tcp_OutSegs{{{NODE}}}": "0+1000x{n}",
    f'node_md_disks{{{NODE},device="md0",state="failed"}}': "0x{n}",
    'prometheus_config_last_reload_successful{job="prometheus"}': "1x{n}",
    'prometheus_rule_evaluation_failures_total{job="prometheus",rule_group="g"}': "0x{n}",
    'prometheus_tsdb_wal_corruptions_total{job="prometheus"}': "0x{n}",
    'prometheus_tsdb_compactions_failed_total{job="prometheus"}': "0x{n}",
}
UP = [name for name in HEALTHY if name.startswith('up{job="model')]


@dataclass(frozen=True)
class Case:
    """What differs from a healthy stack when the alert fires, and when it just does not; after how many minutes."""

    fires: Series
    quiet: Series
    minutes: int = 70
    absent: tuple[str, ...] = ()


def waiting(seconds: str) -> Series:
    """Sixty requests a minute that have waited so long together."""
    return {
        f"vllm:request_queue_time_seconds_sum{{{ENGINES[0]}}}": seconds,
        f"vllm:request_queue_time_seconds_count{{{ENGINES[0]}}}": "0+60x{n}",
    }


CASES: dict[str, Case] = {
    "TierupModelDown": Case(dict.fromkeys(UP, "1x60 0x10"), {UP[0]: "1x60 0x10"}),
    "TierupReplicasMissing": Case({UP[0]: "1x5 stale"}, {UP[0]: "1x80 stale"}, minutes=90),
    "TierupEngineStuck": Case(
        {
            f"vllm:generation_tokens_total{{{ENGINES[0]}}}": "0+9000x50 450000x{n}",
            f"vllm:prompt_tokens_total{{{ENGINES[0]}}}": "0+900x50 45000x{n}",
        },
        {f"vllm:generation_tokens_total{{{ENGINES[0]}}}": "0+9000x50 450000x{n}"},  # it reads a long prompt
    ),
    "TierupTtftLate": Case(late(TTFT, "10.0", 50, 60), late(TTFT, "10.0", 2, 60), minutes=120),
    "TierupTpotLate": Case(late(TPOT, "0.075", 50, 60), late(TPOT, "0.075", 2, 60), minutes=120),
    "TierupQueueLong": Case(
        waiting("0+660x{n}"),  # seconds, by 60 requests; the slowest promise is 10 s
        waiting("0+600x{n}"),
    ),
    "TierupKvCacheFull": Case(
        of_engines("vllm:kv_cache_usage_perc", "0.97x{n}"), of_engines("vllm:kv_cache_usage_perc", "0.94x{n}")
    ),
    "TierupPreemptions": Case(
        of_engines("vllm:num_preemptions_total", "0+6x{n}"),
        of_engines("vllm:num_preemptions_total", "0+2x{n}"),
    ),
    "TierupRequestsRefused": Case(
        of_engines("vllm:admission_rejections_total", "0+1x{n}"),
        of_engines("vllm:admission_rejections_total", "0x60 4x{n}"),
    ),
    "TierupGpuMissing": Case({}, {}, absent=(f'DCGM_FI_DEV_FB_USED{{{SERVER},gpu="1"}}',)),
    "TierupGpuFault": Case(
        {f'DCGM_FI_DEV_XID_ERRORS{{{SERVER},gpu="1"}}': "0x60 79x{n}"},
        {f'DCGM_FI_DEV_XID_ERRORS{{{SERVER},gpu="1"}}': "0x60 31x{n}"},  # a fault of the program
    ),
    "TierupGpuRowRemapFailed": Case(
        {f'DCGM_FI_DEV_ROW_REMAP_FAILURE{{{SERVER},gpu="1"}}': "1x{n}"},
        {'DCGM_FI_DEV_ROW_REMAP_FAILURE{Hostname="of-another-team",gpu="1"}': "1x{n}"},
    ),
    "TierupGpuMemoryFull": Case(
        of_gpus("DCGM_FI_DEV_FB_FREE", "100x{n}") | of_gpus("DCGM_FI_DEV_FB_USED", "79900x{n}"),
        of_gpus("DCGM_FI_DEV_FB_FREE", "1000x{n}") | of_gpus("DCGM_FI_DEV_FB_USED", "79000x{n}"),
    ),
    "TierupGpuMetricsMissing": Case({'up{job="gpu"}': "1x30 0x{n}"}, {'up{job="gpu"}': "1x60 0x{n}"}),
    "TierupNodeMemoryLow": Case(
        {f"node_memory_MemAvailable_bytes{{{NODE}}}": "20000x{n}"},
        {f"node_memory_MemAvailable_bytes{{{NODE}}}": "30000x{n}"},
    ),
    "TierupNodeDiskFull": Case(
        {f'node_filesystem_avail_bytes{{{NODE},mountpoint="/",fstype="ext4"}}': "90x{n}"},
        {f'node_filesystem_avail_bytes{{{NODE},mountpoint="/",fstype="ext4"}}': "110x{n}"},
    ),
    "TierupNodeCpuBusy": Case(
        {f'node_cpu_seconds_total{{{NODE},cpu="0",mode="idle"}}': "0+5x{n}"},
        {f'node_cpu_seconds_total{{{NODE},cpu="0",mode="idle"}}': "0+7x{n}"},
    ),
    "TierupNodeClockSkewed": Case(
        {f"node_timex_offset_seconds{{{NODE}}}": "-0.06x{n}"},
        {f"node_timex_offset_seconds{{{NODE}}}": "-0.04x{n}"},
    ),
    "TierupNodeNetworkErrors": Case(
        {f'node_network_receive_errs_total{{{NODE},device="eth0"}}': "0+2x{n}"},
        {f'node_network_receive_errs_total{{{NODE},device="eth0"}}': "0x50 8x{n}"},
    ),
    "TierupNodeRetransmits": Case(
        {f"node_netstat_Tcp_RetransSegs{{{NODE}}}": "0+30x{n}"},
        {f"node_netstat_Tcp_RetransSegs{{{NODE}}}": "0+15x{n}"},
    ),
    "TierupRaidDegraded": Case(
        {f'node_md_disks{{{NODE},device="md0",state="failed"}}': "1x{n}"},
        {f'node_md_disks{{{NODE},device="md0",state="spare"}}': "1x{n}"},
    ),
    "TierupNodeMetricsMissing": Case({'up{job="node"}': "1x30 0x{n}"}, {'up{job="node"}': "1x60 0x{n}"}),
    "TierupPrometheusConfigFailed": Case(
        {'prometheus_config_last_reload_successful{job="prometheus"}': "0x{n}"},
        {'prometheus_config_last_reload_successful{job="prometheus"}': "1x66 0x{n}"},
    ),
    "TierupPrometheusRulesFailed": Case(
        {'prometheus_rule_evaluation_failures_total{job="prometheus",rule_group="g"}': "0+1x{n}"},
        {'prometheus_rule_evaluation_failures_total{job="prometheus",rule_group="g"}': "0x20 1x{n}"},
    ),
    "TierupPrometheusDataDamaged": Case(
        {'prometheus_tsdb_compactions_failed_total{job="prometheus"}': "0x30 1x{n}"},
        {'prometheus_tsdb_compactions_failed_total{job="prometheus"}': "1x{n}"},
    ),
}


@pytest.fixture(scope="module")
def alerts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The alerts of the standard tier."""
    plan = make_plan(parse(read_stack(stack_path(ROOT, "standard"))), load_catalog())
    path = tmp_path_factory.mktemp("rules") / "alerts.yml"
    path.write_text(alerts_yml(plan))
    return path


def names(alerts: Path) -> set[str]:
    groups = yaml.safe_load(alerts.read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}


def firing(series: Series, minutes: int, expected: set[str], name: str) -> dict[str, object]:
    """A test for promtool: after these minutes exactly the expected alerts fire, beside the watchdog."""
    samples = [
        {"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(expected | {"TierupWatchdog"})
    ]
    query = 'group by (alertname) (ALERTS{alertstate="firing"})'
    return {
        "name": name,
        "interval": "1m",
        "input_series": [
            {"series": key, "values": values.replace("{n}", str(minutes + 5))}
            for key, values in series.items()
        ],
        "promql_expr_test": [{"expr": query, "eval_time": f"{minutes}m", "exp_samples": samples}],
    }


def ran(promtool: Callable[..., str], alerts: Path, tests: list[dict[str, object]]) -> str:
    """What promtool says of the tests."""
    file = alerts.with_name("test.yml")
    rules = {"rule_files": [str(RECORDING), str(alerts)], "evaluation_interval": "1m"}
    file.write_text(yaml.safe_dump({**rules, "tests": tests}))
    return promtool("test", "rules", str(file))


def test_promtool_finds_nothing_to_say_about_the_alerts(promtool: Callable[..., str], alerts: Path) -> None:
    assert "rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", str(alerts))


def test_every_alert_has_a_case_of_its_own(alerts: Path) -> None:
    assert names(alerts) == CASES.keys() | {"TierupWatchdog"}


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_for_its_fault_and_alone_and_not_just_under_it(
    promtool: Callable[..., str], alerts: Path, alert: str
) -> None:
    case = CASES[alert]
    base = {name: values for name, values in HEALTHY.items() if name not in case.absent}
    fires = firing(base | case.fires, case.minutes, {alert}, f"{alert} fires")
    quiet = firing(HEALTHY | case.quiet, case.minutes, set(), f"{alert} does not fire")
    assert "SUCCESS" in ran(promtool, alerts, [fires, quiet])


def test_a_normal_working_day_fires_nothing(promtool: Callable[..., str], alerts: Path) -> None:
    assert "SUCCESS" in ran(promtool, alerts, [firing(HEALTHY, 8 * 60, set(), "eight hours")])


def test_one_slow_request_of_a_quiet_night_pages_nobody(promtool: Callable[..., str], alerts: Path) -> None:
    slow = late(TTFT, "10.0", 0, 0)
    slow[f"{TTFT}_count{{{ENGINES[0]}}}"] = "0x60 1x{n}"
    only = firing(HEALTHY | slow, 90, set(), "the only request of the night is late")
    assert "SUCCESS" in ran(promtool, alerts, [only])
