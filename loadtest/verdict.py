"""The verdict on a run: the measured 95th percentile against each promise of the stack file."""

from collections.abc import Iterator, Mapping
from typing import Literal

from tierup.tuning.results import MIN_ANSWERS, MeasuredClass, Promise, Spread


def promises(classes: Mapping[str, MeasuredClass]) -> list[Promise]:
    """Every promise of every class; a promise without measurements is not kept."""
    return [promise for name, item in classes.items() for promise in _promises_of(name, item)]


def kept(verdict: list[Promise], classes: Mapping[str, MeasuredClass]) -> bool:
    """Whether all promises are kept and no request failed; refusals do not count as failures."""
    return all(item.kept for item in verdict) and not any(item.failures for item in classes.values())


def _promises_of(name: str, item: MeasuredClass) -> Iterator[Promise]:
    yield _promise(name, "ttft", item.promised_ttft_ms, item.ttft_ms, item.answered)
    if item.wanted_answer_tokens > 1:  # otherwise there is no token after the first
        yield _promise(name, "tpot", item.promised_tpot_ms, item.tpot_ms, item.answered)


def _promise(
    name: str, figure: Literal["ttft", "tpot"], promised: float, times: Spread | None, answered: int
) -> Promise:
    return Promise(
        workload_class=name,
        figure=figure,
        promised_ms=promised,
        measured_p95_ms=times.p95 if times else None,
        enough=answered >= MIN_ANSWERS,
        kept=times is not None and times.p95 <= promised,
    )
