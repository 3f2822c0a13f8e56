"""How many users each model's replicas hold, and what every class of requests will see.

The sizing model answers for one kind of request. A mix is planned as requests of the mean prompt and the mean
answer, weighted by share; a class's own prompt then moves its time to the first token. Users are split evenly
over the models of a stack. While they wait, all classes count alike: priorities make `chat` faster than this,
never slower.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from tierup.catalog.engine import engine_facts
from tierup.plan.model import ClassCapacity, ModelCapacity, ModelPlan, Plan
from tierup.sizing import Range, Sizing, SizingInput, size
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import memory
from tierup.sizing.shape import spec_shape
from tierup.stack.sections import WorkloadClass

_ROUNDS = 14  # halvings of the requests in flight: to 1/16000 of the range
Classes = tuple[tuple[str, WorkloadClass], ...]
End = Callable[[Range], float]  # which end of a range a promise is held against


def with_capacity(plan: Plan) -> Plan:
    """The plan with the capacity of each of its models."""
    # By what the gateway knows a class is no part of its load (and cannot be a key of a cache).
    classes = tuple((name, item.model_copy(update={"match": None})) for name, item in plan.classes.items())
    users, queue = plan.users_per_model, plan.gateway.queue_length
    models = tuple(
        replace(model, capacity=_capacity(question(plan, model), classes, users, plan.think_seconds, queue))
        for model in plan.models
    )
    return replace(plan, models=models)


def question(plan: Plan, model: ModelPlan) -> SizingInput:
    """The sizing question of one model under the mean request of the plan's classes, without a load."""
    prompt, answer = mean_request(plan.classes.values())
    return SizingInput(
        model=spec_shape(model.spec_id, model.spec),
        gpu_id=plan.nodes.server.gpu,
        gpu=plan.nodes.gpu,
        precision=model.precision,
        tensor=model.tensor,
        pipeline=model.pipeline,
        replicas=model.replicas,
        prompt=prompt,
        answer=answer,
        context=model.context,
        gpu_memory_utilization=model.gpu_memory_utilization,
        max_num_seqs=model.slots,
        kv_dtype=model.kv_cache_dtype.value,
        engine=model.engine.value,
        # What is empty counts as current.
        engine_version=plan.images.engine_tag(model.engine)
        if engine_facts(model.engine).versions_differ
        else "",
    )


def mean_request(classes: Iterable[WorkloadClass]) -> tuple[int, int]:
    """Prompt and answer tokens of the mean request, weighted by share."""
    mix = list(classes)
    total = sum(item.share for item in mix)
    prompt = sum(item.share * item.prompt_tokens for item in mix) / total
    answer = sum(item.share * item.answer_tokens for item in mix) / total
    return max(1, round(prompt)), max(1, round(answer))


def held_tokens(classes: Iterable[WorkloadClass]) -> float:
    """KV cache of the mean running request: its prompt and half of its answer; long answers run longer."""
    mix = [(item, item.share * item.answer_tokens) for item in classes]
    return sum(run * (i.prompt_tokens + i.answer_tokens / 2) for i, run in mix) / sum(run for _, run in mix)


@functools.lru_cache(maxsize=64)
def _capacity(
    ask: SizingInput, classes: Classes, users: float, think: float, queue: int
) -> ModelCapacity | None:
    try:
        if not size(ask).fits:
            return None
    except ValueError:
        return None  # the model cannot be split so, which has a finding of its own
    load = Load(ask, classes)
    in_flight = load.in_flight(users, think)
    most, gives_way = load.most_in_flight(ask.slots * ask.replicas + queue)
    limit = load.at(max(most, 1.0))
    return ModelCapacity(
        memory=memory(ask, load_calibration().values),
        users=users,
        in_flight=in_flight,
        sizing=load.at(in_flight),
        at_once=size(replace(ask, concurrency=users, burst=True)),
        full=load.at(ask.slots * ask.replicas),
        prompt_tokens=ask.prompt,
        request_tokens=held_tokens(item for _, item in classes),
        classes=load.classes_at(in_flight),
        most_in_flight=most,
        most_users=most * users_each(limit, think),
        gives_way=gives_way,
        bottleneck=limit.bottleneck,
    )


@dataclass(frozen=True)
class Load:
    """One model under a mix of classes, at any number of requests in flight over all its replicas."""

    ask: SizingInput
    mix: Classes

    def at(self, in_flight: float) -> Sizing:
        return size(replace(self.ask, concurrency=in_flight))

    def in_flight(self, users: float, think: float) -> float:
        """Requests running or waiting when `users` pause so many seconds between answer and next request."""
        if think == 0:
            return users
        return largest(users, lambda n: n * users_each(self.at(n), think) <= users)

    def most_in_flight(self, bound: float, end: End = lambda figure: figure.p50) -> tuple[float, str]:
        """The most requests at which every class has what it is promised, and what breaks beyond them.

        `bound` is how many the gateway lets in. 0 where one request alone is too slow.
        """
        if not self._broken(bound, end):
            return bound, "the gateway's queue is full"
        if self._broken(1, end):
            return 0.0, self._broken(1, end)
        most = largest(bound, lambda n: n <= 1 or not self._broken(n, end))
        return most, self._broken(most + bound / 2**_ROUNDS, end)

    def _broken(self, in_flight: float, end: End) -> str:
        """The first promise that is not kept at so many requests; empty if all are."""
        for item in self.classes_at(in_flight):
            if end(item.ttft_ms) > item.ttft_target_ms:
                return f"time to the first token of {item.name}"
            if end(item.tpot_ms) > item.tpot_target_ms:
                return f"time per output token of {item.name}"
        return ""

    def classes_at(self, in_flight: float) -> tuple[ClassCapacity, ...]:
        """What every class sees: its own prompt on top of what all of them share."""
        sizing = self.at(in_flight)
        ttft, tpot = known(sizing.ttft_ms), known(sizing.tpot_ms)
        first = {name: scaled(ttft, ttft.p50 + own) for name, own in self._own_prompt_ms.items()}
        whole = {name: _sum(first[name], tpot, item.answer_tokens - 1) for name, item in self.mix}
        busy = sum(item.share * whole[name].p50 for name, item in self.mix)
        return tuple(
            ClassCapacity(
                name=name,
                in_flight=in_flight * item.share * whole[name].p50 / busy,
                ttft_ms=first[name],
                tpot_ms=tpot,
                e2e_ms=whole[name],
                ttft_target_ms=item.ttft_ms,
                tpot_target_ms=item.tpot_ms,
            )
            for name, item in self.mix
        )

    @functools.cached_property
    def _own_prompt_ms(self) -> dict[str, float]:
        """How much later than the mean request's a class's first token comes on an idle replica."""

        def alone(prompt: int) -> float:
            return known(size(replace(self.ask, prompt=prompt, concurrency=1)).ttft_ms).p50

        mean = alone(self.ask.prompt)
        return {name: alone(item.prompt_tokens) - mean for name, item in self.mix}


def users_each(sizing: Sizing, think: float) -> float:
    """Users for each request in flight, by the interactive response time law: 1 + think / response time."""
    return 1 + think * 1000 / known(sizing.e2e_ms).p50


def known(figure: Range | None) -> Range:
    """A figure that a closed load always has: its users wait, so no queue grows without end."""
    if figure is None:
        raise ValueError("the model does not fit")
    return figure


def scaled(figure: Range, p50: float) -> Range:
    """Another point with the same relative error."""
    return Range(p50=p50, low=p50 * figure.low / figure.p50, high=p50 * figure.high / figure.p50)


def _sum(first: Range, token: Range, tokens: int) -> Range:
    return Range(
        first.p50 + tokens * token.p50, first.low + tokens * token.low, first.high + tokens * token.high
    )


def largest(high: float, good: Callable[[float], bool]) -> float:
    """The largest number up to `high` that is good; all below it are."""
    if good(high):
        return high
    low = 0.0
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (middle, high) if good(middle) else (low, middle)
    return low
