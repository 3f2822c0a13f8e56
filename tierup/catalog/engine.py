"""Which facts about the pinned engine the product counts on: its version and the bounds of its histograms."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from tierup.catalog import Amount, CatalogError, Sourced, Text, _Strict, parse_table


def _rising(bounds: tuple[float, ...]) -> tuple[float, ...]:
    if any(low >= high for low, high in pairwise(bounds)):
        raise ValueError("bounds of a histogram rise")
    return bounds


Bounds = Annotated[tuple[Amount, ...], Field(strict=False, min_length=1), AfterValidator(_rising)]


class _Engine(_Strict):
    version: Sourced[Text]
    buckets: dict[Text, Sourced[Bounds]]


@dataclass(frozen=True)
class EngineFacts:
    """`buckets`: the upper bounds of each latency histogram in seconds, by metric, rising, without +Inf."""

    version: str
    buckets: Mapping[str, tuple[float, ...]]


@functools.cache
def load_engine_facts() -> EngineFacts:
    """The facts beside this module."""
    return parse_engine_facts(Path(__file__).with_name("engine.yaml").read_text(encoding="utf-8"))


def parse_engine_facts(text: str) -> EngineFacts:
    """The facts from the file's text.

    Raises:
        CatalogError: naming entry and field of every problem.
    """
    problems: list[str] = []
    engines = parse_table("engine", _Engine, text, problems)
    if not problems and set(engines) != {"vllm"}:
        problems.append(f"engine.yaml: engine: the only engine is vllm (got {', '.join(engines) or 'none'})")
    if problems:
        raise CatalogError(problems)
    engine = engines["vllm"]
    return EngineFacts(engine.version.value, {name: row.value for name, row in engine.buckets.items()})
