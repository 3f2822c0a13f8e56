"""Capacity: the plan's figures beside what is measured, what is left, and when it is used up at this growth."""

from collections.abc import Callable, Sequence

from tierup.manifests.boards.board import Board, Shown
from tierup.manifests.boards.overview import BUSY, MODEL, NO_ENGINE, NO_REQUESTS, requests_at_once
from tierup.manifests.boards.panels import Frame, Query, Scale, bars, graph, stat
from tierup.manifests.boards.queries import answering, in_flight, mean, most_in_flight, part_of, quantile
from tierup.manifests.boards.scope import NOTHING, Scope
from tierup.plan.model import ClassCapacity, ModelPlan

_DAY, _WEEK = 86_400, 7
_FEWEST_DAYS, _SOON_DAYS = 14, 60


def board(scope: Scope) -> Board:
    """Plan against now, and headroom."""
    rows = (
        ("What is left", _left(scope)),
        ("Requests: plan against now", _load(scope)),
        ("Assumptions of the plan, and what is measured", _assumed(scope)),
    )
    about = (
        "The plan beside what is measured: how much is left, for how long at this growth, and is it right?"
    )
    return Board("Capacity", about, rows, ("model",), since="now-7d")


def _left(scope: Scope) -> Sequence[Shown]:
    models = scope.models
    now = in_flight(models)
    peak = f"max_over_time({now}[1d:1m])"
    growth = f"deriv(max_over_time({now}[1d:5m])[{_WEEK}d:6h])"
    left = Frame(
        "Load now, of the most that keeps every promise",
        "percentunit",
        "Requests that run or wait beside the most with which the plan keeps every promise.",
        NO_REQUESTS,
        8,
        6,
        Scale.rising(BUSY, 1),
        1,
    )
    highest = Frame(
        "Highest load of the last day, of that most",
        "percentunit",
        "The highest of the last day (1d).",
        NO_REQUESTS,
        8,
        6,
        Scale.rising(BUSY, 1),
        1,
    )
    days = Frame(
        "Full at this growth in",
        "d",
        f"Days until the daily peak reaches that most, by its course over {_WEEK} days (1d peaks of {_WEEK}d).",
        f"it does not grow, or was measured for less than {_WEEK} days",
        8,
        6,
        Scale.falling(_FEWEST_DAYS, _SOON_DAYS),
    )
    most = scope.constants(most_in_flight)
    remaining = f"({most} - on (model) {peak}) / on (model) ({growth} * {_DAY} > 0)"
    return [
        bars(left, Query(part_of(now, scope, most_in_flight), MODEL)),
        bars(highest, Query(part_of(peak, scope, most_in_flight), MODEL)),
        stat(days, Query(remaining if most is not None else NOTHING, MODEL), spark=False),
    ]


def _load(scope: Scope) -> Sequence[Shown]:
    models = scope.models
    expected = Frame(
        "Requests at once: expected and measured",
        "short",
        f"Grey: what the plan's {scope.plan.users} users have in flight. Far above it: more users, or they pause less.",
        NO_ENGINE,
        12,
    )
    slots = Frame(
        "Slots: of the plan and in use",
        "short",
        "Running requests hold one each. Grey: those of the replicas that answer.",
        NO_ENGINE,
        12,
    )
    each = scope.constants(lambda model: model.slots)
    per_replica = f"{answering(scope, models)} * on (model) {each}"
    planned = scope.planned(lambda model: None if model.capacity is None else model.capacity.in_flight)
    return [
        requests_at_once(scope, models, 24, 8),
        graph(expected, Query(in_flight(models), MODEL), Query(planned, "{{model}} expected", plan=True)),
        graph(
            slots,
            Query(f"sum by (model) (vllm:num_requests_running{{{models}}})", "{{model}} running"),
            Query(per_replica, "{{model}} slots", plan=True),
        ),
    ]


def _mean_of(value: Callable[[ClassCapacity], float]) -> Callable[[ModelPlan], float | None]:
    """A predicted time in seconds, over the classes of a model by their requests in flight."""

    def figure(model: ModelPlan) -> float | None:
        classes = () if model.capacity is None else model.capacity.classes
        weight = sum(item.in_flight for item in classes)
        return sum(value(item) * item.in_flight for item in classes) / weight / 1000 if weight else None

    return figure


def _answer(scope: Scope) -> Callable[[ModelPlan], float | None]:
    """The mean answer in tokens that the workload says."""

    def figure(model: ModelPlan) -> float | None:
        classes = scope.plan.classes_of(model).values()
        share = sum(item.share for item in classes)
        return sum(item.share * item.answer_tokens for item in classes) / share if share else None

    return figure


def _assumed(scope: Scope) -> Sequence[Shown]:
    models = scope.models
    note = "Grey: the plan's. If they differ for long, correct `workload` in the stack file and plan again."
    prompt = Frame("Prompt", "short", f"Mean tokens of a prompt. {note}", NO_REQUESTS, 6)
    answer = Frame("Answer", "short", f"Mean tokens of an answer. {note}", NO_REQUESTS, 6)
    predicted = "Grey: predicted for the plan's load. `tierup plan` gives the range."
    first = Frame("First token, median", "s", predicted, NO_REQUESTS, 6)
    further = Frame("Further token, median", "s", predicted, NO_REQUESTS, 6)
    prompts = scope.planned(lambda model: None if model.capacity is None else model.capacity.prompt_tokens)
    ttft, tpot = (
        scope.planned(_mean_of(get)) for get in (lambda item: item.ttft_ms.p50, lambda item: item.tpot_ms.p50)
    )
    of_plan = "{{model}} planned"
    return [
        graph(
            prompt,
            Query(mean("vllm:request_prompt_tokens", models), MODEL),
            Query(prompts, of_plan, plan=True),
        ),
        graph(
            answer,
            Query(mean("vllm:request_generation_tokens", models), MODEL),
            Query(scope.planned(_answer(scope)), of_plan, plan=True),
        ),
        graph(
            first,
            Query(quantile(0.5, "vllm:time_to_first_token_seconds", models), MODEL),
            Query(ttft, of_plan, plan=True),
        ),
        graph(
            further,
            Query(quantile(0.5, "vllm:request_time_per_output_token_seconds", models), MODEL),
            Query(tpot, of_plan, plan=True),
        ),
    ]
