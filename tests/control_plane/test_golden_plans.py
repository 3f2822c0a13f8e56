"""Plans of the current engine: they equal the committed golden plans, and have the same cost as the stack files."""

import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from golden_plans import GOLDEN, PREVIEW, make
from tiers import Tier

from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, bill_of_resources, price
from tierup.cost.report.figures import rounded
from tierup.cost.types import Bill
from tierup.io.pulumi.plan import parse_plan
from tierup.local.cluster.cluster import Cluster

TIERUP = Path(sys.executable).with_name("tierup")
RENEW = "renew the golden plans: .venv/bin/python tests/support/golden_plans.py"


def bills(plan: dict[str, Any]) -> tuple[Bill, Bill]:
    changes = parse_plan(json.dumps(plan).encode(), "plan")
    past = [change.past for change in changes if change.past is not None]
    now = [change.now for change in changes if change.now is not None]
    return bill_of_resources(past), bill_of_resources(now)


def shape(plan: dict[str, Any]) -> set[tuple[str, ...]]:
    """Operations, types and field names of a plan, without the number of resources."""
    fields = set()
    for step in plan.get("steps", ()):
        for side in ("oldState", "newState"):
            fields |= {
                (step["op"], side, step[side]["type"], *sorted(step[side])) for _ in [0] if side in step
            }
    for state in plan.get("deployment", {}).get("resources", ()):
        fields.add(("state", state["type"], *sorted(state)))
    return fields


def test_the_committed_plans_equal_what_the_engine_writes(cluster_root: Path, tmp_path: Path) -> None:
    cluster = Cluster.up("golden", root=cluster_root)
    try:
        made = dict(make(cluster, tmp_path))
    finally:
        cluster.down()
    assert made.keys() == {path.stem for path in GOLDEN.glob("*.json")}, RENEW
    for name, plan in made.items():
        kept = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
        assert shape(plan) == shape(kept), f"{name}: {RENEW}"
        assert bills(plan) == bills(kept), f"{name}: {RENEW}"


@pytest.mark.parametrize("stack", ["entry", "standard", "premium"])
def test_a_tiers_preview_and_stack_file_have_the_same_cost(tier_of: Callable[..., Tier], stack: str) -> None:
    tier = tier_of(stack)
    tier.prepare()
    preview = tier.project.pulumi(*PREVIEW, quiet=True)
    _, now = bills(json.loads(preview))
    expected = bill_of(tier.plan)
    assert now == expected
    again = parse_plan(f"Previewing update ({tier.stack}):\n{preview}\n".encode(), "a log")
    assert again == parse_plan(preview.encode(), "alone")
    command = [str(TIERUP), "cost", "--stack", tier.stack, "--preview", "--json"]
    done = subprocess.run(
        command, cwd=tier.project.folder, env=tier.project.environment(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert Decimal(json.loads(done.stdout)["total"]["now"]["usdPerMonth"]) == rounded(
        price(expected, load_prices()).usd_per_month
    )
