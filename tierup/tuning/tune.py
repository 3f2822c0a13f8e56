"""Decides what load tests say about a stack's settings: which to change and why, or why they cannot say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tierup.findings.model import TierError
from tierup.plan.model import ModelPlan, Plan
from tierup.tuning.facts import Facts, each, first
from tierup.tuning.results import ENOUGH, Results, Setting
from tierup.tuning.rules import Proposal, proposals

SHORT_ANSWERS = 0.8  # of the tokens planned: below it the load was another one
__all__ = ["Incomparable", "Proposal", "Tuning", "tune"]


class Incomparable(TierError):
    """The runs are not of this stack, or not of one load."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was found: of which run, what to change, what was compared, and what the runs cannot say."""

    run: Results
    proposals: tuple[Proposal, ...]
    compared: tuple[str, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def enough(self) -> bool:
        """Whether the runs say anything: a change, or that there is none to make."""
        return bool(self.proposals or self.notes)


def tune(plan: Plan, runs: Sequence[Results]) -> Tuning:
    """What one run, or several runs of one load with other settings, say about the stack file.

    Raises:
        Incomparable: a run of another stack, model or load, or one run of settings that the file no longer has.
    """
    model = _model(plan, runs)
    now = setting_of(plan, model)
    missing = [f"{_name(run)}: {reason}" for run in runs for reason in lacks(run)]
    good = [run for run in runs if not list(lacks(run))]
    if len(good) == 1 and good[0].setting != now:
        missing.append(
            f"{_name(good[0])}: the stack file says something else now - run again, or name more runs"
        )
        good = []
    if not good:
        return Tuning(runs[0], (), (), (), tuple(missing))
    best = min(good, key=lambda run: (not run.kept, _worst(run)))
    facts = Facts(plan, model, best)
    moved = tuple(_to_best(facts, now, len(good)))
    changes = moved if moved else tuple(proposals(facts))
    compared = tuple(f"{_name(run)}: {_told(run)}" for run in good) if len(runs) > 1 else ()
    return Tuning(best, changes, compared, tuple(_notes(facts, changes)), tuple(missing))


def setting_of(plan: Plan, model: ModelPlan) -> Setting:
    """What the stack file says of what a load test can judge."""
    return Setting(
        replicas=model.replicas,
        slots=model.slots,
        queue_length=plan.gateway.queue_length,
        longform_cap=plan.gateway.longform_cap,
    )


def lacks(run: Results) -> Iterator[str]:
    """Why a run is no evidence; nothing if it is."""
    if run.failures:
        yield f"{run.failures} requests failed - mend that first, a failing service measures nothing"
    for name, item in run.classes.items():
        if item.answered < ENOUGH:
            yield f"{item.answered} answers of {name}, a 95th percentile needs {ENOUGH} - run longer"
        elif item.e2e_ms is not None and item.e2e_ms.max > run.load.seconds * 1000:
            took = f"the longest answer of {name} took {item.e2e_ms.max / 1000:.0f} s"
            yield f"{took}, longer than the {run.load.seconds:.0f} s measured - run longer"
        if item.answer_tokens is not None and item.answer_tokens < SHORT_ANSWERS * item.wanted_answer_tokens:
            got = f"answers of {name} had {item.answer_tokens:.0f} tokens of {item.wanted_answer_tokens}"
            yield f"{got}: a lighter load than planned - use --ignore-eos, or plan what users get"


def _model(plan: Plan, runs: Sequence[Results]) -> ModelPlan:
    head = runs[0]
    for run in runs:
        if run.stack != plan.stack:
            raise Incomparable(f"{_name(run)} is of the stack {run.stack}, not of {plan.stack}")
        if run.stack_model != head.stack_model or _load(run) != _load(head):
            raise Incomparable(f"{_name(run)} and {_name(head)} differ in model or load: only settings may")
    model = plan.model(head.stack_model)
    if model is None:
        raise Incomparable(f"the stack {plan.stack} has no model {head.stack_model} (any more)")
    return model


def _load(run: Results) -> tuple[object, ...]:
    """What runs that are compared have in common; how long they measured may differ."""
    load = run.load
    wanted = [
        (name, item.wanted_prompt_tokens, item.wanted_answer_tokens, item.share, item.promised_ttft_ms)
        for name, item in run.classes.items()
    ]
    return load.arrival, load.users, load.rate, load.think_seconds, load.ignore_eos, tuple(wanted)


def _to_best(facts: Facts, now: Setting, runs: int) -> Iterator[Proposal]:
    """From the file's settings to those of the best run."""
    best = facts.run.setting
    for path, old, new in (
        (f"{facts.at}.maxNumSeqs", now.slots, best.slots),
        (f"{facts.at}.replicas", now.replicas, best.replicas),
        ("gateway.queueLength", now.queue_length, best.queue_length),
        ("gateway.longformCap", now.longform_cap, best.longform_cap),
    ):
        if new != old:
            yield Proposal(
                path,
                old,
                new,
                _told(facts.run),
                f"of {runs} runs the one whose slowest figure is the smallest part of its promise",
                "what was measured with it",
            )


def _worst(run: Results) -> float:
    return max(max(first(item), each(item)) for item in run.classes.values())


def _told(run: Results) -> str:
    """A run in a line."""
    figures = ", ".join(
        f"{name} TTFT {first(item):.2f} and TPOT {each(item):.2f} of its promise"
        for name, item in run.classes.items()
    )
    refused = sum(item.refused.count for item in run.classes.values())
    tokens = sum(item.out_tokens_per_second for item in run.classes.values())
    word = "kept" if run.kept else "not kept"
    return f"{word}; p95 of {figures}; {refused} refused, {tokens:.0f} tokens out/s"


def _name(run: Results) -> str:
    s = run.setting
    return (
        f"run of {run.started_at} ({s.replicas} x {s.slots} slots, queue {s.queue_length}, "
        f"cap {s.longform_cap:g})"
    )


def _notes(facts: Facts, changes: Sequence[Proposal]) -> Iterator[str]:
    """What holds beside the changes."""
    if facts.run.load.interrupted:
        yield "the run was interrupted: what was measured until then counts"
    planned = facts.plan.users_per_model
    if facts.run.load.users is not None and facts.run.load.users < int(planned):
        yield f"the stack plans for {planned:g} users of this model, the run had {facts.run.load.users}"
    if not facts.run.kept and not changes:
        yield (
            "promises are not kept, and no setting helps: more GPUs (nodes.count), a faster precision, fewer "
            "users, or promise less"
        )
    if facts.run.kept and not changes:
        worst = max(facts.ttft, facts.tpot)
        yield f"nothing to change: p95 at most {worst:.2f} of its promise, {facts.in_use:.0%} of the slots in use"
