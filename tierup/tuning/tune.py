"""Tunes a stack's settings from load tests: which to change and why, or why the evidence is not enough."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tierup.findings.model import TierError
from tierup.plan.model import ModelPlan, Plan
from tierup.tuning.facts import Facts, tpot_ratio, ttft_ratio
from tierup.tuning.results import MIN_ANSWERS, Results, Setting
from tierup.tuning.rules import Proposal, proposals

SHORT_ANSWERS = 0.8  # of the planned tokens: below it the load was too light
__all__ = ["Incomparable", "Proposal", "Tuning", "tune"]


class Incomparable(TierError):
    """The runs are not of this stack, or have different loads."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """The result: the run it is based on, the changes, the compared runs, notes, and missing evidence."""

    run: Results
    proposals: tuple[Proposal, ...]
    compared: tuple[str, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def enough(self) -> bool:
        """Whether the evidence is enough for a change, or for none."""
        return bool(self.proposals or self.notes)


def tune(plan: Plan, runs: Sequence[Results]) -> Tuning:
    """Tune the stack file from one run, or from several runs with the same load and different settings.

    Raises:
        Incomparable: a run is of another stack, model or load.
    """
    model = _model(plan, runs)
    now = setting_of(plan, model)
    missing = [f"{_name(run)}: {reason}" for run in runs for reason in weaknesses(run)]
    good = [run for run in runs if not list(weaknesses(run))]
    if len(good) == 1 and good[0].setting != now:
        missing.append(
            f"{_name(good[0])}: the stack file has other settings now - run again, or give more runs"
        )
        good = []
    if not good:
        return Tuning(runs[0], (), (), (), tuple(missing))
    best = min(good, key=lambda run: (not run.kept, _worst(run)))
    facts = Facts(plan, model, best)
    switched = tuple(_to_best(facts, now, len(good)))
    changes = switched if switched else tuple(proposals(facts))
    compared = tuple(f"{_name(run)}: {_describe(run)}" for run in good) if len(runs) > 1 else ()
    return Tuning(best, changes, compared, tuple(_notes(facts, changes)), tuple(missing))


def setting_of(plan: Plan, model: ModelPlan) -> Setting:
    """The settings of the stack file that a load test can judge."""
    return Setting(
        replicas=model.replicas,
        slots=model.slots,
        queue_length=plan.gateway.queue_length,
        longform_cap=plan.gateway.longform_cap,
    )


def weaknesses(run: Results) -> Iterator[str]:
    """Why a run is not enough evidence; empty if it is."""
    if run.failures:
        yield f"{run.failures} requests failed - fix that first, the figures of a failing service mean nothing"
    for name, item in run.classes.items():
        if item.answered < MIN_ANSWERS:
            yield f"{item.answered} answers of {name}, but a 95th percentile needs {MIN_ANSWERS} - run longer"
        elif item.e2e_ms is not None and item.e2e_ms.max > run.load.seconds * 1000:
            took = f"the longest answer of {name} took {item.e2e_ms.max / 1000:.0f} s"
            yield f"{took}, longer than the {run.load.seconds:.0f} s measured - run longer"
        if item.answer_tokens is not None and item.answer_tokens < SHORT_ANSWERS * item.wanted_answer_tokens:
            got = f"answers of {name} had {item.answer_tokens:.0f} tokens of {item.wanted_answer_tokens}"
            yield f"{got}: a lighter load than planned - use --ignore-eos, or lower answerTokens"


def _model(plan: Plan, runs: Sequence[Results]) -> ModelPlan:
    head = runs[0]
    for run in runs:
        if run.stack != plan.stack:
            raise Incomparable(f"{_name(run)} is of the stack {run.stack}, not of {plan.stack}")
        if run.stack_model != head.stack_model or _load(run) != _load(head):
            raise Incomparable(
                f"{_name(run)} and {_name(head)} differ in model or load: only settings may differ"
            )
    model = plan.model(head.stack_model)
    if model is None:
        raise Incomparable(f"the stack {plan.stack} has no model {head.stack_model}")
    return model


def _load(run: Results) -> tuple[object, ...]:
    """What compared runs must have in common; their duration may differ."""
    load = run.load
    wanted = [
        (name, item.wanted_prompt_tokens, item.wanted_answer_tokens, item.share, item.promised_ttft_ms)
        for name, item in run.classes.items()
    ]
    return load.arrival, load.users, load.rate, load.think_seconds, load.ignore_eos, tuple(wanted)


def _to_best(facts: Facts, now: Setting, runs: int) -> Iterator[Proposal]:
    """The changes from the file's settings to those of the best run."""
    best = facts.run.setting
    for path, old, new in (
        (f"{facts.path}.maxNumSeqs", now.slots, best.slots),
        (f"{facts.path}.replicas", now.replicas, best.replicas),
        ("gateway.queueLength", now.queue_length, best.queue_length),
        ("gateway.longformCap", now.longform_cap, best.longform_cap),
    ):
        if new != old:
            yield Proposal(
                path,
                old,
                new,
                _describe(facts.run),
                f"the best of {runs} runs: its worst p95 is the smallest relative to its promise",
                "as measured in that run",
            )


def _worst(run: Results) -> float:
    return max(max(ttft_ratio(item), tpot_ratio(item)) for item in run.classes.values())


def _describe(run: Results) -> str:
    """One run in one line."""
    figures = ", ".join(
        f"{name} TTFT {ttft_ratio(item):.2f} and TPOT {tpot_ratio(item):.2f} times its promise"
        for name, item in run.classes.items()
    )
    refused = sum(item.refused.count for item in run.classes.values())
    tokens = sum(item.out_tokens_per_second for item in run.classes.values())
    verdict = "kept" if run.kept else "not kept"
    return f"{verdict}; p95 of {figures}; {refused} refused, {tokens:.0f} tokens out/s"


def _name(run: Results) -> str:
    setting = run.setting
    return (
        f"run of {run.started_at} ({setting.replicas} x {setting.slots} slots, queue {setting.queue_length}, "
        f"cap {setting.longform_cap:g})"
    )


def _notes(facts: Facts, changes: Sequence[Proposal]) -> Iterator[str]:
    """Notes on the run and on why nothing changes."""
    if facts.run.load.interrupted:
        yield "the run was interrupted; measurements until then count"
    planned = facts.plan.users_of(facts.model)
    if facts.run.load.users is not None and facts.run.load.users < int(planned):
        yield f"the stack plans for {planned:g} users of this model, the run had {facts.run.load.users}"
    if not facts.run.kept and not changes:
        yield (
            "promises are not kept, and no setting helps: use more GPUs (nodes.count), a faster precision or fewer "
            "users, or promise less"
        )
    if facts.run.kept and not changes:
        worst = max(facts.ttft, facts.tpot)
        yield f"nothing to change: p95 at most {worst:.2f} times its promise, {facts.in_use:.0%} of the slots in use"
