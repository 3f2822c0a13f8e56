"""Computes each single figure of the hardware guide with the sizing model, in the same setting."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tierup.catalog import Catalog
from tierup.catalog.claims import Figure, GuideClaim
from tierup.compare.tiers import range_of
from tierup.compare.verdict import Verdict, at_least, at_most, exactly
from tierup.plan.load import RangeEnd, largest, require, scaled
from tierup.sizing import Range, SizingInput, load_shapes, size
from tierup.sizing.memory import GB_PER_GIB

_WEIGHTS = 0.03  # relative error of the weights against published start-up logs (docs/accuracy.md)


@dataclass(frozen=True, slots=True)
class CheckedClaim:
    """A claim, and the computed figure in its unit."""

    id: str
    claim: GuideClaim
    computed: Range
    verdict: Verdict


def check_claim(name: str, claim: GuideClaim, catalog: Catalog) -> CheckedClaim:
    """Compute the figure of a claim, and check whether the claim holds."""
    claimed, setting = claim.claimed, claim.setting
    inputs = SizingInput(
        model=load_shapes()[setting.model],
        gpu_id=setting.gpu,
        gpu=catalog.gpus[setting.gpu],
        precision=setting.precision,
        tensor=setting.tensor,
        pipeline=setting.pipeline,
        prompt=setting.prompt,
        answer=setting.answer,
        concurrency=setting.in_flight,
    )
    computed = _COMPUTED[claim.figure](claim, inputs)
    if claim.figure is Figure.WEIGHTS:
        bounds = range_of(claimed)
        verdict = exactly(bounds.low, bounds.high, computed)
    elif claim.figure is Figure.FIRST_TOKEN:
        verdict = at_most(claimed.value, computed)
    else:
        verdict = at_least(claimed.value, computed)
    return CheckedClaim(name, claim, computed, verdict)


def _weights(_claim: GuideClaim, inputs: SizingInput) -> Range:
    gigabytes = size(inputs).weights_gib_per_gpu * GB_PER_GIB
    return Range(gigabytes, gigabytes * (1 - _WEIGHTS), gigabytes * (1 + _WEIGHTS))


def _in_flight(claim: GuideClaim, inputs: SizingInput) -> Range:
    """The most requests at once with the first token in time, for the middle and both ends of its range."""
    latency = claim.setting.latency_ms
    if latency is None:
        raise ValueError("this figure needs a latency in the catalogue")

    def most(end: RangeEnd) -> float:
        return largest(
            inputs.slots, lambda n: end(require(size(replace(inputs, concurrency=n)).ttft_ms)) <= latency
        )

    return Range(most(lambda ttft: ttft.p50), most(lambda ttft: ttft.high), most(lambda ttft: ttft.low))


def _speedup(claim: GuideClaim, inputs: SizingInput) -> Range:
    """The rate of all cards over that of one. Both have the same error, so the ratio has the error of one of them."""
    alone = replace(inputs, tensor=1, pipeline=1, concurrency=claim.setting.base_in_flight)
    rate = require(size(inputs).output_tok_s)
    return scaled(rate, rate.p50 / require(size(alone).output_tok_s).p50)


_COMPUTED: dict[Figure, Callable[[GuideClaim, SizingInput], Range]] = {
    Figure.WEIGHTS: _weights,
    Figure.OUTPUT_RATE: lambda _, inputs: require(size(inputs).output_tok_s),
    Figure.IN_FLIGHT: _in_flight,
    Figure.SPEEDUP: _speedup,
    Figure.FIRST_TOKEN: lambda _, inputs: require(size(inputs).ttft_ms),
}
