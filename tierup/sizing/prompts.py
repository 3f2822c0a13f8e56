"""How fast a replica is whose model writes no tokens: each request is one prompt, whose vector or score is the answer.

Prompts that arrive together share the engine's steps. A step computes as many of them as its budget of tokens holds,
and takes at least one read of the weights.
"""

import math

from tierup.sizing.load import Replica, Speed
from tierup.sizing.step import total


def speed(replica: Replica) -> Speed:
    """Speed of one replica under its part of the load; the time to the first token is that of the whole answer."""
    inputs = replica.inputs
    if inputs.rate is not None:
        return _arriving(replica, inputs.rate / inputs.replicas)
    users = (inputs.concurrency if inputs.concurrency is not None else 1.0) / inputs.replicas
    each, alone = _each_ms(replica), _alone_ms(replica)
    if inputs.burst:
        together = min(users, _together(replica))
        mean = alone + max(0.0, (users + together) / 2 - 1) * each
        return _speed(replica, mean, users / (alone + max(0.0, users - 1) * each) * 1e3, users)
    answered = max(alone, max(1.0, users) * each)
    return _speed(replica, answered, users / answered * 1e3, users)


def _together(replica: Replica) -> float:
    """Prompts that one step computes: as many as fit its tokens, the engine's slots and the cache."""
    inputs = replica.inputs
    new = max(1.0, inputs.prompt * (1 - inputs.prefix_hit))
    return max(1.0, min(inputs.batched_tokens / new, replica.admission_limit))


def _each_ms(replica: Replica) -> float:
    """Milliseconds of a prompt's part of full steps."""
    work = total(replica.steps.prefill(), replica.coefficients)
    read = total(replica.steps.decode(1, 1), replica.coefficients)
    return max(work, read / _together(replica))


def _alone_ms(replica: Replica) -> float:
    return replica.coefficients["ttft.base"] + replica.prefill_ms


def _arriving(replica: Replica, rate: float) -> Speed:
    """Requests at random wait in a queue with one server and equal work (M/D/1)."""
    each = _each_ms(replica)
    used = rate * each / 1e3
    if used >= 1:
        return _speed(replica, math.inf, 1e3 / each, _together(replica))
    answered = _alone_ms(replica) + used / (2 * (1 - used)) * each
    return _speed(replica, answered, rate, rate * answered / 1e3)


def _speed(replica: Replica, answered: float, per_second: float, running: float) -> Speed:
    return Speed(
        ttft=answered,
        tpot=0.0,
        e2e=answered,
        req_s=per_second,
        running=running,
        limit=replica.admission_limit,
        terms=replica.steps.prefill(),
    )
