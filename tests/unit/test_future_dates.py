"""A date that has not begun is refused wherever a stack file has one, and today is nobody's future."""

import datetime
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from small_stack import MODEL, NODES, WORKLOAD

from tierup.findings.model import Code
from tierup.io.pulumi.config import read_engine
from tierup.io.stack.read import latest_day, parse_stack
from tierup.stack.parse import SECTIONS, RawStack, parse

DAY = datetime.date(2026, 11, 25)
QUOTE = {"value": 0.11, "source": "contract 17"}
RATE = {"code": "EUR", "perUsd": 0.86, "source": "our bank"}


def section(path: str, day: str) -> dict[str, Any]:
    """A stack in which this date stands at the path."""
    dates: dict[str, dict[str, Any]] = {
        "cost.quotes.electricity.asOf": {"cost": {"quotes": {"electricity": QUOTE | {"asOf": day}}}},
        "cost.currency.asOf": {"cost": {"currency": RATE | {"asOf": day}}},
        "nodes.purchased": {"nodes": NODES | {"purchased": day}},
    }
    return {"workload": WORKLOAD, "nodes": NODES, "models": [MODEL]} | dates[path]


PATHS = ("cost.quotes.electricity.asOf", "cost.currency.asOf", "nodes.purchased")


def refused(raw: RawStack) -> list[str]:
    return [item.path for item in parse(raw).findings if item.code is Code.OUT_OF_RANGE]


@pytest.mark.parametrize("path", PATHS)
def test_a_future_date_is_refused_at_its_path(path: str) -> None:
    for days, wrong in ((-400, False), (0, False), (1, True), (365, True)):
        text = (DAY + datetime.timedelta(days=days)).isoformat()
        assert refused(RawStack("s", section(path, text), day=DAY)) == ([path] if wrong else [])


def dates_in(annotation: Any, seen: set[type]) -> int:
    """How many fields of a section hold a date, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in seen:
            return 0
        seen.add(annotation)
        return sum(dates_in(field.annotation, seen) for field in annotation.model_fields.values())
    if annotation is datetime.date:
        return 1
    return sum(dates_in(part, seen) for part in get_args(annotation))


def test_these_are_all_the_dates_that_a_stack_file_has() -> None:
    assert sum(dates_in(kind, set()) for kind in SECTIONS.values()) == len(PATHS)


def test_files_and_pulumis_configuration_are_held_to_the_latest_day_on_earth() -> None:
    now = datetime.datetime.now(datetime.UTC)
    assert now.date() <= latest_day() <= (now + datetime.timedelta(days=1)).date()
    far = (latest_day() + datetime.timedelta(days=300)).isoformat()
    text = f"config:\n  tierup:nodes: {{server: x, purchased: {far}}}\n"
    assert refused(parse_stack(text, "s", "Pulumi.s.yaml")) == ["nodes.purchased"]
    engine = {"tierup:nodes": f'{{"server": "x", "purchased": "{far}"}}'}
    assert refused(read_engine("s", engine, ())) == ["nodes.purchased"]


def test_a_stack_that_is_not_read_on_a_day_is_not_held_to_one() -> None:
    assert refused(RawStack("s", section("nodes.purchased", "2126-01-01"))) == []
