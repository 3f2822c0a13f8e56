"""Alerts: what fires now and what fired, and whether the monitoring itself is well."""

from collections.abc import Sequence

from tierup.manifests.boards.board import Board, Shown
from tierup.manifests.boards.panels import (
    GREEN,
    RED,
    YELLOW,
    Frame,
    Query,
    Scale,
    graph,
    mapped,
    stat,
    table,
    timeline,
)
from tierup.manifests.boards.scope import RUNBOOKS, Scope

_TARGETS = 'up{job=~"model-server/.+|gpu|node|prometheus"}'
_SILENT = "Prometheus does not answer"
# Labels of alerts and their headings.
_COLUMNS = (
    ("severity", "Severity"),
    ("alertname", "Alert"),
    ("model", "Model"),
    ("instance", "Replica or server"),
    ("Hostname", "Server"),
    ("gpu", "GPU"),
    ("mountpoint", "File system"),
    ("device", "Device"),
    ("window", "Window"),
)


def board(scope: Scope) -> Board:
    """The alerts of the stack, and the monitoring's own health."""
    rows = (("Now", _now(scope)), ("Before", _before(scope)), ("The monitoring itself", _itself(scope)))
    about = "What fires now and what fired before, with what to do about it, and whether the monitoring itself is well."
    return Board("Alerts", about, rows, since="now-24h")


def _now(scope: Scope) -> Sequence[Shown]:
    watchdog = Frame(
        "Alerts are evaluated",
        "none",
        "The watchdog fires always. If it is not there, no alert can arrive.",
        "no: the watchdog does not fire",
        6,
        4,
        Scale(((None, RED), (1, GREEN))),
        links=(scope.runbook("TierupWatchdog"),),
    )
    firing = Frame(
        "Firing now",
        "none",
        "Each alert with what it is about. A click on a value leads to the runbooks.",
        "nothing fires",
        24,
        7,
        links=(("What to do when an alert fires", scope.address(RUNBOOKS)),),
    )
    names = ", ".join(field for field, _ in _COLUMNS)
    fires = 'count(ALERTS{alertname="TierupWatchdog",alertstate="firing"})'
    states = (
        ("To act on now", "firing", "page", Scale.rising(None, 1)),
        ("For the working day", "firing", "ticket", Scale.rising(1, None)),
        ("About to fire", "pending", "page|ticket", Scale.rising(1, None)),
    )
    counts = [
        stat(
            Frame(
                title, "short", f"Alerts in state `{state}` of severity `{severity}`.", _SILENT, 6, 4, scale
            ),
            Query(f"count({scope.alerts(state, severity)}) or vector(0)", state),
        )
        for title, state, severity, scale in states
    ]
    rows = Query(f"max by ({names}) ({scope.alerts()})", "{{alertname}}")
    link = ("What to do", scope.address(RUNBOOKS))
    return [
        mapped(stat(watchdog, Query(fires, "watchdog"), spark=False), (("1", "yes", GREEN),)),
        *counts,
        table(firing, rows, _COLUMNS, link),
    ]


def _before(scope: Scope) -> Sequence[Shown]:
    course = Frame(
        "When each alert fired",
        "none",
        "One line for each alert that fired in the chosen time.",
        "nothing fired",
        24,
        7,
    )
    fired = Query(f"max by (alertname, severity) ({scope.alerts()})", "{{alertname}} ({{severity}})")
    return [timeline(course, fired, (("1", "fires", YELLOW),))]


def _itself(scope: Scope) -> Sequence[Shown]:
    monitoring = scope.plan.monitoring
    gigabytes = monitoring.storage_gib * 2**30
    down = Frame(
        "Targets that do not answer",
        "short",
        "Engines and exporters that the monitoring finds and that do not answer.",
        _SILENT,
        6,
        6,
        Scale.rising(1, None),
        links=(scope.runbook("TierupNodeMetricsMissing"), scope.runbook("TierupGpuMetricsMissing")),
    )
    rules = Frame(
        "Rules that failed, last hour",
        "short",
        "Evaluations of rules that ended in an error: alerts may be missing.",
        _SILENT,
        6,
        6,
        Scale.rising(1, None),
        links=(scope.runbook("TierupPrometheusRulesFailed"),),
    )
    config = Frame(
        "Configuration is the newest",
        "none",
        "Prometheus keeps the old one if the new one is wrong.",
        _SILENT,
        6,
        6,
        Scale(((None, RED), (1, GREEN))),
        links=(scope.runbook("TierupPrometheusConfigFailed"),),
    )
    stored = Frame(
        "Samples on the volume",
        "bytes",
        f"Of {monitoring.storage_gib} GiB; the oldest are removed first, after {monitoring.retention_days} days.",
        _SILENT,
        6,
        6,
        Scale.rising(None, gigabytes),
        links=(scope.runbook("TierupPrometheusDataDamaged"),),
    )
    own = 'job="prometheus"'
    return [
        stat(down, Query(f"count({_TARGETS} == 0) or vector(0)", "targets")),
        stat(rules, Query(f"sum(increase(prometheus_rule_evaluation_failures_total{{{own}}}[1h]))", "rules")),
        mapped(
            stat(
                config,
                Query(f"prometheus_config_last_reload_successful{{{own}}}", "configuration"),
                spark=False,
            ),
            (("1", "yes", GREEN), ("0", "no", RED)),
        ),
        graph(stored, Query(f"prometheus_tsdb_storage_blocks_bytes{{{own}}}", "samples")),
    ]
