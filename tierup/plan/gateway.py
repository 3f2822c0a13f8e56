"""The values that the stack file leaves open about the gateway: bounds, timeouts, callers, rules for classes."""

import math
from collections.abc import Mapping
from itertools import pairwise

from tierup.plan.chooser import Chooser
from tierup.plan.model import ClassRule, GatewayPlan, KeyPlan, ModelPlan
from tierup.plan.models import round_up
from tierup.stack.sections import NEUTRAL_PRIORITY, ApiKey, ClassMatch, Gateway, ServiceType, WorkloadClass


def resolve_gateway(
    said: Gateway, models: tuple[ModelPlan, ...], classes: Mapping[str, WorkloadClass], choose: Chooser
) -> GatewayPlan:
    """The gateway of models and classes that are decided already."""
    slots = max(model.slots * model.replicas for model in models)
    longest = max(item.answer_seconds for item in classes.values())
    queue = choose.pick(
        "gateway.queueLength", said.queue_length, slots, "as many may wait as are served: one more turn"
    )
    turns = math.ceil((slots + queue) / slots)
    pick, guide = choose.pick, "the hardware guide"
    service_type = pick(
        "gateway.serviceType", said.service_type, ServiceType.CLUSTER_IP, "nothing is exposed unasked"
    )
    if said.source_ranges is None:
        choose.note(
            "gateway.sourceRanges", "none", "only a load balancer has them, and then it must name them"
        )
    if said.aliases is None:
        choose.note("gateway.aliases", "none", "clients name the models themselves")
    return GatewayPlan(
        replicas=pick("gateway.replicas", said.replicas, 2, "one may fail or be replaced"),
        keepalive_timeout_seconds=pick(
            "gateway.keepaliveTimeoutSeconds", said.keepalive_timeout_seconds, 60, guide
        ),
        client_body_buffer_size=pick(
            "gateway.clientBodyBufferSize", said.client_body_buffer_size, "128k", guide
        ),
        max_body_size=pick(
            "gateway.maxBodySize",
            said.max_body_size,
            "2m",
            "many times a long prompt; larger ones would stop other streams while they are parsed",
        ),
        queue_length=queue,
        longform_cap=pick(
            "gateway.longformCap", said.longform_cap, 0.5, "half of the slots stay free for chat"
        ),
        read_timeout_seconds=round_up(longest * turns + 30, 30),
        service_type=service_type,
        source_ranges=tuple(said.source_ranges) if said.source_ranges is not None else (),
        classes=_classes(classes, choose),
        keys=_keys(said.keys, tuple(classes), slots + queue, choose),
        aliases=dict(said.aliases) if said.aliases is not None else {},
        tls=pick("gateway.tls", said.tls, False, "inside the cluster, or TLS ends at an ingress before it"),
    )


def _classes(classes: Mapping[str, WorkloadClass], choose: Chooser) -> tuple[ClassRule, ...]:
    """Rules in the order they are tried: those said, then by tokens asked for, most first; the last takes the rest.

    Between two classes of different answers the border is the geometric mean: as far from one as from the other.
    """
    said = [name for name, item in classes.items() if item.match is not None]
    others = sorted(
        (name for name in classes if name not in said), key=lambda name: classes[name].answer_tokens
    )
    if not others:  # whatever no rule fits goes last
        others = [min(said, key=lambda name: classes[name].priority)]
    borders = {
        name: math.ceil(math.sqrt(classes[less].answer_tokens * classes[name].answer_tokens))
        for less, name in pairwise(others)
    }
    for name, border in borders.items():
        choose.note(
            f"workload.classes.{name}.match",
            f"maxTokensFrom {border}",
            "midway (by factor) to the next smaller answer",
        )
    rules = [(name, item.match) for name, item in classes.items() if item.match is not None]
    rules += [
        (name, ClassMatch.model_construct(max_tokens_from=borders[name]))
        for name in reversed(others)
        if name in borders
    ]
    rules.append((others[0], ClassMatch()))
    capped = {name for name, item in classes.items() if item.priority < NEUTRAL_PRIORITY}
    if len(capped) == len(classes):
        capped = set()  # nobody is there for whom the rest of the slots would stay free
    return tuple(ClassRule(name, match, name in capped) for name, match in rules)


def _keys(
    said: Mapping[str, ApiKey] | None, classes: tuple[str, ...], places: int, choose: Chooser
) -> tuple[KeyPlan, ...]:
    if said is None:
        choose.note(
            "gateway.keys", "none", "whoever reaches the gateway may use it; name callers to tell them apart"
        )
        return ()
    keys = []
    for name, key in said.items():
        at, in_flight = f"gateway.keys.{name}", key.in_flight
        if in_flight is None and len(said) > 1:
            in_flight = math.ceil(places / 2)
            choose.note(
                f"{at}.inFlight", str(in_flight), "half of all places: one caller leaves room for the rest"
            )
        keys.append(
            KeyPlan(
                name=name,
                classes=tuple(key.classes) if key.classes is not None else classes,
                in_flight=in_flight,
                requests_per_second=key.requests_per_second,
                sets_priority=choose.pick(
                    f"{at}.setsPriority", key.sets_priority, False, "the class decides who goes first"
                ),
            )
        )
    return tuple(keys)
