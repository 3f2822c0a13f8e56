"""The bottleneck of a replica: what requests wait for or, if none waits, what takes most of an output token's time."""

import math

from tierup.sizing.load import Replica, Speed
from tierup.sizing.step import total
from tierup.sizing.types import Bottleneck


def bottleneck(replica: Replica, speed: Speed) -> Bottleneck:
    """What to relieve first: the limit that requests wait for, else the largest part of an output token's
    time.
    """
    inputs = replica.inputs
    if math.isinf(speed.ttft):
        return Bottleneck.RATE
    if not inputs.model.writes:
        return Bottleneck.PREFILL
    users = (inputs.concurrency or 0.0) / inputs.replicas if inputs.rate is None else speed.running
    if users > speed.limit or (inputs.rate is not None and speed.running > 0.95 * speed.limit):
        if speed.limit >= inputs.slots:
            return Bottleneck.SLOTS
        return Bottleneck.KV_SPACE if speed.limit >= replica.admission_limit else Bottleneck.PREFILL
    step = replica.steps.decode(speed.running, 0)  # a mixture reads the experts of every running sequence
    weights = {k: v for k, v in step.items() if k.startswith("bandwidth")}
    parts = {name: replica.coefficients[name] * value for name, value in speed.terms.items()}
    reading = total(weights, replica.coefficients)
    sums = {
        Bottleneck.WEIGHTS: reading,
        Bottleneck.KV_READ: sum(v for k, v in parts.items() if k.startswith("bandwidth")) - reading,
        Bottleneck.DECODE_COMPUTE: parts["compute.decode"],
        Bottleneck.PREFILL: sum(v for k, v in parts.items() if k.startswith("prefill")),
        Bottleneck.OVERHEAD: sum(v for k, v in parts.items() if k.startswith("overhead")),
        Bottleneck.INTERCONNECT: sum(v for k, v in parts.items() if k.startswith("link")),
    }
    return max(sums, key=lambda name: sums[name])
