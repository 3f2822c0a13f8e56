"""Plans of every committed stack file and of every variant in it, for tests that apply to all of them."""

from pathlib import Path

import pytest
from stack_variants import uncomment_variant, variants

from tierup.catalog import load_catalog
from tierup.cli import generate
from tierup.io.stack.read import parse_stack
from tierup.plan.model import Plan
from tierup.rules.preflight import make_plan, plan_with_secrets
from tierup.stack.parse import parse

STACKS = Path(__file__).parents[2] / "stacks"


def stack_text(stack: str, variant: str | None = None) -> str:
    """A committed stack file as it is, or with another of its variants in use."""
    text = (STACKS / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8")
    return text if variant is None else uncomment_variant(text, variant)


def plan_of(stack: str, variant: str | None = None) -> Plan:
    raw = parse_stack(stack_text(stack, variant), stack, f"Pulumi.{stack}.yaml")
    return plan_with_secrets(parse(raw), load_catalog())


def with_model_key(text: str, key: str) -> str:
    """A committed stack file whose model has one key more, such as `maxNumSeqs: 16`."""
    return text.replace("precision: bf16\n", f"precision: bf16\n      {key}\n", 1)


def standard_with_batch(slots: int) -> Plan:
    """The standard tier with a batch of its own, such as the guide's 16."""
    text = with_model_key(stack_text("standard"), f"maxNumSeqs: {slots}")
    return make_plan(parse(parse_stack(text, "standard", "Pulumi.standard.yaml")), load_catalog())


TIERS = sorted(generate.TIERS)
COMMITTED = sorted(
    path.name.split(".")[1] for path in STACKS.glob("Pulumi.*.yaml")
)  # also that for one machine
VARIANTS = [(tier, name) for tier in COMMITTED for name in variants(stack_text(tier))]
every_variant = pytest.mark.parametrize(
    "plan", [pytest.param(plan_of(*case), id="-".join(case)) for case in VARIANTS]
)
every_tier = pytest.mark.parametrize("plan", [pytest.param(plan_of(tier), id=tier) for tier in COMMITTED])
