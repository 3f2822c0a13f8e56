"""Decides what limits the next user: what requests wait for, or else what an output token's time goes to."""

import math

from tierup.sizing.load import Replica, Speed
from tierup.sizing.step import total
from tierup.sizing.types import Bottleneck


def bottleneck(replica: Replica, speed: Speed) -> Bottleneck:
    """What to relieve first: space if requests wait for it, else the largest part of an output token's
    time.
    """
    ask = replica.ask
    if math.isinf(speed.ttft):
        return Bottleneck.RATE
    users = (ask.concurrency or 0.0) / ask.replicas if ask.rate is None else speed.running
    if users > speed.limit or (ask.rate is not None and speed.running > 0.95 * speed.limit):
        if speed.limit >= ask.slots:
            return Bottleneck.SLOTS
        return Bottleneck.KV_SPACE if speed.limit >= replica.room else Bottleneck.PREFILL
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
