"""Decides how requests share one replica: who runs, who waits, and what each of them then sees.

Three kinds of load. Closed: N users, each sends again when answered. Burst: N requests at one moment,
nothing after. Rate: requests arrive by chance at a mean rate. Running sequences are bounded by max_num_seqs
and by the KV cache, of which a running sequence holds its prompt and on average half its answer.
"""

import math
from dataclasses import dataclass

from tierup.sizing.coefficients import Coefficients
from tierup.sizing.memory import Memory
from tierup.sizing.step import Steps, Terms, added, scaled, total
from tierup.sizing.types import Bottleneck, SizingInput

ROUNDS = 60  # bisection steps of the running sequences at an arrival rate


@dataclass(frozen=True)
class Speed:
    """One replica, milliseconds and requests per second; `terms` is what an output token costs, part by part.

    `ttft` and `e2e` are infinite where requests arrive faster than they leave.
    """

    ttft: float
    tpot: float
    e2e: float
    req_s: float
    running: float
    limit: float
    terms: Terms


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
    def limit(self) -> float:
        """Sequences that run at once."""
        held = self.ask.prompt + self.ask.answer / 2
        return max(1.0, min(float(self.ask.slots), self.memory.kv_tokens / held))

    def token_terms(self, running: float, others: float) -> Terms:
        """An output token beside `others` prefills in the time of one whole answer."""
        decode = self.steps.decode(running, self.ask.prompt + self.ask.answer / 2)
        return added(decode, scaled(self.steps.prefill(), others / self.ask.answer))

    def prefill_ms(self) -> float:
        """A prompt alone: its matrix work, at least one reading of the weights for each chunk."""
        chunks = math.ceil(self.ask.prompt * (1 - self.ask.prefix_hit) / self.ask.batched_tokens)
        work = total(self.steps.prefill(), self.k)
        return max(work, chunks * total(self.steps.decode(1, 1), self.k))

    def steady(self, running: float, by_chance: bool = False) -> Speed:
        """`running` sequences at any time, no wait for a slot: all other requests prefill once per answer.

        Users that wait for each other's prompts bunch up; requests that arrive by chance meet only a queue of
        prompts with one server (M/D/1).
        """
        terms = self.token_terms(running, max(0.0, running - 1))
        tpot, prefill = total(terms, self.k), self.prefill_ms()
        share = min(1.0, running * prefill / (self.ask.answer * tpot + prefill))
        others = max(0.0, running - 1) / 2  # of the others, half are before me if all send at once
        bunched = self.k["ttft.bunching"] * share * others * total(self.steps.prefill(), self.k)
        bunched += self.k["ttft.start"] * others * total(self.steps.prefill(cached=False), self.k)
        if by_chance:
            bunched = min(bunched, share / (2 * max(1e-9, 1 - share)) * prefill)
        ttft = self.k["ttft.base"] + self.k["ttft.per_user"] * (running - 1) + prefill + bunched
        ttft += tpot if running > 1 else 0.0
        e2e = ttft + (self.ask.answer - 1) * tpot
        return Speed(ttft, tpot, e2e, running / e2e * 1e3, running, self.limit, terms)

    def closed(self, users: float) -> Speed:
        """`users` that each wait for their answer; beyond the limit the others queue (Little's law)."""
        base = self.steady(max(1.0, min(users, self.limit)))
        if users < 1:  # less than one request in flight: the same speed, seen less often
            return Speed(base.ttft, base.tpot, base.e2e, base.req_s * users, users, self.limit, base.terms)
        wait = max(0.0, users / base.req_s * 1e3 - base.e2e)
        return Speed(
            base.ttft + wait, base.tpot, base.e2e + wait, base.req_s, base.running, self.limit, base.terms
        )

    def burst(self, users: float) -> Speed:
        """`users` requests at one moment: prompts are taken in turn, so half of the others prefill after
        mine.
        """
        if users > self.limit:
            base = self.steady(self.limit)
            late = users - self.limit
            first = self._burst_ttft(self.limit)
            wait = first + late / users * (late / 2 / base.req_s * 1e3 + base.e2e / 2)
            duration = late / base.req_s * 1e3 + base.e2e
            e2e = wait + (self.ask.answer - 1) * base.tpot
            rate = users / duration * 1e3
            return Speed(wait, base.tpot, e2e, rate, self.limit, self.limit, base.terms)
        terms = self.token_terms(users, max(0.0, (users - 1) / 2))
        tpot, ttft = total(terms, self.k), self._burst_ttft(users)
        e2e = ttft + (self.ask.answer - 1) * tpot
        return Speed(ttft, tpot, e2e, users / e2e * 1e3, users, self.limit, terms)

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
        return Speed(base.ttft + queue, base.tpot, base.e2e + queue, rate, high, limit, base.terms)

    def speed(self) -> Speed:
        """What the question's load sees on one of its replicas."""
        if self.ask.rate is not None:
            return self.arriving(self.ask.rate / self.ask.replicas)
        users = (self.ask.concurrency if self.ask.concurrency is not None else 1.0) / self.ask.replicas
        return self.burst(users) if self.ask.burst else self.closed(users)


def bottleneck(replica: Replica, speed: Speed) -> Bottleneck:
    """What to relieve first: space if requests wait for it, else the largest part of an output token's
    time.
    """
    ask = replica.ask
    if math.isinf(speed.ttft):
        return Bottleneck.RATE
    users = (ask.concurrency or 0.0) / ask.replicas if ask.rate is None else speed.running
    if users > speed.limit or (ask.rate is not None and speed.running > 0.95 * speed.limit):
        return Bottleneck.SLOTS if speed.limit >= ask.slots else Bottleneck.KV_SPACE
    weights = {k: v for k, v in replica.steps.decode(0, 0).items() if k.startswith("bandwidth")}
    parts = {name: replica.k[name] * value for name, value in speed.terms.items()}
    reading = total(weights, replica.k)
    sums = {
        Bottleneck.WEIGHTS: reading,
        Bottleneck.KV_READ: sum(v for k, v in parts.items() if k.startswith("bandwidth")) - reading,
        Bottleneck.DECODE_COMPUTE: parts["compute.decode"],
        Bottleneck.PREFILL: sum(v for k, v in parts.items() if k.startswith("prefill")),
        Bottleneck.OVERHEAD: sum(v for k, v in parts.items() if k.startswith("overhead")),
        Bottleneck.INTERCONNECT: sum(v for k, v in parts.items() if k.startswith("link")),
    }
    return max(sums, key=lambda name: sums[name])
