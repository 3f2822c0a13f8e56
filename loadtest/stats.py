"""Statistics of a run by class: distributions, rates and means over the measured time.

A request counts if it was sent in the measured time, even if its answer ended later. Requests of the warm-up do not
count. Rates count what happened in the measured time: answers that ended and tokens that arrived.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtest.samples import Outcome, Sample
from tierup.stack.sections import WorkloadClass
from tierup.tuning.results import MeasuredClass, Refused, Slice, Spread

_SLICES = 60  # the most parts of a timeline that a plot can show
_STEPS = range(0, 101, 5)  # percentiles of the distribution


@dataclass(frozen=True, slots=True)
class Window:
    """The measured time, in seconds since the start of the run."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def holds(self, moment: float) -> bool:
        return self.begin <= moment < self.end

    def overlap(self, begin: float, end: float) -> float:
        """Seconds of an interval that are in the window."""
        return max(0.0, min(end, self.end) - max(begin, self.begin))

    def slices(self) -> list["Window"]:
        """Equal parts of at least a second."""
        count = max(1, min(_SLICES, int(self.seconds)))
        each = self.seconds / count
        return [Window(self.begin + n * each, self.begin + (n + 1) * each) for n in range(count)]


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile of sorted values by nearest rank, which is always one of the values."""
    return values[max(0, math.ceil(len(values) * percent / 100) - 1)]


def spread(seconds: Iterable[float]) -> Spread | None:
    """The distribution in ms of times in seconds; None without values."""
    values = sorted(value * 1000 for value in seconds)
    if not values:
        return None
    p50, p90, p95, p99 = (_ms(percentile(values, percent)) for percent in (50, 90, 95, 99))
    mean = _ms(sum(values) / len(values))
    return Spread(p50=p50, p90=p90, p95=p95, p99=p99, mean=mean, max=_ms(values[-1]))


def measure(item: WorkloadClass, samples: Sequence[Sample], window: Window) -> MeasuredClass:
    """The figures of one class. `samples` are all its requests, including those of the warm-up."""
    sent = [sample for sample in samples if window.holds(sample.sent)]
    answered = [sample for sample in sent if sample.outcome is Outcome.ANSWERED]
    refused = [sample for sample in sent if sample.outcome is Outcome.REFUSED]
    ttfts = sorted(sample.ttft * 1000 for sample in answered)
    return MeasuredClass(
        wanted_prompt_tokens=item.prompt_tokens,
        wanted_answer_tokens=item.answer_tokens,
        share=item.share,
        priority=item.priority,
        promised_ttft_ms=item.ttft_ms,
        promised_tpot_ms=item.tpot_ms,
        sent=len(sent),
        answered=len(answered),
        refused=Refused(
            count=len(refused),
            without_retry_after=sum(sample.retry_after is None for sample in refused),
        ),
        failed=dict(Counter(sample.reason for sample in sent if sample.outcome is Outcome.FAILED)),
        cut=sum(sample.outcome is Outcome.CUT for sample in sent),
        prompt_tokens=_mean([sample.prompt_tokens for sample in answered]),
        answer_tokens=_mean([sample.answer_tokens for sample in answered]),
        ttft_ms=spread(sample.ttft for sample in answered),
        itl_ms=spread(gap for sample in answered for gap in sample.gaps),
        tpot_ms=spread(sample.tpot for sample in answered if sample.tpot is not None),
        e2e_ms=spread(sample.seconds for sample in answered),
        in_flight=round(
            sum(window.overlap(sample.sent, sample.end) for sample in samples) / window.seconds, 3
        ),
        requests_per_second=_rate(
            sum(s.outcome is Outcome.ANSWERED and window.holds(s.end) for s in samples), window
        ),
        in_tokens_per_second=_rate(
            sum(s.prompt_tokens for s in samples if s.chunks and window.holds(s.sent + s.ttft)), window
        ),
        out_tokens_per_second=_rate(_tokens(samples, window), window),
        ttft_steps_ms=[_ms(percentile(ttfts, step)) for step in _STEPS] if ttfts else [],
        timeline=[_slice(samples, part, window) for part in window.slices()],
    )


def _slice(samples: Sequence[Sample], part: Window, window: Window) -> Slice:
    sent = [sample for sample in samples if part.holds(sample.sent)]
    count = Counter(sample.outcome for sample in sent)
    first = spread(sample.ttft for sample in sent if sample.outcome is Outcome.ANSWERED)
    return Slice(
        at=round(part.begin - window.begin, 3),
        answered=count[Outcome.ANSWERED],
        refused=count[Outcome.REFUSED],
        failed=count[Outcome.FAILED],
        ttft_p50_ms=first.p50 if first else None,
        ttft_p95_ms=first.p95 if first else None,
        out_tokens_per_second=_rate(_tokens(samples, part), part),
    )


def _tokens(samples: Iterable[Sample], window: Window) -> float:
    """Output tokens that arrived in the window; each chunk counts as an equal share of its answer's tokens."""
    return sum(
        sample.answer_tokens
        / len(sample.chunks)
        * sum(window.holds(sample.sent + moment) for moment in sample.chunks)
        for sample in samples
        if sample.chunks
    )


def _rate(amount: float, window: Window) -> float:
    return round(amount / window.seconds, 3)


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 2) if values else None


def _ms(value: float) -> float:
    return round(value, 2)
