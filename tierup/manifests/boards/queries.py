"""Expressions of PromQL that several boards share."""

import functools
from collections.abc import Callable

from tierup.catalog.engine import Promise
from tierup.manifests.boards.panels import Query
from tierup.manifests.boards.scope import NOTHING, Scope
from tierup.plan.model import ModelPlan

_INTERVAL = "[$__rate_interval]"


def rate(counter: str, labels: str) -> str:
    """Events per second of a counter."""
    return f"rate({counter}{{{labels}}}{_INTERVAL})" if labels else f"rate({counter}{_INTERVAL})"


def quantile(share: float, histogram: str, labels: str, by: str = "model") -> str:
    """A quantile over all replicas; without requests there is none, instead of NaN."""
    buckets = f"sum by ({by}, le) ({rate(f'{histogram}_bucket', labels)})"
    return f"histogram_quantile({share:g}, {buckets}) >= 0"


def mean(histogram: str, labels: str, by: str = "model") -> str:
    """The mean of what a histogram counts."""
    total, count = (f"sum by ({by}) ({rate(f'{histogram}_{part}', labels)})" for part in ("sum", "count"))
    return f"{total} / ({count} > 0)"


def answering(scope: Scope, labels: str) -> str:
    """Replicas of each model that answer."""
    return f"sum by (model) ({scope.up(labels)})"


def in_flight(labels: str) -> str:
    """Requests of each model that run or wait, over all its replicas."""
    return f"sum by (model) (tierup_requests_in_flight{{{labels}}})"


def most_in_flight(model: ModelPlan) -> float | None:
    """The most requests of a model at once with which every promise is kept; None if nothing is known of it."""
    return None if model.capacity is None else model.capacity.most_in_flight


def promised(scope: Scope, promise: Promise, chosen: bool = True) -> list[Query]:
    """A line for what each class of requests is promised, in seconds; `chosen`: of the chosen models alone."""
    plan = scope.plan
    names = dict.fromkeys(name for model in plan.models for name in plan.classes_of(model))

    def seconds(model: ModelPlan, name: str) -> float | None:
        promises = plan.classes_of(model).get(name)
        if promises is None:
            return None
        return (promises.ttft_ms if promise == "ttftMs" else promises.tpot_ms) / 1000

    lines = []
    for name in names:
        value = functools.partial(seconds, name=name)
        expr = scope.planned(value) if chosen else scope.constants(value) or NOTHING
        lines.append(Query(expr, f"{{{{model}}}} {name} promised", plan=True))
    return lines


def part_of(measured: str, scope: Scope, planned: Callable[[ModelPlan], float | None]) -> str:
    """What is measured of each model, as a part of a figure of the plan."""
    constants = scope.constants(planned)
    return NOTHING if constants is None else f"{measured} / on (model) {constants}"
