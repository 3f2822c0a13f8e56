"""Decides what the sizing model says to each single figure of the guide, in the very same setting."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tierup.catalog import Catalog
from tierup.catalog.claims import Figure, GuideClaim
from tierup.compare.tiers import range_of
from tierup.compare.verdict import Verdict, at_least, at_most, exactly
from tierup.plan.capacity import End, known, largest, scaled
from tierup.sizing import Range, SizingInput, load_shapes, size
from tierup.sizing.memory import GB_PER_GIB

_WEIGHTS = 0.03  # weights in published start-up logs are met within this (docs/accuracy.md)


@dataclass(frozen=True, slots=True)
class Checked:
    """A claim and our figure in its unit."""

    id: str
    claim: GuideClaim
    computed: Range
    verdict: Verdict


def checked(name: str, claim: GuideClaim, catalog: Catalog) -> Checked:
    """Our figure for a claim, and whether the claim holds."""
    said, where = claim.claimed, claim.setting
    ask = SizingInput(
        model=load_shapes()[where.model],
        gpu_id=where.gpu,
        gpu=catalog.gpus[where.gpu],
        precision=where.precision,
        tensor=where.tensor,
        pipeline=where.pipeline,
        prompt=where.prompt,
        answer=where.answer,
        concurrency=where.in_flight,
    )
    computed = _COMPUTED[claim.figure](claim, ask)
    if claim.figure is Figure.WEIGHTS:
        written = range_of(said)
        verdict = exactly(written.low, written.high, computed)
    elif claim.figure is Figure.FIRST_TOKEN:
        verdict = at_most(said.value, computed)
    else:
        verdict = at_least(said.value, computed)
    return Checked(name, claim, computed, verdict)


def _weights(claim: GuideClaim, ask: SizingInput) -> Range:
    gigabytes = size(ask).weights_gib_per_gpu * GB_PER_GIB
    return Range(gigabytes, gigabytes * (1 - _WEIGHTS), gigabytes * (1 + _WEIGHTS))


def _in_flight(claim: GuideClaim, ask: SizingInput) -> Range:
    """The most requests at once whose first token comes in time, for each end of its range."""
    latency = claim.setting.latency_ms
    if latency is None:
        raise ValueError("the catalogue refuses this figure without a latency")

    def most(end: End) -> float:
        return largest(ask.slots, lambda n: end(known(size(replace(ask, concurrency=n)).ttft_ms)) <= latency)

    return Range(most(lambda ttft: ttft.p50), most(lambda ttft: ttft.high), most(lambda ttft: ttft.low))


def _speedup(claim: GuideClaim, ask: SizingInput) -> Range:
    """All cards against one: both rates err together, so the ratio has the error of one of them."""
    alone = replace(ask, tensor=1, pipeline=1, concurrency=claim.setting.base_in_flight)
    rate = known(size(ask).output_tok_s)
    return scaled(rate, rate.p50 / known(size(alone).output_tok_s).p50)


_COMPUTED: dict[Figure, Callable[[GuideClaim, SizingInput], Range]] = {
    Figure.WEIGHTS: _weights,
    Figure.OUTPUT_RATE: lambda _, ask: known(size(ask).output_tok_s),
    Figure.IN_FLIGHT: _in_flight,
    Figure.SPEEDUP: _speedup,
    Figure.FIRST_TOKEN: lambda _, ask: known(size(ask).ttft_ms),
}
