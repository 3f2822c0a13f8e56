"""Synthetic results of a load test of the standard tier, with figures that a test sets."""

from typing import TypeVar

from loadtest.verdict import kept, promises
from tierup.plan.model import Plan
from tierup.tuning.results import Arrival, Load, MeasuredClass, Refused, Results, Setting, Spread


def spread(p95: float) -> Spread:
    """A distribution with a given p95."""
    return Spread(p50=p95 / 2, p90=p95 * 0.9, p95=p95, p99=p95 * 1.2, mean=p95 / 2, max=p95 * 1.5)


Value = TypeVar("Value")


def _of(given: dict[str, Value] | None, name: str, default: Value) -> Value:
    return default if given is None else given.get(name, default)


def results(
    plan: Plan,
    *,
    ttft: dict[str, float] | None = None,
    tpot: dict[str, float] | None = None,
    in_flight: dict[str, float] | None = None,
    refused: dict[str, int] | None = None,
    failed: dict[str, int] | None = None,
    answered: int = 200,
    answer_tokens: float = 1.0,
    longest_ms: float = 30_000,
    rate: float = 1.0,
    seconds: float = 120,
    users: int = 50,
    **setting: float,
) -> Results:
    """One run. `ttft` and `tpot` are p95 as parts of the promise (0.5 unless given), `in_flight` the means (1
    unless given), `answer_tokens` a part of those wanted, `rate` the answers per second of each class;
    `setting` what the stack file planned then (the plan's unless given). All by class.
    """

    model = plan.models[0]
    classes = {
        name: MeasuredClass(
            wanted_prompt_tokens=item.prompt_tokens,
            wanted_answer_tokens=item.answer_tokens,
            share=item.share,
            priority=item.priority,
            promised_ttft_ms=item.ttft_ms,
            promised_tpot_ms=item.tpot_ms,
            sent=answered + _of(refused, name, 0) + _of(failed, name, 0),
            answered=answered,
            refused=Refused(count=_of(refused, name, 0), without_retry_after=0),
            failed={"HTTP 503": _of(failed, name, 0)} if _of(failed, name, 0) else {},
            cut=0,
            prompt_tokens=item.prompt_tokens,
            answer_tokens=item.answer_tokens * answer_tokens,
            ttft_ms=spread(_of(ttft, name, 0.5) * item.ttft_ms),
            itl_ms=spread(_of(tpot, name, 0.5) * item.tpot_ms),
            tpot_ms=spread(_of(tpot, name, 0.5) * item.tpot_ms),
            e2e_ms=spread(longest_ms / 1.5),
            in_flight=_of(in_flight, name, 1.0),
            requests_per_second=rate,
            in_tokens_per_second=rate * item.prompt_tokens,
            out_tokens_per_second=rate * item.answer_tokens,
            ttft_steps_ms=[],
            timeline=[],
        )
        for name, item in plan.classes.items()
    }
    planned = {
        "replicas": model.replicas,
        "slots": model.slots,
        "queue_length": plan.gateway.queue_length,
        "longform_cap": plan.gateway.longform_cap,
    }
    verdict = promises(classes)
    return Results(
        version=1,
        stack=plan.stack,
        stack_model=model.name,
        model=model.name,
        host="http://127.0.0.1:8080",
        started_at="2026-11-25T10:00:00+00:00",
        load=Load(
            arrival=Arrival.CLOSED,
            users=users,
            rate=None,
            think_seconds=plan.think_seconds,
            warmup_seconds=20,
            seconds=seconds,
            ignore_eos=False,
            interrupted=False,
        ),
        setting=Setting.model_validate(planned | setting),
        classes=classes,
        verdict=verdict,
        kept=kept(verdict, classes),
        prediction=None,
    )
