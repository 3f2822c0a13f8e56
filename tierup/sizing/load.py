"""Decides how requests share one replica: who runs, who waits, and what each of them then sees.

Three kinds of load. Closed: N users, each sends again when answered. Burst: N requests at one moment,
nothing after. Rate: requests arrive by chance at a mean rate. Running sequences are bounded by max_num_seqs
and by the KV cache, of which a running sequence holds its prompt and on average half its answer.
"""

import math
from dataclasses import dataclass, replace

from tierup.sizing.coefficients import Coefficients
from tierup.sizing.memory import Memory
from tierup.sizing.step import Steps, Terms, added, scaled, total
from tierup.sizing.types import SizingInput

ROUNDS = 60  # bisection steps of the running sequences at an arrival rate
# How far a published throughput is from ours four times in five; near capacity it decides the wait.
_UNSURE = 0.2


@dataclass(frozen=True)
class Speed:
    """One replica, milliseconds and requests per second; `terms` is what an output token costs, part by part.

    `ttft` and `e2e` are infinite where requests arrive faster than they leave. `doubt` is what the load's
    pattern adds to the error of the first token's time, as a natural logarithm.
    """

    ttft: float
    tpot: float
    e2e: float
    req_s: float
    running: float
    limit: float
    terms: Terms
    doubt: float = 0.0


@dataclass(frozen=True)
class Replica:
    """One replica of the question on its memory."""

    ask: SizingInput
    memory: Memory
    k: Coefficients

    @property
    def steps(self) -> Steps:
        return Steps(self.ask)

    @property
    def held(self) -> float:
        """KV tokens of a running sequence on average."""
        return self.ask.prompt + self.ask.answer / 2

    @property
    def space(self) -> float:
        """Sequences that the KV cache holds."""
        return self.memory.kv_tokens / self.held

    @property
    def prefill_limit(self) -> float:
        """Sequences that decode at once at most: a step's tokens must hold one of each, and the prompts that
        replace those that end.
        """
        new = self.ask.prompt * (1 - self.ask.prefix_hit)
        return self.ask.batched_tokens / (1 + new / self.ask.answer)

    @property
    def room(self) -> float:
        """Sequences that are let in at once."""
        return max(1.0, min(float(self.ask.slots), self.space))

    @property
    def limit(self) -> float:
        """Sequences that run at once for long."""
        return max(1.0, min(self.room, self.prefill_limit))

    def token_terms(self, running: float, others: float, demand: float = 0.0) -> Terms:
        """An output token beside `others` prefills in the time of one whole answer; `demand`: sequences that
        want to run.
        """
        decode = self.steps.decode(running, self.held)
        prefill = self.steps.prefill()
        if again := self._recomputed(demand):
            whole = Steps(replace(self.ask, prefix_hit=0.0)).prefill()
            prefill = added(prefill, scaled(whole, again * self.held / self.ask.prompt))
        return added(decode, scaled(prefill, others / self.ask.answer))

    def _recomputed(self, demand: float) -> float:
        """Preemptions per answer. Prompts are let in as long as they fit, then the answers grow into space that
        is not there: that part of the sequences is thrown out and starts again.
        """
        wanted = min(demand, float(self.ask.slots)) / max(1.0, self.space)
        crowded = min(1.0, max(0.0, 4 * (wanted - 1)))
        return crowded * min(1.0, self.ask.answer / 2 / self.ask.prompt)

    def prefill_ms(self) -> float:
        """A prompt alone: its matrix work, at least one reading of the weights for each chunk."""
        work = total(self.steps.prefill(), self.k)
        return max(work, self._chunks * total(self.steps.decode(1, 1), self.k))

    @property
    def _chunks(self) -> int:
        return max(1, math.ceil(self.ask.prompt * (1 - self.ask.prefix_hit) / self.ask.batched_tokens))

    def steady(self, running: float, demand: float = 0.0, by_chance: bool = False) -> Speed:
        """`running` sequences at any time, no wait for a slot: all other requests prefill once per answer.

        A request that comes alone waits for half of the step in flight and then shares its own with the others'
        decoding. Users of a closed loop whose answers end together also send together: the first token then
        comes as late as in a burst. Published runs lie in between: a weighted geometric mean. Requests that
        arrive by chance meet only a queue of prompts with one server (M/D/1).
        """
        terms = self.token_terms(running, max(0.0, running - 1), demand)
        tpot, prefill = total(terms, self.k), self.prefill_ms()
        busy = 1 - 1 / max(1.0, running)
        step = total(self.steps.decode(running, self.held), self.k)
        alone = self.k["ttft.base"] + self.k["ttft.per_user"] * (running - 1) + prefill
        alone += busy * (tpot / 2 + self._chunks * step)
        work = total(self.steps.prefill(), self.k)
        share = min(0.99, running * work / (self.ask.answer * tpot + work))
        bunched = min(1.0, self.k["ttft.bunching"] * share)
        doubt = bunched * math.log(max(1.0, self._burst_ttft(running) / alone))
        ttft = alone * math.exp(doubt)
        if by_chance:
            ttft, doubt = min(ttft, alone + share / (2 * (1 - share)) * prefill), 0.0
        e2e = ttft + (self.ask.answer - 1) * tpot
        return Speed(ttft, tpot, e2e, running / e2e * 1e3, running, self.limit, terms, doubt)

    def closed(self, users: float) -> Speed:
        """`users` that each wait for their answer; beyond the limit the others queue (Little's law)."""
        base = self.steady(max(1.0, min(users, self.limit)), users)
        if users < 1:  # less than one request in flight: the same speed, seen less often
            return replace(base, req_s=base.req_s * users, running=users)
        wait = max(0.0, users / base.req_s * 1e3 - base.e2e)
        crowded = min(1.0, max(0.0, 5 * users / self.limit - 4)) if self.limit < self.ask.slots else 0.0
        doubt = base.doubt + crowded * math.log1p(_UNSURE * (base.e2e + wait) / (base.ttft + wait))
        return replace(base, ttft=base.ttft + wait, e2e=base.e2e + wait, doubt=doubt)

    def burst(self, users: float) -> Speed:
        """`users` requests at one moment: prompts are taken in turn, so half of the others prefill after
        mine.
        """
        if users > self.room:
            base = self.steady(self.room, users)
            late = users - self.room
            first = self._burst_ttft(self.room)
            wait = first + late / users * (late / 2 / base.req_s * 1e3 + base.e2e / 2)
            duration = late / base.req_s * 1e3 + base.e2e
            e2e = wait + (self.ask.answer - 1) * base.tpot
            doubt = math.log1p(_UNSURE * e2e / wait) if self.room < self.ask.slots else 0.0
            rate = users / duration * 1e3
            return replace(base, ttft=wait, e2e=e2e, req_s=rate, limit=self.room, doubt=doubt)
        terms = self.token_terms(users, max(0.0, (users - 1) / 2))
        tpot, ttft = total(terms, self.k), self._burst_ttft(users)
        e2e = ttft + (self.ask.answer - 1) * tpot
        return Speed(ttft, tpot, e2e, users / e2e * 1e3, users, self.room, terms)

    def _burst_ttft(self, users: float) -> float:
        """Prompts in turn, as many in a step as its tokens hold; each step also decodes those that have
        begun.
        """
        together = max(1.0, self.ask.batched_tokens / max(1.0, self.ask.prompt * (1 - self.ask.prefix_hit)))
        turns = (users + min(users, together)) / 2
        work = total(self.steps.prefill(), self.k)
        if users > 1:
            work += total(self.steps.decode(users / 2, self.ask.prompt), self.k) / together
        base = self.k["ttft.base"] + self.k["ttft.per_user"] * (users - 1)
        return base + max(self.prefill_ms(), turns * work)

    def arriving(self, rate: float) -> Speed:
        """`rate` requests per second by chance; the wait for a slot is that of a queue with as many
        servers.
        """
        limit = self.limit
        capacity = self.steady(limit).req_s
        if rate >= capacity:
            full = self.steady(limit)
            return Speed(math.inf, full.tpot, math.inf, full.req_s, limit, limit, full.terms)
        low, high = 0.0, limit
        for _ in range(ROUNDS):
            middle = (low + high) / 2
            if self.closed(middle).req_s < rate:
                low = middle
            else:
                high = middle
        base = self.steady(max(1.0, high), by_chance=True)
        used = rate / capacity
        queue = used ** (math.sqrt(2 * (limit + 1)) - 1) / (limit * (1 - used)) * base.e2e
        doubt = -_UNSURE * math.log(1 - used)
        return replace(
            base, ttft=base.ttft + queue, e2e=base.e2e + queue, req_s=rate, running=high, doubt=doubt
        )

    def speed(self) -> Speed:
        """What the question's load sees on one of its replicas."""
        if self.ask.rate is not None:
            return self.arriving(self.ask.rate / self.ask.replicas)
        users = (self.ask.concurrency if self.ask.concurrency is not None else 1.0) / self.ask.replicas
        return self.burst(users) if self.ask.burst else self.closed(users)
