"""The alerts of a stack, with its own numbers: promises, replicas, servers and times.

A promise is kept if 95 % of the requests keep it, as `tierup loadtest` judges it. vLLM's histograms have no class, so
a request is late when it takes longer than the slowest promise among the model's classes: then it broke its own.
"""

from dataclasses import dataclass
from typing import Any

from tierup.catalog.engine import Promise, engine_facts
from tierup.plan.model import ModelPlan, Plan
from tierup.templates import MONITORING

OBJECTIVE = 0.95
LEAST_LATE = 10  # requests: fewer say nothing, and one slow request of a quiet night pages nobody
SLACK_SECONDS = 300
# Windows and factors of burn rates for a month's budget (Google, "The Site Reliability Workbook", ch. 5, table 5-8).
_BURNS = (
    ("1h", "5m", 14.4, "page"),
    ("6h", "30m", 6, "page"),
    ("1d", "2h", 3, "ticket"),
    ("3d", "6h", 1, "ticket"),
)
# Faults that a restart of the engine does not mend (NVIDIA, "XID Errors", r570: the table's causes HW and driver).
_XIDS = (46, 48, 62, 64, 74, 79, 95, 119, 120)


@dataclass(frozen=True, slots=True)
class _Promised:
    """What is measured of one promise: the metric, its bound as a regular expression, and the names in the rules."""

    metric: str
    bound: str
    record: str
    alert: str
    summary: str


def alerts_yml(plan: Plan) -> str:
    """The text of alerts.yml."""
    return MONITORING.get_template("rules/alerts.yml.j2").render(
        namespace=plan.namespace,
        models=[_model(plan, model) for model in plan.models],
        windows=dict.fromkeys(window for burn in _BURNS for window in burn[:2]),
        burns=[
            {"long": long, "short": short, "ratio": f"{factor * (1 - OBJECTIVE):.3g}", "severity": severity}
            for long, short, factor, severity in _BURNS
        ],
        objective=f"{1 - OBJECTIVE:.0%}",
        least_late=LEAST_LATE,
        servers="|".join(plan.nodes.schedulable),
        gpus_per_server=plan.nodes.gpus_reported,
        xids=_XIDS,
        gpu_exporter=plan.monitoring.gpu_exporter,
        node_exporter=plan.monitoring.node_exporter,
    )


def slowest_promise(plan: Plan, model: ModelPlan) -> tuple[float, float]:
    """Seconds to the first and to each further token that even the slowest class of a model's requests promises."""
    classes = plan.classes_of(model).values()
    return max(item.ttft_ms for item in classes) / 1000, max(item.tpot_ms for item in classes) / 1000


def _model(plan: Plan, model: ModelPlan) -> dict[str, Any]:
    facts = engine_facts(model.engine)
    return {
        "name": model.name,
        "slug": model.slug,
        "replicas": model.replicas,
        "missing_seconds": model.fetch_seconds + model.startup_seconds + SLACK_SECONDS,
        "running": facts.metrics.running.value,
        "progress": facts.metrics.progress.value,
        "recorded": facts.autoscaling_problem is None,
        "slowest_ttft_seconds": f"{slowest_promise(plan, model)[0]:g}",
        "promises": _promises(plan, model),
    }


def _promises(plan: Plan, model: ModelPlan) -> list[_Promised]:
    metrics = engine_facts(model.engine).metrics
    ttft, tpot = slowest_promise(plan, model)
    asked: tuple[tuple[Promise, float, str, str], ...] = (
        ("ttftMs", ttft, "Ttft", "the first token comes"),
        ("tpotMs", tpot, "Tpot", "further tokens come"),
    )
    found = []
    for promise, most, name, what in asked:
        histogram = metrics.bounds(promise)
        if histogram is None:
            continue
        metric, bounds = histogram
        # TIER079 names a promise between two bounds; the next one is what can be measured.
        bound = next((bound for bound in bounds if bound >= most), None)
        if bound is None:
            continue
        summary = f"{what} too late for {model.name}: after more than {bound:g} s"
        found.append(
            _Promised(
                metric, _label(bound), f"tierup_{name.lower()}_late_ratio", f"Tierup{name}Late", summary
            )
        )
    return found


def _label(bound: float) -> str:
    """The bound as a `le` label has it: vLLM writes 1.0, and other versions of Prometheus 1."""
    text = f"{bound:g}".replace(".", "[.]")
    return text if "." in text else f"{text}([.]0)?"
