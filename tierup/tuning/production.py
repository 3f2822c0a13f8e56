"""What a running model measured, beside its plan: from the engine's own series in Prometheus.

The engine knows no classes of requests, so its figures are of all requests of the model. Percentiles are of histograms:
they lie between two bounds of the buckets.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tierup.catalog.engine import engine_facts
from tierup.plan.model import ModelPlan, Plan
from tierup.sizing.types import Range
from tierup.tuning.results import MIN_ANSWERS

DIFFERS = 0.2  # of the planned figure: a workload that is closer is as it was planned
_CACHE_DIFFERS = 0.1  # of the prompt: the part that is found in the prefix cache varies more
_FULL = 0.95  # of the KV cache: beyond it requests are thrown out and computed again
_IDLE = 0.5  # of the planned requests at once: the service could have fewer replicas, or serve more users

Answers = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what the plan has (a value, maybe with a range) and what was measured; None: not known."""

    name: str
    unit: str
    planned: float | None
    measured: float | None
    low: float | None = None
    high: float | None = None
    about: str = ""


@dataclass(frozen=True, slots=True)
class Production:
    """One model: its figures, the changes that follow from them, and the number of requests they rest on."""

    model: str
    requests: int
    figures: tuple[Figure, ...]
    changes: tuple[str, ...]

    @property
    def enough(self) -> bool:
        """Whether so many requests were answered that a 95th percentile says something."""
        return self.requests >= MIN_ANSWERS


def measurable(model: ModelPlan) -> bool:
    """Whether the model's engine has the series that are asked for."""
    return engine_facts(model.engine).autoscaling_problem is None


def questions(plan: Plan, model: ModelPlan, since: str) -> dict[str, str]:
    """A query for each key of the answers; `since` is a duration of Prometheus, such as 7d."""
    ours = f'{{namespace="{plan.namespace}",model="{model.slug}"}}'

    def total(counter: str) -> str:
        return f"sum(increase({counter}{ours}[{since}]))"

    def mean(histogram: str) -> str:
        return f"{total(f'{histogram}_sum')} / ({total(f'{histogram}_count')} > 0)"

    def percentile(part: float, histogram: str) -> str:
        return f"histogram_quantile({part:g}, sum by (le) (increase({histogram}_bucket{ours}[{since}]))) >= 0"

    histograms = engine_facts(model.engine).metrics.histograms
    waiting = f"sum(vllm:num_requests_running{ours}) + sum(vllm:num_requests_waiting{ours})"
    return {
        "requests": total("vllm:request_success_total"),
        # A mean, as the plan's figure is; over less than an hour the busiest one would be chance.
        "at_once": f"max_over_time(avg_over_time(({waiting})[1h:1m])[{since}:5m])",
        "prompt": mean("vllm:request_prompt_tokens"),
        "answer": mean("vllm:request_generation_tokens"),
        "cached": f"{total('vllm:prefix_cache_hits_total')} / ({total('vllm:prefix_cache_queries_total')} > 0)",
        "first_p50": percentile(0.5, histograms["ttftMs"]),
        "first_p95": percentile(0.95, histograms["ttftMs"]),
        "token_p50": percentile(0.5, histograms["tpotMs"]),
        "token_p95": percentile(0.95, histograms["tpotMs"]),
        "kv": f"max(max_over_time(vllm:kv_cache_usage_perc{ours}[{since}]))",
        "preemptions": total("vllm:num_preemptions_total"),
        "refused": total("vllm:admission_rejections_total"),
    }


def production(plan: Plan, model: ModelPlan, answers: Answers) -> Production:
    """The figures and changes; `answers` are those of `questions`, None where Prometheus has no series."""
    requests = answers["requests"] or 0
    if requests < MIN_ANSWERS:
        return Production(model.name, int(requests), (), ())
    figures = {item.name: item for item in _figures(plan, model, answers)}
    return Production(
        model.name, int(requests), tuple(figures.values()), tuple(_changes(plan, model, figures))
    )


def _figures(plan: Plan, model: ModelPlan, answers: Answers) -> Iterator[Figure]:
    classes = list(plan.classes_of(model).values())
    shares = sum(item.share for item in classes)
    capacity = model.capacity

    def mean(values: list[float]) -> float:
        return sum(value * item.share for value, item in zip(values, classes, strict=True)) / shares

    prompt = mean([item.prompt_tokens for item in classes])
    cached = mean([item.prompt_tokens * item.cached_part for item in classes]) / prompt
    yield Figure("prompt", "tokens", prompt, answers["prompt"], about="mean of all requests")
    answer = mean([item.answer_tokens for item in classes])
    yield Figure("answer", "tokens", answer, answers["answer"], about="mean of all requests")
    yield Figure("cached part of the prompt", "", cached, answers["cached"], about="from the prefix cache")
    at_once = None if capacity is None else capacity.in_flight
    yield Figure("requests at once", "", at_once, answers["at_once"], about="mean of the busiest hour")
    first, token = (None, None) if capacity is None else (capacity.sizing.ttft_ms, capacity.sizing.tpot_ms)
    for key, name, predicted, promised in (
        ("first", "first token", first, [item.ttft_ms for item in classes]),
        ("token", "further tokens", token, [item.tpot_ms for item in classes]),
    ):
        yield _predicted(f"{name}, half of the requests", predicted, answers[f"{key}_p50"])
        most = max(promised) / 1000
        about = "the slowest promise"
        yield Figure(f"{name}, 95 % of the requests", "s", most, answers[f"{key}_p95"], about=about)
    yield Figure(
        "KV cache, at its fullest", "", _FULL, answers["kv"], about="beyond it requests are thrown out"
    )
    yield Figure("thrown out and computed again", "requests", 0, answers["preemptions"])
    yield Figure("refused by the engines", "requests", 0, answers["refused"])


def _predicted(name: str, predicted: Range | None, measured: float | None) -> Figure:
    if predicted is None:
        return Figure(name, "s", None, measured)
    p50, low, high = (value / 1000 for value in (predicted.p50, predicted.low, predicted.high))
    return Figure(name, "s", p50, measured, low, high, "predicted for the planned load")


def _changes(plan: Plan, model: ModelPlan, figures: Mapping[str, Figure]) -> Iterator[str]:
    """What to write into the stack file, so that the plan is of the load that there is."""
    for name, key in (("prompt", "promptTokens"), ("answer", "answerTokens")):
        figure = figures[name]
        if figure.measured and _differs(figure, DIFFERS * (figure.planned or 0)):
            yield from _of_classes(plan, model, key, figure, round(figure.measured))
    cached = figures["cached part of the prompt"]
    if cached.measured is not None and _differs(cached, _CACHE_DIFFERS):
        yield from _of_classes(plan, model, "sharedPrefix", cached, round(cached.measured, 2))
    yield from _load(plan, model, figures["requests at once"])


def _differs(figure: Figure, by: float) -> bool:
    return abs((figure.measured or 0) - (figure.planned or 0)) > by


def _of_classes(plan: Plan, model: ModelPlan, key: str, figure: Figure, new: float) -> Iterator[str]:
    classes = plan.classes_of(model)
    planned = figure.planned or 0
    if len(classes) == 1:
        yield f"workload.classes.{next(iter(classes))}.{key}: {planned:.4g} -> {new:g}"
        return
    names = ", ".join(classes)
    yield (
        f"workload.classes.*.{key}: their mean is {planned:.4g}, measured {new:g} - correct those of {names}; "
        "the gateway's log has the class of each request, and with gateway.meterTokens its tokens"
    )


def _load(plan: Plan, model: ModelPlan, at_once: Figure) -> Iterator[str]:
    capacity, measured = model.capacity, at_once.measured
    if capacity is None or not capacity.in_flight or measured is None:
        return
    if measured > capacity.most_in_flight:
        yield (
            f"{model.name}: {measured:.0f} requests at once are more than the {capacity.most_in_flight:.0f} with which "
            f"every promise is kept - raise {capacity.remedy}"
        )
    part = measured / capacity.in_flight
    if part > 1 + DIFFERS:
        users = math.ceil(plan.users * part)
        yield f"workload.users: {plan.users} -> {users}, as many as make {measured:.0f} requests at once"
    elif part < _IDLE:
        yield (
            f"{model.name}: the planned users would make {capacity.in_flight:.0f} requests at once, measured "
            f"{measured:.1f} - fewer replicas would do, or workload.users is too high"
        )
