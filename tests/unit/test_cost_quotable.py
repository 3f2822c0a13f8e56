"""Whatever a cost names can be quoted, and then has the price of the quote."""

import dataclasses
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from bills import TODAY
from small_stack import small_stack
from tier_plans import VARIANTS, stack_text

from tierup.catalog import load_catalog
from tierup.catalog.prices import LIMITS, Prices, load_prices
from tierup.cost import StackCost, price
from tierup.cost.report.cost import StackReport
from tierup.cost.types import Bill, Volume
from tierup.findings.model import BUDGET_CODES
from tierup.io.stack.read import parse_stack
from tierup.plan.model import Plan, Rental
from tierup.rules.preflight import plan_without_secrets
from tierup.stack.parse import RawStack, parse
from tierup.stack.sections import StandbyMode

PRICES = load_prices()


def plan_of(raw: RawStack) -> Plan:
    return plan_without_secrets(parse(raw), load_catalog(), allowed_errors=BUDGET_CODES)


def report_of(raw: RawStack) -> StackReport:
    priced = StackCost.of(plan_of(raw), PRICES, TODAY)
    return StackReport.of(priced, priced.outlook(), ())


def ids(report: StackReport) -> set[str]:
    """Every id that the report names: prices, offers, and what is not priced."""
    return {
        *(item.id for item in report.prices),
        *(item.id for item in report.rented),
        *report.unpriced,
        *report.owned.unpriced,
        *(name for line in report.lines for name in line.prices),
    }


def generated(seed: int) -> RawStack:
    """A stack of any server, tenure, spares, gateway and storage."""
    random = Random(seed)
    nodes: dict[str, Any] = {"server": random.choice(sorted(PRICES.servers)), "count": random.randint(1, 3)}
    nodes["standby"] = {"mode": random.choice(["cold", "warm"]), "count": random.randint(1, 2)}
    if random.random() < 0.6:
        rent = {
            "provider": random.choice(["RunPod", "Lambda", "Acme"]),
            "termMonths": random.choice([None, 12]),
        }
        nodes |= {
            "tenure": "rented",
            "rent": {key: value for key, value in rent.items() if value is not None},
        }
    gateway = random.choice([{}, {"serviceType": "LoadBalancer", "sourceRanges": ["10.0.0.0/8"]}])
    return small_stack(
        nodes=nodes,
        gateway=gateway,
        autoscaling={"enabled": False},
        monitoring={"storageClass": random.choice(["fast", "a" * 60])},
        models=[{"id": "qwen2.5-7b", "cache": {"kind": "shared", "storageClass": "nfs"}}],
    )


STACKS = [
    *(
        pytest.param(parse_stack(stack_text(*case), case[0], "x.yaml"), id="-".join(case))
        for case in VARIANTS
    ),
    *(pytest.param(generated(seed), id=f"generated-{seed}") for seed in range(12)),
]


@pytest.mark.parametrize("raw", STACKS)
def test_every_id_that_a_cost_names_can_be_quoted(raw: RawStack) -> None:
    named = ids(report_of(raw))
    assert len(named) >= 3
    quotes = {
        name: {
            "value": str(LIMITS.get(name, (Decimal(7), 0))[0] or Decimal("0.5")),
            "unit": PRICES.unit(name),
            "source": "our quote",
            "asOf": "2026-11-02",
        }
        for name in sorted(named)
    }
    quoted = report_of(dataclasses.replace(raw, values={**raw.values, "cost": {"quotes": quotes}}))
    assert quoted.unpriced == []
    assert quoted.owned.unpriced == []
    values = {item.id: (item.value, item.quoted) for item in quoted.prices}
    assert {name: values[name] for name in named & values.keys()} == {
        name: (Decimal(str(quotes[name]["value"])), True) for name in named & values.keys()
    }
    assert values.keys() >= {name for line in quoted.lines for name in line.prices}


@pytest.mark.parametrize(
    "rental", [None, Rental(), Rental("Acme", None, 12)], ids=["owned", "rented", "term"]
)
@pytest.mark.parametrize("mode", [StandbyMode.COLD, StandbyMode.WARM])
def test_a_server_of_ones_own_without_any_price_can_be_quoted_whole(
    rental: Rental | None, mode: StandbyMode
) -> None:
    known = load_catalog().servers["premium-4x-h100-80g-sxm"]
    own = known.model_copy(update={"gpu": "l40s"})
    rows = {name: item for name, item in PRICES.by_id.items() if name not in PRICES.servers}
    prices = Prices(rows, PRICES.what, PRICES.offers, {"my-server": own})
    bill = Bill("my-server", 2, 1, mode, (Volume("data", 10, "fast"),), 1, rental=rental)
    missing = price(bill, prices).unpriced
    assert missing
    assert [name for name in missing if not prices.can_quote(name)] == []
    units = {name: prices.unit(name) for name in missing}
    assert units.get("load-watts-my-server", "W") == units.get("idle-watts-my-server", "W") == "W"
    assert units.get("my-server", "USD") == "USD"
    assert (units.get("rent-my-server") == "USD/hour") is (rental is not None)


@pytest.mark.parametrize("name", ["load-watts-nobody", "rent-", "card-", "watts", "storage", "storage-fast"])
def test_an_id_that_no_cost_names_is_still_refused(name: str) -> None:
    assert PRICES.can_quote(name) is name.startswith("storage")
