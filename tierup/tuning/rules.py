"""Decides which setting a load test asks to change, and which measured figure asks for it.

One cause gives one change: what it does has to be measured before the next. The expectations behind the sizes of
the steps: the time per token grows at most in proportion to the requests that run at once, and the last of a queue
waits its length divided by the rate at which requests are answered (Little's law).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tierup.tuning.facts import FULL, Facts, first

MOST_STEP = 2  # slots are at most doubled before the next measurement
ROOM = 0.5  # of its promise: what a class may use before another takes from it


@dataclass(frozen=True, slots=True)
class Proposal:
    """One change, `path: old -> new`: the measured figure, the rule, and what it should change."""

    path: str
    old: float
    new: float
    evidence: str
    rule: str
    effect: str

    @property
    def change(self) -> str:
        """As a line of a patch of the stack file's keys."""
        return f"{self.path}: {self.old:g} -> {self.new:g}"


def proposals(facts: Facts) -> Iterator[Proposal]:
    """The one change that the run asks for, if any."""
    if facts.tpot > 1:
        yield from _slow_tokens(facts)
    elif facts.ttft > 1:
        yield from _slow_first_tokens(facts)
    elif facts.refused:
        yield from _refusals(facts)
    else:
        yield from _room(facts)


def _slow_tokens(facts: Facts) -> Iterator[Proposal]:
    """Smaller batches are faster, where those that then wait have the time and one request alone is fast enough."""
    running = min(facts.slots, facts.run.in_flight / facts.replicas)
    new = math.floor(running / facts.tpot)
    if facts.ttft > 1 or new < 1:
        yield from _more_replicas(facts, f"p95 of the time per token is {facts.tpot:.2f} of its promise")
        return
    yield Proposal(
        f"{facts.at}.maxNumSeqs",
        facts.slots,
        new,
        f"p95 of the time per token is {facts.tpot:.2f} of its promise with {running:.1f} requests running a replica",
        "the time per token grows at most in proportion to the requests that run: running / that part",
        f"time per token within its promise; more requests wait, the first token is at {facts.ttft:.2f} of its",
    )


def _slow_first_tokens(facts: Facts) -> Iterator[Proposal]:
    """Long jobs give way first, then slots are added, then replicas; a queue nobody can wait for is shortened."""
    why = (
        f"p95 of the time to the first token is {facts.ttft:.2f} of its promise, "
        f"{facts.in_use:.0%} of the slots in use"
    )
    if _long_jobs_in_the_way(facts):
        yield _cap(facts, -1, why, "chat finds a free slot sooner; long jobs wait longer")
        return
    most = min(MOST_STEP * facts.slots, facts.kv_slots)
    if facts.tpot:
        most = min(most, math.floor(facts.slots / facts.tpot))
    if facts.waited and most > facts.slots:
        yield Proposal(
            f"{facts.at}.maxNumSeqs",
            facts.slots,
            most,
            f"{why}, p95 of the time per token {facts.tpot:.2f} of its",
            f"requests wait for slots: up to twice as many, as far as the time per token has room and the KV cache "
            f"holds them ({facts.kv_slots})",
            "fewer requests wait for a slot; the time per token grows, at most in proportion",
        )
        return
    more = list(_more_replicas(facts, why))
    yield from more if more or not facts.waited else _queue(facts, why, longer=False)


def _long_jobs_in_the_way(facts: Facts) -> bool:
    """Long jobs hold what they may while chat waits, and have time themselves."""
    late = any(first(item) > 1 for item in facts.urgent)
    patient = all(first(item) <= 1 for item in facts.long_jobs)
    return bool(facts.long_jobs) and late and patient and facts.cap_in_use >= FULL and facts.long_slots > 1


def _refusals(facts: Facts) -> Iterator[Proposal]:
    """A cap in the way is raised where chat has room, else a queue that could be longer, else replicas are added."""
    why = f"{facts.refused} of {sum(item.sent for item in facts.run.classes.values())} requests were refused"
    long_only = not any(item.refused.count for item in facts.urgent)
    chat = max(map(first, facts.urgent))
    if long_only and facts.cap_in_use >= FULL and chat <= ROOM and facts.long_slots < facts.slots - 1:
        yield _cap(
            facts,
            1,
            f"{why}, all of them long jobs, which held {facts.cap_in_use:.0%} of their slots; chat's "
            f"first token is at {chat:.2f} of its promise",
            "fewer long jobs are refused; chat waits longer",
        )
        return
    queue = list(_queue(facts, why, longer=True))
    yield from queue if queue else _more_replicas(facts, why)


def _queue(facts: Facts, why: str, *, longer: bool) -> Iterator[Proposal]:
    """As many may wait as are answered within the longest promise; only in the direction that is wanted."""
    promised = max(item.promised_ttft_ms for item in facts.run.classes.values()) / 1000
    old, new = facts.run.setting.queue_length, math.floor(facts.rate * promised)
    if (new > old) if longer else (new < old):
        yield Proposal(
            "gateway.queueLength",
            old,
            new,
            f"{why}; {facts.rate:.2f} answers per second",
            f"the last of the queue waits its length / that rate: at most the longest promise, {promised:g} s",
            "fewer are refused, the last still in time" if longer else "who would wait too long is told so",
        )


def _cap(facts: Facts, slots: int, why: str, effect: str) -> Proposal:
    return Proposal(
        "gateway.longformCap",
        facts.run.setting.longform_cap,
        round((facts.long_slots + slots) / facts.slots, 3),
        f"{why}; long jobs held {facts.cap_in_use:.0%} of their {facts.long_slots} slots a replica",
        "one slot of each replica at a time",
        effect,
    )


def _more_replicas(facts: Facts, why: str) -> Iterator[Proposal]:
    """One more, if there are GPUs for it."""
    if facts.free_gpus >= facts.model.gpus:
        yield Proposal(
            f"{facts.at}.replicas",
            facts.replicas,
            facts.replicas + 1,
            why,
            f"no setting of one replica helps, and {facts.free_gpus} GPUs are free",
            f"each replica has {facts.replicas}/{facts.replicas + 1} of the load",
        )


def _room(facts: Facts) -> Iterator[Proposal]:
    """Everything is kept: one replica fewer, if the others would keep it in the worst case."""
    fewer = facts.replicas - 1
    if fewer == 0:
        return
    worse = facts.replicas / fewer
    target = facts.plan.autoscaling.in_flight_target
    if max(facts.ttft, facts.tpot) * worse <= 1 and facts.in_use * worse <= target:
        yield Proposal(
            f"{facts.at}.replicas",
            facts.replicas,
            fewer,
            f"p95 at most {max(facts.ttft, facts.tpot):.2f} of its promise, {facts.in_use:.0%} of the slots in use",
            f"with {worse:.2f} times the load each, times stay within promises and the slots below the autoscaler's "
            f"target ({target:.0%})",
            f"frees {facts.model.gpus} GPUs; no replica to spare if one fails"
            if fewer == 1
            else "frees GPUs",
        )
