"""Decides whether a run kept what the stack file promises: the measured 95th percentile against each promise."""

from collections.abc import Iterator, Mapping
from typing import Literal

from tierup.tuning.results import ENOUGH, MeasuredClass, Promise, Spread


def promises(classes: Mapping[str, MeasuredClass]) -> list[Promise]:
    """Every promise of every class; one of which nothing was measured is not kept."""
    return [found for name, item in classes.items() for found in _of(name, item)]


def kept(found: list[Promise], classes: Mapping[str, MeasuredClass]) -> bool:
    """All promises, and no request failed; refusals are the queue's verdict and stand apart."""
    return all(item.kept for item in found) and not any(item.failures for item in classes.values())


def _of(name: str, item: MeasuredClass) -> Iterator[Promise]:
    yield _judged(name, "ttft", item.promised_ttft_ms, item.ttft_ms, item.answered)
    if item.wanted_answer_tokens > 1:  # else there is no further token
        yield _judged(name, "tpot", item.promised_tpot_ms, item.tpot_ms, item.answered)


def _judged(
    name: str, figure: Literal["ttft", "tpot"], promised: float, found: Spread | None, answered: int
) -> Promise:
    return Promise(
        workload_class=name,
        figure=figure,
        promised_ms=promised,
        measured_p95_ms=found.p95 if found else None,
        enough=answered >= ENOUGH,
        kept=found is not None and found.p95 <= promised,
    )
