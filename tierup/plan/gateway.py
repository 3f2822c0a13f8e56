"""Resolves the gateway section: bounds, timeouts, callers, and the rules that assign a request to a class."""

import math
from collections.abc import Mapping
from itertools import pairwise

from tierup.plan.balance import resolve_balance
from tierup.plan.chooser import Chooser
from tierup.plan.exposure import (
    node_port,
    resolve_http_route,
    resolve_ingress,
    resolve_tls,
    service_annotations,
)
from tierup.plan.model import ClassRule, GatewayPlan, KeyPlan, ModelPlan
from tierup.plan.read_timeout import READ_TIMEOUT, promised_seconds
from tierup.stack.sections import NEUTRAL_PRIORITY, ApiKey, ClassMatch, Gateway, ServiceType, WorkloadClass


def resolve_gateway(
    section: Gateway,
    models: tuple[ModelPlan, ...],
    classes: Mapping[str, WorkloadClass],
    namespace: str,
    choose: Chooser,
) -> GatewayPlan:
    """The gateway for models and classes that are already resolved, in the stack's namespace."""
    slots = max(model.slots * model.replicas for model in models)
    queue = choose.pick(
        "gateway.queueLength", section.queue_length, slots, "as many requests may wait as there are slots"
    )
    pick, guide = choose.pick, "the hardware guide"
    service_type = pick(
        "gateway.serviceType",
        section.service_type,
        ServiceType.CLUSTER_IP,
        "not exposed outside the cluster by default",
    )
    if section.source_ranges is None:
        choose.note("gateway.sourceRanges", "none", "only a load balancer uses them, and it requires them")
    if section.namespaces is None:
        choose.note(
            "gateway.namespaces",
            "all",
            "every pod of the cluster may call; name the callers' to refuse others",
        )
    if section.allowed_origins is None:
        choose.note(
            "gateway.allowedOrigins", "none", "no page of a browser may call; name those of web clients"
        )
    if section.aliases is None:
        choose.note("gateway.aliases", "none", "clients use the models' own names")
    tls = resolve_tls(section, namespace, choose)
    return GatewayPlan(
        replicas=pick(
            "gateway.replicas", section.replicas, 2, "one may fail or be replaced while the other serves"
        ),
        keepalive_timeout_seconds=pick(
            "gateway.keepaliveTimeoutSeconds", section.keepalive_timeout_seconds, 60, guide
        ),
        client_body_buffer_size=pick(
            "gateway.clientBodyBufferSize", section.client_body_buffer_size, "128k", guide
        ),
        max_body_size=pick(
            "gateway.maxBodySize",
            section.max_body_size,
            "2m",
            "many times a long prompt; parsing a larger body would pause other streams",
        ),
        queue_length=queue,
        longform_cap=pick(
            "gateway.longformCap", section.longform_cap, 0.5, "half of the slots stay free for chat"
        ),
        read_timeout_seconds=pick(
            READ_TIMEOUT,
            section.read_timeout_seconds,
            promised_seconds(classes, slots, queue),
            "the longest wait and the longest answer at the promised times",
        ),
        service_type=service_type,
        source_ranges=tuple(section.source_ranges) if section.source_ranges is not None else (),
        namespaces=tuple(dict.fromkeys(section.namespaces)) if section.namespaces is not None else (),
        allowed_origins=tuple(dict.fromkeys(section.allowed_origins))
        if section.allowed_origins is not None
        else (),
        classes=_classes(classes, choose),
        keys=_keys(section.keys, tuple(classes), slots + queue, choose),
        aliases=dict(section.aliases) if section.aliases is not None else {},
        tls=tls.at_gateway,
        certificate=tls.certificate,
        balance=resolve_balance(section, choose),
        node_port=node_port(section.node_port, service_type, choose),
        service_annotations=service_annotations(section.service_annotations, choose),
        ingress=resolve_ingress(section.ingress, tls.certificate, choose),
        http_route=resolve_http_route(section.http_route, namespace, choose),
        meter_tokens=pick(
            "gateway.meterTokens", section.meter_tokens, False, "counting tokens reads every answer"
        ),
    )


def _classes(classes: Mapping[str, WorkloadClass], choose: Chooser) -> tuple[ClassRule, ...]:
    """Rules in the order in which they are tried; the last one matches every request.

    Rules of the stack file come first, then one rule per other class by requested tokens, largest first. The border
    between two classes is the geometric mean of their answer lengths.
    """
    explicit = [name for name, item in classes.items() if item.match is not None]
    others = sorted(
        (name for name in classes if name not in explicit), key=lambda name: classes[name].answer_tokens
    )
    if not others:  # requests that match no rule go to the least urgent class
        others = [min(explicit, key=lambda name: classes[name].priority)]
    borders = {
        name: math.ceil(math.sqrt(classes[less].answer_tokens * classes[name].answer_tokens))
        for less, name in pairwise(others)
    }
    for less, name in pairwise(others):
        why = "the geometric mean of this and the next smaller answer"
        limit = f"a request of {less} that names no limit may have {borders[name] - 1} tokens"
        choose.note(f"workload.classes.{name}.match", f"maxTokensFrom {borders[name]}", f"{why}; {limit}")
    rules = [(name, item.match) for name, item in classes.items() if item.match is not None]
    rules += [
        (name, ClassMatch.model_construct(max_tokens_from=borders[name]))
        for name in reversed(others)
        if name in borders
    ]
    rules.append((others[0], ClassMatch()))
    capped = {name for name, item in classes.items() if item.priority < NEUTRAL_PRIORITY}
    if len(capped) == len(classes):
        capped = set()  # no class is left that could use the other slots
    return tuple(ClassRule(name, match, name in capped) for name, match in rules)


def _keys(
    section: Mapping[str, ApiKey] | None, classes: tuple[str, ...], places: int, choose: Chooser
) -> tuple[KeyPlan, ...]:
    if section is None:
        choose.note(
            "gateway.keys",
            "none",
            "anyone who reaches the gateway may use it; declare callers to tell them apart",
        )
        return ()
    keys = []
    for name, key in section.items():
        at, in_flight = f"gateway.keys.{name}", key.in_flight
        if in_flight is None and len(section) > 1:
            in_flight = math.ceil(places / 2)
            choose.note(
                f"{at}.inFlight",
                str(in_flight),
                "half of all slots and queue places, so that one caller leaves room for the others",
            )
        keys.append(
            KeyPlan(
                name=name,
                classes=tuple(key.classes) if key.classes is not None else classes,
                in_flight=in_flight,
                requests_per_second=key.requests_per_second,
                sets_priority=choose.pick(
                    f"{at}.setsPriority", key.sets_priority, False, "the class sets the priority"
                ),
                tokens_per_minute=key.tokens_per_minute,
                tokens_per_day=key.tokens_per_day,
            )
        )
    return tuple(keys)
