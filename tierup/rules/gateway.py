"""Checks the gateway: caps, waiting times and promises that no histogram can measure."""

from collections.abc import Iterator

from tierup.catalog.engine import Promise, engine_facts
from tierup.findings.model import Code, Finding, warning
from tierup.plan.balance import BALANCE, balanced
from tierup.plan.longform import slots_of_replica
from tierup.plan.model import Plan
from tierup.plan.read_timeout import READ_TIMEOUT, covered_tokens
from tierup.stack.sections import Balance

LONG_WAIT_SECONDS = 60  # the usual timeout of HTTP clients and proxies that receive no data
LONG_DRAIN_SECONDS = 3600


def longform(plan: Plan) -> Iterator[Finding]:
    """The cap must leave at least one slot to long jobs, and one to all others."""
    cap, path = plan.gateway.longform_cap, "gateway.longformCap"
    for model in plan.models:
        long_job_slots = slots_of_replica(model, cap)
        if long_job_slots < 1:
            problem = f"leaves long jobs none of the {model.slots} slots of {model.name}"
            fix, allowed = "raise it, or the model's maxNumSeqs", f"at least {1 / model.slots:.3g}"
            yield Finding(Code.LONGFORM_CAP, path, problem, fix, f"{cap:g}", allowed)
        elif long_job_slots == model.slots:
            problem = f"leaves chat none of the {model.slots} slots of {model.name} when long jobs use theirs"
            fix, allowed = "lower it, or raise the model's maxNumSeqs", f"at most {1 - 1 / model.slots:.3g}"
            yield Finding(Code.LONGFORM_CAP, path, problem, fix, f"{cap:g}", allowed)


def queue_wait(plan: Plan) -> Iterator[Finding]:
    """The last request in a full queue should not wait longer than clients do: work for them is then lost."""
    queue = plan.gateway.queue_length
    for model in plan.models:
        capacity = model.capacity
        if capacity is None or capacity.full.req_s is None:
            continue
        wait = queue / capacity.full.req_s.p50
        if wait > LONG_WAIT_SECONDS:
            problem = f"the last request in a full queue of {model.name} waits about {wait:.0f} s"
            most = int(LONG_WAIT_SECONDS * capacity.full.req_s.p50)
            fix = f"use {most} or less, or let clients wait longer"
            yield warning(Code.QUEUE_WAIT, "gateway.queueLength", problem, fix, str(queue))


def read_timeout(plan: Plan) -> Iterator[Finding]:
    """The gateway must wait for the answers of every class, and should for any that the engine may write."""
    path, seconds = READ_TIMEOUT, plan.gateway.read_timeout_seconds
    for model in plan.models:
        covered = covered_tokens(plan, model)
        if covered >= model.context:
            continue
        name, item = max(model.traffic.classes.items(), key=lambda entry: entry[1].answer_tokens)
        got = f"{seconds} s for {covered:,} tokens"
        if covered < item.answer_tokens:
            problem = f"is too short for answers of {name} from {model.name} ({item.answer_tokens:,} tokens)"
            fix = "wait longer, or promise shorter answers"
            yield Finding(Code.READ_TIMEOUT, path, problem, fix, got)
        else:
            problem = (
                f"answers of {model.name} may have {model.context:,} tokens; longer ones must be streamed"
            )
            yield warning(Code.READ_TIMEOUT, path, problem, "wait longer, or set a smaller context", got)


def balance(plan: Plan) -> Iterator[Finding]:
    """A choice of how requests are balanced should choose something."""
    if plan.gateway.balance is Balance.PREFIX and not balanced(plan):
        problem = "changes nothing: no model that writes text has a second replica"
        yield warning(Code.NOTHING_TO_BALANCE, BALANCE, problem, "leave it out, or add replicas", "prefix")


def drain(plan: Plan) -> Iterator[Finding]:
    """A stopping pod finishes its requests, and rollouts and node drains wait for that."""
    longest = max(model.drain_seconds for model in plan.models)
    if longest > LONG_DRAIN_SECONDS:
        name, item = max(plan.classes.items(), key=lambda entry: entry[1].answer_seconds)
        problem = f"an answer of {name} may take {longest / 3600:.1f} h: rollouts and drains wait that long"
        fix = "promise fewer tokens per answer, or a faster tpotMs"
        yield warning(
            Code.LONG_DRAIN, f"workload.classes.{name}.answerTokens", problem, fix, str(item.answer_tokens)
        )


def buckets(plan: Plan) -> Iterator[Finding]:
    """Promised times should be bucket bounds of the engines' histograms, because alerts can measure only those."""
    engines = dict.fromkeys(model.engine for model in plan.models)
    for name, item in plan.classes.items():
        promises: tuple[tuple[Promise, float], ...] = (("ttftMs", item.ttft_ms), ("tpotMs", item.tpot_ms))
        for key, promised in promises:
            for engine in engines:
                yield from _bucket(engine, f"workload.classes.{name}.{key}", key, promised)


def _bucket(engine: str, path: str, key: Promise, promised_ms: float) -> Iterator[Finding]:
    """One promise against the histogram of one engine."""
    histogram = engine_facts(engine).metrics.bounds(key)
    if histogram is None:
        return
    metric, seconds = histogram
    bounds = [bound * 1000 for bound in seconds]
    if promised_ms not in bounds:
        near = [f"{bound:g}" for bound in _around(promised_ms, bounds)]
        problem = f"is not a bucket bound of {metric}: no alert can measure it"
        yield warning(Code.SLO_BUCKET, path, problem, f"use {' or '.join(near)}", f"{promised_ms:g} ms")


def _around(value: float, bounds: list[float]) -> list[float]:
    below, above = [b for b in bounds if b < value], [b for b in bounds if b > value]
    return below[-1:] + above[:1]
