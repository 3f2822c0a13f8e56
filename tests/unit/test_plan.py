"""Defaults of a plan hold wherever else they are asked for."""

import dataclasses
import inspect
from typing import Any

import pytest
from small_stack import NODES, small_plan, small_stack

from tierup.catalog import Precision, load_catalog
from tierup.cli.size import size
from tierup.rules.preflight import examine
from tierup.sizing import SizingInput
from tierup.stack.parse import parse


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
def test_as_many_names_are_asked_for_as_the_plan_has_servers(
    count: int | None, standby: dict[str, Any] | None
) -> None:
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
    option = inspect.signature(size).parameters["precision"]
    assert model.precision is question.default is option.default is Precision.BF16
