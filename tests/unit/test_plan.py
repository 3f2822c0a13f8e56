"""A plan is complete: its readers need no stack file, no second table beside it, and one way to a model."""

import dataclasses
from typing import Any

import pytest
from small_stack import MODEL, NODES, small_plan, small_stack
from tier_plans import every_variant

from tierup.catalog import Precision, load_catalog
from tierup.cli.size import precision_asked
from tierup.plan.model import Plan
from tierup.plan.resolve import resolve
from tierup.rules.preflight import examine
from tierup.sizing import SizingInput, load_shapes
from tierup.stack.parse import SECTIONS, TierConfig, parse

TWO_MODELS = [MODEL | {"name": "quality"}, MODEL | {"name": "speed", "precision": "awq"}]


def parts(value: Any) -> list[object]:
    """A plan and all that is in it."""
    inner: list[Any] = []
    if dataclasses.is_dataclass(value):
        inner = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif isinstance(value, tuple):
        inner = list(value)
    elif isinstance(value, dict):
        inner = list(value.values())
    return [value, *(part for item in inner for part in parts(item))]


def unchecked(**sections: Any) -> Plan:
    """The plan of a small stack, whatever is wrong with it."""
    return resolve(parse(small_stack(**sections)).config(), load_catalog())


@every_variant
def test_a_plan_holds_no_section_of_the_stack_file(plan: Plan) -> None:
    """A reader of a section would miss the defaults."""
    sections = tuple(kind for name, kind in SECTIONS.items() if name != "accept")  # which have no defaults
    found = parts(plan)
    assert plan.models[0] in found
    assert [part for part in found if isinstance(part, (TierConfig, *sections))] == []


def test_a_model_is_looked_up_by_the_name_that_clients_ask_for() -> None:
    plan = small_plan(models=TWO_MODELS)
    assert plan.model_names == ("quality", "speed")
    assert [plan.model(name) for name in plan.model_names] == list(plan.models)
    assert plan.model("qwen2.5-7b") is None


def test_a_model_that_fits_no_gpu_has_no_capacity_and_the_others_keep_theirs() -> None:
    too_large = MODEL | {"name": "large", "gpuMemoryUtilization": 0.1}
    plan = unchecked(models=[MODEL, too_large])
    assert [model.capacity is not None for model in plan.models] == [True, False]


def test_a_change_of_users_changes_no_model() -> None:
    """`tierup dev` asks for a new start when the models change, and follows every other edit."""
    few, many = (
        small_plan(workload={"users": users}, models=[MODEL | {"maxNumSeqs": 16}]) for users in (4, 8)
    )
    assert few.models == many.models
    assert few.models[0].capacity != many.models[0].capacity
    assert few.models != small_plan(models=[MODEL | {"maxNumSeqs": 24}]).models


@pytest.mark.parametrize("count", [None, 2])
@pytest.mark.parametrize(
    "standby",
    [
        None,
        {},
        {"count": 0},
        {"mode": "none"},
        {"mode": "cold"},
        {"mode": "warm"},
        {"mode": "cold", "count": 2},
    ],
)
def test_the_plan_needs_a_name_for_each_server(count: int | None, standby: dict[str, Any] | None) -> None:
    nodes = {"server": NODES["server"], "count": count, "standby": standby}
    planned = small_plan(nodes=nodes).nodes
    names = [f"rack-{number}" for number in range(len(planned.in_service) + len(planned.standby))]
    named = small_plan(nodes=nodes | {"names": names}).nodes
    assert [*named.in_service, *named.standby] == names
    assert (len(named.in_service), len(named.standby)) == (len(planned.in_service), len(planned.standby))
    found = examine(
        parse(small_stack(nodes=nodes | {"names": [*names, "one-more"]})), load_catalog()
    ).findings
    assert "NODE_NAMES" in {finding.code.name for finding in found}


def test_plan_and_size_assume_the_same_precision() -> None:
    (model,) = small_plan().models
    question = next(field for field in dataclasses.fields(SizingInput) if field.name == "precision")
    asked = precision_asked(load_shapes()["qwen2.5-7b"], None)
    assert model.precision is question.default is asked is Precision.BF16
