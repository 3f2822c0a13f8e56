"""How long the gateway waits for an engine, and how long an answer it so covers."""

import math
from collections.abc import Mapping
from dataclasses import replace

from tierup.plan.capacity import sizing_input
from tierup.plan.model import Default, ModelPlan, Plan
from tierup.plan.times import round_up
from tierup.sizing.size import size
from tierup.stack.sections import WorkloadClass

READ_TIMEOUT = "gateway.readTimeoutSeconds"
MOST_SECONDS = 3600  # of the default: a stopping gateway waits as long for its last answers
_MARGIN_SECONDS = 30  # the first token of a long prompt, and what the model of speed does not know


def promised_seconds(classes: Mapping[str, WorkloadClass], slots: int, queue: int) -> int:
    """The longest wait in a full queue and the longest typical answer, at the promised times per token."""
    longest = max(item.answer_seconds for item in classes.values())
    return round_up(longest + _wait_seconds(longest, slots, queue) + _MARGIN_SECONDS, 30)


def _wait_seconds(longest: float, slots: int, queue: int) -> float:
    """The wait of the last request in a full queue, if each before it takes `longest` seconds."""
    return longest * math.ceil(queue / slots)


def with_read_timeout(plan: Plan) -> Plan:
    """The plan with a default timeout that covers an answer as long as the context of each model, up to an hour."""
    index = next((i for i, default in enumerate(plan.defaults) if default.path == READ_TIMEOUT), None)
    if index is None:
        return plan
    before = _before_seconds(plan)
    times = [slowest_token_seconds(plan, model) * model.context + before for model in plan.models]
    needed = max(times)
    model = plan.models[times.index(needed)]
    seconds = max(plan.gateway.read_timeout_seconds, min(MOST_SECONDS, round_up(needed, 30)))
    token = f"{slowest_token_seconds(plan, model) * 1000:.0f} ms"
    why = f"the longest answer, {model.context:,} tokens of {model.name} at {token}, after the longest wait"
    if seconds < needed:
        why = f"an hour at most; {why} takes longer"
    defaults = list(plan.defaults)
    defaults[index] = Default(READ_TIMEOUT, str(seconds), why)
    return replace(
        plan, gateway=replace(plan.gateway, read_timeout_seconds=seconds), defaults=tuple(defaults)
    )


def _before_seconds(plan: Plan) -> float:
    """What may pass before the first token of an answer."""
    slots = max(model.slots * model.replicas for model in plan.models)
    longest = max(item.answer_seconds for item in plan.classes.values())
    return _wait_seconds(longest, slots, plan.gateway.queue_length) + _MARGIN_SECONDS


def slowest_token_seconds(plan: Plan, model: ModelPlan) -> float:
    """The upper end of the predicted time per token with every slot in use, by usual or by full-length requests.

    For a model without a capacity it is the slowest promise.
    """
    usual = model.capacity.full.tpot_ms if model.capacity is not None else None
    if usual is None:
        return max(item.tpot_ms for item in plan.classes.values()) / 1000
    half = model.context // 2
    crowd = float(model.slots * model.replicas)
    long = size(replace(sizing_input(plan, model), prompt=half, answer=half, concurrency=crowd)).tpot_ms
    return max(usual.high, long.high if long is not None else 0.0) / 1000


def covered_tokens(plan: Plan, model: ModelPlan) -> int:
    """Tokens of an answer that comes in one piece within the read timeout; it may be more than the context."""
    if model.spec.serves != "generate":  # an answer without tokens comes as soon as its prompt is computed
        return model.context
    left = plan.gateway.read_timeout_seconds - _before_seconds(plan)
    return max(0, math.floor(left / slowest_token_seconds(plan, model)))
