"""Every query of the boards is understood and answered: promtool computes it from a series of each exposed metric."""

import itertools
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml
from board_queries import Asked, asked, filled, loaded
from exposed import EXPOSED, HISTOGRAMS
from tier_plans import plan_of

from tierup.catalog.engine import engine_facts
from tierup.cost import priced
from tierup.manifests.alerts import alerts_yml
from tierup.manifests.boards import boards_json
from tierup.plan.model import Plan
from tierup.templates import ROOT

RECORDING = ROOT / "monitoring/rules/recording.yml"
MINUTES = 70
COUNTERS = ("_total", "_bucket", "_sum", "_count", "Segs")
BUCKETS = engine_facts("vllm").metrics.buckets
# By metric, where one value would not do: more free than there is, or a firing alert.
VALUES = {"DCGM_FI_DEV_XID_ERRORS": "79x{n}", "up": "1x{n}", "node_timex_offset_seconds": "0.001x{n}"}
DAYS = "Full at this growth in"  # answered from a week of samples


def label_values(plan: Plan, name: str, label: str) -> tuple[str, ...]:
    """What a label has in this stack."""
    jobs = {"vllm": f"model-server/{plan.models[0].slug}", "prometheus": "prometheus"}
    metric = name.removesuffix("_bucket")
    bounds = [str(bound) for bound in BUCKETS[metric].value] if metric in BUCKETS else ["1.0"]
    values: dict[str, tuple[str, ...]] = {
        "model": tuple(model.slug for model in plan.models),
        "namespace": (plan.namespace,),
        "Hostname": plan.nodes.in_service,
        "nodename": plan.nodes.in_service,
        "job": (jobs.get(re.split("[:_]", name)[0], "node"),),
        "le": (*bounds, "+Inf"),
        "mode": ("idle",),
        "state": ("failed",),
    }
    return values.get(label, ("a",))


def series(plan: Plan, steps: int) -> list[dict[str, str]]:
    """One series of each that is exposed, and one for each bound of a histogram."""
    made = []
    for name, labels in EXPOSED.items():
        if name in {"ALERTS", "up", "scrape_duration_seconds"}:
            continue
        names = sorted(labels)
        for combination in itertools.product(*(label_values(plan, name, label) for label in names)):
            text = ",".join(f'{label}="{value}"' for label, value in zip(names, combination, strict=True))
            rising = name in HISTOGRAMS or name.endswith(COUNTERS)
            values = VALUES.get(name, "0+600x{n}" if rising else "5x{n}")
            made.append((f"{name}{{{text}}}", values))
    (slug,) = (model.slug for model in plan.models)
    engine = f'job="model-server/{slug}",namespace="{plan.namespace}",model="{slug}",instance="a",pod="a"'
    for name in ("up", "scrape_duration_seconds"):
        made += [
            (f"{name}{{{target}}}", "1x{n}") for target in (engine, 'job="node",instance="a"', 'job="gpu"')
        ]
    return [{"series": text, "values": values.replace("{n}", str(steps))} for text, values in made]


def checks(queries: Iterable[Asked], inputs: list[dict[str, str]], step: str, at: str) -> dict[str, object]:
    """A test for promtool: at this time every query finds something."""
    found = [{"labels": "{}", "value": 1}]
    interval = "4m" if step == "1m" else "4h"
    return {
        "interval": step,
        "input_series": inputs,
        "promql_expr_test": [
            {
                "expr": f"clamp_max(count({filled(item.expr, interval)}), 1)",
                "eval_time": at,
                "exp_samples": found,
            }
            for item in queries
        ],
    }


def test_every_query_finds_data(promtool: Callable[..., str], tmp_path: Path) -> None:
    plan = priced(plan_of("premium"))  # it has every panel
    (tmp_path / "alerts.yml").write_text(alerts_yml(plan))
    queries = list(asked(loaded(boards_json(plan))))
    assert len(queries) > 90
    long = [item for item in queries if DAYS in item.key]
    (model,) = plan.models
    growing = f'tierup_requests_in_flight{{namespace="{plan.namespace}",model="{model.slug}",instance="a"}}'
    week = [{"series": growing, "values": "1+0.01x1000"}]
    content = {
        "rule_files": [str(RECORDING), str(tmp_path / "alerts.yml")],
        "evaluation_interval": "1m",
        "tests": [
            checks((item for item in queries if item not in long), series(plan, MINUTES), "1m", f"{MINUTES}m")
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(content))
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "test.yml"))
    days = {"evaluation_interval": "1h", "tests": [checks(long, week, "15m", "9d")]}
    (tmp_path / "days.yml").write_text(yaml.safe_dump(days))
    assert long
    assert "SUCCESS" in promtool("test", "rules", str(tmp_path / "days.yml"))
