"""The tuning rules: which setting to change after a load test, and which measured figure is the reason.

A run gives at most one change, whose effect must be measured before the next. The sizes of the steps rest on two
assumptions: the time per token grows at most in proportion to the running requests, and the last request of a queue
waits for the length of the queue divided by the rate of answers (Little's law).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tierup.tuning.facts import FULL, Facts, ttft_ratio

MAX_SLOT_FACTOR = 2  # slots are at most doubled before the next measurement
HEADROOM = 0.5  # of its promise: a class below it can give slots to another


@dataclass(frozen=True, slots=True)
class Proposal:
    """One change, `path: old -> new`, with the measured figure, the rule and the expected effect."""

    path: str
    old: float
    new: float
    evidence: str
    rule: str
    effect: str

    @property
    def change(self) -> str:
        """The change as one line."""
        return f"{self.path}: {self.old:g} -> {self.new:g}"


def proposals(facts: Facts) -> Iterator[Proposal]:
    """The change that follows from the run, if any."""
    if facts.tpot > 1:
        yield from _slow_tokens(facts)
    elif facts.ttft > 1:
        yield from _slow_first_tokens(facts)
    elif facts.refused:
        yield from _refusals(facts)
    else:
        yield from _spare_replica(facts)


def _slow_tokens(facts: Facts) -> Iterator[Proposal]:
    """Make batches smaller, if the requests that then wait have time and a single request is fast enough."""
    running = min(facts.slots, facts.run.in_flight / facts.replicas)
    new = math.floor(running / facts.tpot)
    if facts.ttft > 1 or new < 1:
        yield from _more_replicas(facts, f"p95 of the time per token is {facts.tpot:.2f} times its promise")
        return
    yield Proposal(
        f"{facts.path}.maxNumSeqs",
        facts.slots,
        new,
        f"p95 of the time per token is {facts.tpot:.2f} times its promise, {running:.1f} requests run per replica",
        "the time per token grows at most in proportion to the running requests: running requests / that ratio",
        f"the time per token keeps its promise; more requests wait, TTFT is at {facts.ttft:.2f} times its promise",
    )


def _slow_first_tokens(facts: Facts) -> Iterator[Proposal]:
    """Lower the cap of long jobs first, then add slots, then replicas; else shorten a queue that is too long."""
    why = (
        f"p95 of the time to the first token is {facts.ttft:.2f} times its promise, "
        f"{facts.in_use:.0%} of the slots in use"
    )
    if _long_jobs_in_the_way(facts):
        yield _cap(facts, -1, why, "chat gets a free slot sooner; long jobs wait longer")
        return
    most = min(MAX_SLOT_FACTOR * facts.slots, facts.kv_slots)
    if facts.tpot:
        most = min(most, math.floor(facts.slots / facts.tpot))
    if facts.waited and most > facts.slots:
        yield Proposal(
            f"{facts.path}.maxNumSeqs",
            facts.slots,
            most,
            f"{why}, p95 of the time per token is {facts.tpot:.2f} times its promise",
            f"requests wait for slots: add up to twice as many, as far as the time per token and the KV cache "
            f"({facts.kv_slots} requests) allow",
            "fewer requests wait for a slot; the time per token grows, at most in proportion",
        )
        return
    more = list(_more_replicas(facts, why))
    yield from more if more or not facts.waited else _queue(facts, why, longer=False)


def _long_jobs_in_the_way(facts: Facts) -> bool:
    """Whether long jobs use all slots of their cap while chat waits, and have time themselves."""
    late = any(ttft_ratio(item) > 1 for item in facts.urgent)
    patient = all(ttft_ratio(item) <= 1 for item in facts.long_jobs)
    return bool(facts.long_jobs) and late and patient and facts.cap_in_use >= FULL and facts.long_slots > 1


def _refusals(facts: Facts) -> Iterator[Proposal]:
    """Raise the cap if it refuses long jobs and chat has headroom; else lengthen the queue; else add a replica."""
    why = f"{facts.refused} of {sum(item.sent for item in facts.run.classes.values())} requests were refused"
    long_only = not any(item.refused.count for item in facts.urgent)
    chat = max(map(ttft_ratio, facts.urgent))
    if long_only and facts.cap_in_use >= FULL and chat <= HEADROOM and facts.long_slots < facts.slots - 1:
        yield _cap(
            facts,
            1,
            f"{why}, all of them long jobs, which used {facts.cap_in_use:.0%} of their slots; chat's "
            f"first token is at {chat:.2f} times its promise",
            "fewer long jobs are refused; chat waits longer",
        )
        return
    queue = list(_queue(facts, why, longer=True))
    yield from queue if queue else _more_replicas(facts, why)


def _queue(facts: Facts, why: str, *, longer: bool) -> Iterator[Proposal]:
    """A queue as long as can be answered within the longest promise; nothing if that is not `longer` (or shorter)."""
    promised = max(item.promised_ttft_ms for item in facts.run.classes.values()) / 1000
    old, new = facts.run.setting.queue_length, math.floor(facts.rate * promised)
    if (new > old) if longer else (new < old):
        yield Proposal(
            "gateway.queueLength",
            old,
            new,
            f"{why}; {facts.rate:.2f} answers per second",
            f"the last request waits for queue length / rate: at most the longest promise, {promised:g} s",
            "fewer requests are refused, and the last one is still in time"
            if longer
            else "requests that would wait too long are refused",
        )


def _cap(facts: Facts, slots: int, why: str, effect: str) -> Proposal:
    return Proposal(
        "gateway.longformCap",
        facts.run.setting.longform_cap,
        round((facts.long_slots + slots) / facts.slots, 3),
        f"{why}; long jobs used {facts.cap_in_use:.0%} of their {facts.long_slots} slots per replica",
        "one slot per replica at a time",
        effect,
    )


def _more_replicas(facts: Facts, why: str) -> Iterator[Proposal]:
    """Add one replica, if there are free GPUs."""
    if facts.free_gpus >= facts.model.gpus:
        yield Proposal(
            f"{facts.path}.replicas",
            facts.replicas,
            facts.replicas + 1,
            why,
            f"no setting of one replica helps, and {facts.free_gpus} GPUs are free",
            f"each replica gets {facts.replicas}/{facts.replicas + 1} of its load",
        )


def _spare_replica(facts: Facts) -> Iterator[Proposal]:
    """All promises are kept: remove one replica, if the others keep them even in the worst case."""
    fewer = facts.replicas - 1
    if fewer == 0:
        return
    worse = facts.replicas / fewer
    target = facts.plan.autoscaling.in_flight_target
    if max(facts.ttft, facts.tpot) * worse <= 1 and facts.in_use * worse <= target:
        yield Proposal(
            f"{facts.path}.replicas",
            facts.replicas,
            fewer,
            f"p95 at most {max(facts.ttft, facts.tpot):.2f} times its promise, {facts.in_use:.0%} of the slots in use",
            f"with {worse:.2f} times the load, replicas keep all promises and stay below the autoscaler's "
            f"target ({target:.0%})",
            f"frees {facts.model.gpus} GPUs; no replica to spare if one fails"
            if fewer == 1
            else "frees GPUs",
        )
