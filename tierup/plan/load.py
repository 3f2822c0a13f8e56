"""The load of one model's replicas under a mix of classes: how many requests run or wait, and how late they are.

The sizing model predicts one kind of request. A mix of classes is therefore sized as requests of the mean prompt and
the mean answer, weighted by share; the time to the first token of a class is then corrected for its own prompt. The
queue is treated as if all classes had one priority: with priorities `chat` is faster than predicted here, never slower.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

from tierup.plan.model import ClassCapacity
from tierup.sizing import Range, Sizing, SizingInput, size
from tierup.stack.sections import WorkloadClass

_ROUNDS = 14  # steps of the bisection: the result is exact to 1/16000 of the range
Classes = tuple[tuple[str, WorkloadClass], ...]
RangeEnd = Callable[[Range], float]  # the value of a range that is compared with a promised time


def middle(figure: Range) -> float:
    """The expected value."""
    return figure.p50


def slow_end(figure: Range) -> float:
    """The slow end of the range."""
    return figure.high


def mean_request(classes: Iterable[WorkloadClass]) -> tuple[int, int]:
    """Prompt and answer tokens of the mean request, weighted by share; at least 1 each."""
    mix = list(classes)
    total = sum(item.share for item in mix)
    prompt = sum(item.share * item.prompt_tokens for item in mix) / total
    answer = sum(item.share * item.answer_tokens for item in mix) / total
    return max(1, round(prompt)), max(1, round(answer))


def mean_shared_prefix(classes: Iterable[WorkloadClass]) -> float:
    """The part (0..1) of all prompt tokens that is cached, by share and prompt length: long prompts count more."""
    mix = [(item, item.share * item.prompt_tokens) for item in classes]
    return sum(tokens * item.cached_part for item, tokens in mix) / sum(tokens for _, tokens in mix)


def mean_running_tokens(classes: Iterable[WorkloadClass]) -> float:
    """Tokens in the KV cache of the mean running request: its prompt and half of its answer.

    Classes are weighted by share and answer length, because requests with long answers run longer.
    """
    mix = [(item, item.share * item.answer_tokens) for item in classes]
    return sum(run * (i.prompt_tokens + i.answer_tokens / 2) for i, run in mix) / sum(run for _, run in mix)


@dataclass(frozen=True)
class Load:
    """The load of one model under a mix of classes; `in_flight` counts the requests over all its replicas."""

    inputs: SizingInput
    mix: Classes
    QUEUE_FULL: ClassVar[str] = "the gateway's queue is full"

    def at(self, in_flight: float) -> Sizing:
        return size(replace(self.inputs, concurrency=in_flight))

    def in_flight(self, users: float, think: float) -> float:
        """Requests that run or wait when each user pauses `think` seconds between an answer and the next request."""
        if think == 0 or users == 0:
            return users
        return largest(users, lambda n: n * users_per_request(self.at(n), think) <= users)

    def most_in_flight(self, bound: float, end: RangeEnd = middle) -> tuple[float, str]:
        """The most requests at which every class meets its targets, and what limits them.

        `bound` is how many requests the gateway admits. The result is 0 where a single request is already too slow.
        """
        if not self.missed_target(bound, end):
            return bound, self.QUEUE_FULL
        if self.missed_target(1, end):
            return 0.0, self.missed_target(1, end)
        most = largest(bound, lambda n: n <= 1 or not self.missed_target(n, end))
        return most, self.missed_target(most + bound / 2**_ROUNDS, end)

    def missed_target(self, in_flight: float, end: RangeEnd = middle) -> str:
        """The first target that is missed at this many requests; empty if none is."""
        for item in self.classes_at(in_flight):
            if end(item.ttft_ms) > item.ttft_target_ms:
                return f"time to the first token of {item.name}"
            if end(item.tpot_ms) > item.tpot_target_ms:
                return f"time per output token of {item.name}"
        return ""

    def classes_at(self, in_flight: float) -> tuple[ClassCapacity, ...]:
        """The latency of every class: that of the mean request, corrected for the prompt of the class."""
        sizing = self.at(in_flight)
        ttft, tpot = require(sizing.ttft_ms), require(sizing.tpot_ms)
        ttft_by_class = {name: scaled(ttft, ttft.p50 + own) for name, own in self._prompt_offset_ms.items()}
        e2e = {
            name: _end_to_end(ttft_by_class[name], tpot, item.answer_tokens - 1) for name, item in self.mix
        }
        busy = sum(item.share * e2e[name].p50 for name, item in self.mix)
        return tuple(
            ClassCapacity(
                name=name,
                in_flight=in_flight * item.share * e2e[name].p50 / busy,
                ttft_ms=ttft_by_class[name],
                tpot_ms=tpot,
                e2e_ms=e2e[name],
                ttft_target_ms=item.ttft_ms,
                tpot_target_ms=item.tpot_ms,
                shared_prefix=self._cached(item),
            )
            for name, item in self.mix
        )

    @functools.cached_property
    def _prompt_offset_ms(self) -> dict[str, float]:
        """By class, how much later its first token is than for the mean request, on an idle replica."""

        def alone(prompt: int, cached: float) -> float:
            asked = replace(self.inputs, prompt=prompt, prefix_hit=cached, concurrency=1)
            return require(size(asked).ttft_ms).p50

        mean = alone(self.inputs.prompt, self.inputs.prefix_hit)
        return {name: alone(item.prompt_tokens, self._cached(item)) - mean for name, item in self.mix}

    def _cached(self, item: WorkloadClass) -> float:
        """The cached part (0..1) of a class's prompt; without prefix caching the mean request has none either."""
        return item.cached_part if self.inputs.prefix_hit else 0.0


def users_per_request(sizing: Sizing, think: float) -> float:
    """Users per request in flight, by the interactive response time law: 1 + think / response time."""
    return 1 + think * 1000 / require(sizing.e2e_ms).p50


def fits(inputs: SizingInput) -> bool:
    """Whether the model fits its GPUs and can be split over them like this."""
    try:
        return size(inputs).fits
    except ValueError:
        return False  # `rules.model` reports it


def require(figure: Range | None) -> Range:
    """The figure, which every model that fits has: with a fixed number of users no queue grows without end.

    Raises:
        ValueError: if there is none, because the model does not fit.
    """
    if figure is None:
        raise ValueError("the model does not fit")
    return figure


def scaled(figure: Range, p50: float) -> Range:
    """A range around another median, with the same relative width."""
    return Range(p50=p50, low=p50 * figure.low / figure.p50, high=p50 * figure.high / figure.p50)


def _end_to_end(first: Range, token: Range, tokens: int) -> Range:
    return Range(
        first.p50 + tokens * token.p50, first.low + tokens * token.low, first.high + tokens * token.high
    )


def largest(high: float, condition: Callable[[float], bool]) -> float:
    """The largest number up to `high` that meets `condition`; every smaller number must meet it too."""
    if condition(high):
        return high
    low = 0.0
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if condition(middle) else (low, middle)
    return low
