"""How requests share one replica: how many run, how many wait, and the latency of each.

There are three kinds of load. Closed: N users, each sends the next request after the answer. Burst: N requests at
the same moment and none after. Rate: requests arrive at random at a mean rate. Running sequences are bounded by
max_num_seqs and by the KV cache. A running sequence holds its prompt and on average half of its answer there.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

from tierup.sizing.coefficients import Coefficients
from tierup.sizing.memory import GIB, Memory, sequence_bytes
from tierup.sizing.step import Steps, Terms, add, scale, total
from tierup.sizing.types import SizingInput

ROUNDS = 60  # bisection steps of the running sequences at an arrival rate
# Four of five published throughputs are within this share of the prediction; near capacity this decides the wait.
_THROUGHPUT_ERROR = 0.2


@dataclass(frozen=True)
class Speed:
    """Speed of one replica in milliseconds and requests per second; `terms` are the parts of an output token's time.

    `ttft` and `e2e` are infinite where requests arrive faster than they are answered. `uncertainty` is what the
    load pattern adds to the error of the time to the first token, as a natural logarithm.
    """

    ttft: float
    tpot: float
    e2e: float
    req_s: float
    running: float
    limit: float
    terms: Terms
    uncertainty: float = 0.0


@dataclass(frozen=True)
class Replica:
    """One replica of a sizing input, with its memory and the coefficients of the model.

    What no number of requests changes is computed once: a search for the most users asks for it hundreds of times.
    """

    inputs: SizingInput
    memory: Memory
    coefficients: Coefficients

    @cached_property
    def steps(self) -> Steps:
        return Steps(self.inputs)

    @property
    def mean_kv_tokens(self) -> float:
        """KV tokens that a running sequence holds on average."""
        return self.inputs.prompt + self.inputs.answer / 2 + self.inputs.draft_tokens

    @cached_property
    def kv_limit(self) -> float:
        """Sequences that fit in the KV cache."""
        if self.inputs.model.uniform:
            return self.memory.kv_tokens / self.mean_kv_tokens
        return self.memory.kv * GIB / sequence_bytes(self.inputs, self.mean_kv_tokens)

    @property
    def prefill_limit(self) -> float:
        """The most sequences that decode at once: the token budget of a step must hold one token of each, and the
        prompts that replace finished sequences.
        """
        new = self.inputs.prompt * (1 - self.inputs.prefix_hit)
        return self.inputs.batched_tokens / (1 + new / self.inputs.answer)

    @property
    def admission_limit(self) -> float:
        """The most sequences that the engine admits at once."""
        return max(1.0, min(float(self.inputs.slots), self.kv_limit))

    @cached_property
    def limit(self) -> float:
        """The most sequences that run at once in a steady state."""
        return max(1.0, min(self.admission_limit, self.prefill_limit))

    def token_terms(self, running: float, others: float, demand: float = 0.0) -> Terms:
        """The parts of an output token's time while `others` prompts are prefilled during one answer.

        `demand` is the number of sequences that run or want to run.
        """
        decode = self.steps.decode(running, self.mean_kv_tokens)
        prefill = self._prefill
        if preemptions := self._preemptions(demand):
            uncached = Steps(replace(self.inputs, prefix_hit=0.0)).prefill()
            prefill = add(prefill, scale(uncached, preemptions * self.mean_kv_tokens / self.inputs.prompt))
        return add(decode, scale(prefill, others / self.inputs.answer))

    def _preemptions(self, demand: float) -> float:
        """Preemptions per answer. Prompts are admitted as long as they fit. When the growing answers need more
        space than there is, the engine preempts a part of the sequences, which start again.
        """
        wanted = min(demand, float(self.inputs.slots)) / max(1.0, self.kv_limit)
        crowded = min(1.0, max(0.0, 4 * (wanted - 1)))
        return crowded * min(1.0, self.inputs.answer / 2 / self.inputs.prompt)

    @cached_property
    def _prefill(self) -> Terms:
        return self.steps.prefill()

    @cached_property
    def _prefill_work(self) -> float:
        """Milliseconds of the matrix work of a prompt."""
        return total(self._prefill, self.coefficients)

    @cached_property
    def prefill_ms(self) -> float:
        """Milliseconds of a prompt alone: its matrix work, or one read of the weights per chunk if longer."""
        return max(self._prefill_work, self._chunks * total(self.steps.decode(1, 1), self.coefficients))

    @property
    def _chunks(self) -> int:
        return max(
            1, math.ceil(self.inputs.prompt * (1 - self.inputs.prefix_hit) / self.inputs.batched_tokens)
        )

    def steady(self, running: float, demand: float = 0.0, by_chance: bool = False) -> Speed:
        """Speed with `running` sequences at any time and no wait for a slot: each is prefilled once per answer.

        A request that arrives alone waits for half of the current step, then shares its own steps with the decoding
        of the others. In a closed loop, users whose answers end together also send together, and the first token
        is as late as in a burst. Published runs lie in between: the result is a weighted geometric mean. Requests
        that arrive at random (`by_chance`) wait only in a queue of prompts with one server (M/D/1).
        """
        terms = self.token_terms(running, max(0.0, running - 1), demand)
        tpot, prefill = total(terms, self.coefficients), self.prefill_ms
        busy = 1 - 1 / max(1.0, running)
        step = total(self.steps.decode(running, self.mean_kv_tokens), self.coefficients)
        alone = self.coefficients["ttft.base"] + self.coefficients["ttft.per_user"] * (running - 1) + prefill
        alone += busy * (tpot / 2 + self._chunks * step)
        work = self._prefill_work
        share = min(0.99, running * work / (self.inputs.answer * tpot + work))
        bunched = min(1.0, self.coefficients["ttft.bunching"] * share)
        uncertainty = bunched * math.log(max(1.0, self._burst_ttft(running) / alone))
        ttft = alone * math.exp(uncertainty)
        if by_chance:
            ttft, uncertainty = min(ttft, alone + share / (2 * (1 - share)) * prefill), 0.0
        e2e = ttft + (self.inputs.answer - 1) * tpot
        return Speed(ttft, tpot, e2e, running / e2e * 1e3, running, self.limit, terms, uncertainty)

    def closed(self, users: float) -> Speed:
        """Speed for `users` that each wait for their answer; those above the limit queue (Little's law)."""
        base = self.steady(max(1.0, min(users, self.limit)), users)
        if users < 1:  # less than one request in flight: the same speed, fewer requests
            return replace(base, req_s=base.req_s * users, running=users)
        wait = max(0.0, users / base.req_s * 1e3 - base.e2e)
        crowded = min(1.0, max(0.0, 5 * users / self.limit - 4)) if self.limit < self.inputs.slots else 0.0
        uncertainty = base.uncertainty + crowded * math.log1p(
            _THROUGHPUT_ERROR * (base.e2e + wait) / (base.ttft + wait)
        )
        return replace(base, ttft=base.ttft + wait, e2e=base.e2e + wait, uncertainty=uncertainty)

    def burst(self, users: float) -> Speed:
        """Speed for `users` requests at the same moment: prompts are prefilled in turn, so on average half of the
        others come later.
        """
        if users > self.admission_limit:
            base = self.steady(self.admission_limit, users)
            late = users - self.admission_limit
            first = self._burst_ttft(self.admission_limit)
            wait = first + late / users * (late / 2 / base.req_s * 1e3 + base.e2e / 2)
            duration = late / base.req_s * 1e3 + base.e2e
            e2e = wait + (self.inputs.answer - 1) * base.tpot
            uncertainty = (
                math.log1p(_THROUGHPUT_ERROR * e2e / wait)
                if self.admission_limit < self.inputs.slots
                else 0.0
            )
            rate = users / duration * 1e3
            return replace(
                base, ttft=wait, e2e=e2e, req_s=rate, limit=self.admission_limit, uncertainty=uncertainty
            )
        terms = self.token_terms(users, max(0.0, (users - 1) / 2))
        tpot, ttft = total(terms, self.coefficients), self._burst_ttft(users)
        e2e = ttft + (self.inputs.answer - 1) * tpot
        return Speed(ttft, tpot, e2e, users / e2e * 1e3, users, self.admission_limit, terms)

    def _burst_ttft(self, users: float) -> float:
        """Milliseconds to the first token in a burst: prompts in turn, as many in a step as its token budget
        holds. Each step also decodes the sequences that have started.
        """
        together = max(
            1.0, self.inputs.batched_tokens / max(1.0, self.inputs.prompt * (1 - self.inputs.prefix_hit))
        )
        turns = (users + min(users, together)) / 2
        work = self._prefill_work
        if users > 1:
            work += total(self.steps.decode(users / 2, self.inputs.prompt), self.coefficients) / together
        base = self.coefficients["ttft.base"] + self.coefficients["ttft.per_user"] * (users - 1)
        return base + max(self.prefill_ms, turns * work)

    def arriving(self, rate: float) -> Speed:
        """Speed for `rate` requests per second at random; the wait for a slot is that of a queue with as many
        servers as slots.
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
        uncertainty = -_THROUGHPUT_ERROR * math.log(1 - used)
        return replace(
            base,
            ttft=base.ttft + queue,
            e2e=base.e2e + queue,
            req_s=rate,
            running=high,
            uncertainty=uncertainty,
        )

    def speed(self) -> Speed:
        """Speed of one replica under its part of the load."""
        if self.inputs.rate is not None:
            return self.arriving(self.inputs.rate / self.inputs.replicas)
        users = (
            self.inputs.concurrency if self.inputs.concurrency is not None else 1.0
        ) / self.inputs.replicas
        return self.burst(users) if self.inputs.burst else self.closed(users)
