"""The files of the gateway's processes: Nginx's configuration, the classifier's policy, the reloader's settings."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from tierup.catalog.engine import engine_facts
from tierup.manifests.common import ENGINE_PORT, GATEWAY_PORT, GATEWAY_STATUS_PORT
from tierup.manifests.engines import engine_priority
from tierup.plan.model import KeyPlan, ModelPlan, Plan
from tierup.stack.sections import GeneratePath, size_bytes
from tierup.templates import ROOT, TEMPLATES

CAPPED = "longform"  # the reloader's name for all classes that may hold a part of the slots only
# Patient: an engine that is only slow under a burst must not lose its part of it to the others.
PROBE = {"timeout_seconds": 3, "failures": 3, "stalled_seconds": 30}
_PROGRAMS = ("gateway-run.sh", "reloader.py", "reloader_rules.py")
LARGE_BODIES = 4  # at once, per gateway: each may take its size several times over while it is parsed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway runs: the pod unless said otherwise.

    `listen` and `status_listen` are parameters of Nginx's directive; `modern`: Nginx 1.25.1 or later, where HTTP/2 is
    a directive of its own; `engines` and `gateways`: where the reloader finds addresses (`dns:HOST:PORT`, `file:PATH`).
    """

    files: str = "/etc/gateway"
    scratch: str = "/tmp/gateway"
    keys: str = "/etc/gateway-keys"
    certificate: str = "/etc/gateway-tls"
    listen: str = str(GATEWAY_PORT)
    status_listen: str = str(GATEWAY_STATUS_PORT)
    access_log: str = "/dev/stdout"
    error_log: str = "/dev/stderr"
    js_module: str = "modules/ngx_http_js_module.so"
    modern: bool = True
    engines: Mapping[str, str] | None = None
    gateways: str | None = None


POD = Place()


def files(plan: Plan, place: Place = POD) -> dict[str, str]:
    """Text by file name; all of them stand in one folder."""
    return {
        "nginx.conf": nginx_conf(plan, place),
        "gateway.json": json.dumps(orders(plan, place), indent=1) + "\n",
        **scripts(plan),
        **{name: _template(name) for name in _PROGRAMS},
    }


def scripts(plan: Plan) -> dict[str, str]:
    """What njs runs, by file name."""
    return {
        "classify.js": _template("classify.js"),
        "policy.json": json.dumps(policy(plan), indent=1) + "\n",
    }


def _template(name: str) -> str:
    return (ROOT / "templates" / name).read_text(encoding="utf-8")


def nginx_conf(plan: Plan, place: Place = POD) -> str:
    """nginx.conf with the reloader's markers in it."""
    places = sum(model.slots * model.max_replicas + plan.gateway.queue_length for model in plan.models)
    return TEMPLATES.get_template("nginx.conf.j2").render(
        gateway=plan.gateway,
        models=[_waits(plan, model) for model in plan.models],
        classes=plan.gateway.classes,
        paths=[str(path) for path in GeneratePath],
        keys=[_bounds(key, plan.gateway.replicas) for key in plan.gateway.keys],
        group=CAPPED,
        small_body=at_most(size_bytes(plan.gateway.client_body_buffer_size)),
        large_bodies=LARGE_BODIES,
        retry_after=min(retry_after_seconds(plan, model) for model in plan.models),
        # Two per request in flight and as many for idle clients, all on one worker at worst.
        worker_connections=max(4096, 4 * places),
        listen=place.listen,
        status_listen=place.status_listen,
        scratch=place.scratch,
        access_log=place.access_log,
        error_log=place.error_log,
        js_path=place.files,
        js_module=place.js_module,
        modern=place.modern,
        certificate=place.certificate,
    )


def _waits(plan: Plan, model: ModelPlan) -> dict[str, Any]:
    """A model and when whom it refuses may come back, seconds."""
    return {
        "slug": model.slug,
        "retry_after": retry_after_seconds(plan, model),
        "retry_after_capped": retry_after_capped(plan, model),
    }


def _bounds(key: KeyPlan, gateways: int) -> dict[str, Any]:
    """What one gateway allows a caller; Nginx's rates are whole numbers, so they are told per minute."""
    rate = key.requests_per_second
    return {
        "name": key.name,
        "slug": key.slug,
        "in_flight": None if key.in_flight is None else math.ceil(key.in_flight / gateways),
        "per_minute": None if rate is None else max(1, round(rate * 60 / gateways)),
        "burst": None if rate is None else max(1, math.ceil(rate)),
    }


def policy(plan: Plan) -> dict[str, Any]:
    """What classify.js decides by."""
    gateway, names = plan.gateway, plan.model_names
    keys = {
        key.name: {"classes": list(key.classes), "setsPriority": key.sets_priority} for key in gateway.keys
    }
    return {
        "paths": [str(path) for path in GeneratePath],
        "listed": ", ".join([*names, *gateway.aliases]),
        "onlyModel": names[0] if len(names) == 1 else None,
        # Without keys every caller has the empty name.
        "keys": keys if keys else {"": {"classes": list(plan.classes), "setsPriority": False}},
        "classes": [
            {
                "name": rule.name,
                "match": rule.match.model_dump(mode="json", by_alias=True, exclude_none=True),
                "rank": plan.classes[rule.name].priority,
            }
            for rule in gateway.classes
        ],
        "usualTokens": plan.classes[gateway.classes[-1].name].answer_tokens,
        "models": {model.name: _target(plan, model) for model in plan.models},
        "aliases": {name: _alias(plan, name) for name in gateway.aliases},
    }


def _target(plan: Plan, model: ModelPlan) -> dict[str, Any]:
    stamps = {name: engine_priority(model.engine, item.priority) for name, item in plan.classes.items()}
    return {
        "slug": model.slug,
        "priorities": None if None in stamps.values() else stamps,
    }


def _alias(plan: Plan, name: str) -> dict[str, Any]:
    alias = plan.gateway.aliases[name]
    if alias.classes is not None:
        first = plan.models[0].name
        return {"classes": {item: alias.classes.get(item, first) for item in plan.classes}}
    weights = alias.weights if alias.weights is not None else {}
    sums = accumulate(weights.values())
    return {"weights": [{"model": model, "upTo": end} for model, end in zip(weights, sums, strict=True)]}


def orders(plan: Plan, place: Place = POD) -> dict[str, Any]:
    """gateway.json: what the reloader watches and how many slots an engine has."""
    inside = f"{plan.namespace}.svc.cluster.local"
    return {
        "template": f"{place.files}/nginx.conf",
        "folder": place.scratch,
        "keys": place.keys if plan.gateway.keys else None,
        "certificate": f"{place.certificate}/tls.crt" if plan.gateway.tls else None,
        "interval_seconds": 1.0,
        "models": [
            {
                "slug": model.slug,
                "source": place.engines[model.slug]
                if place.engines is not None
                else f"dns:model-{model.slug}.{inside}:{ENGINE_PORT}",
                "slots": model.slots,
                "queue": plan.gateway.queue_length,
                "caps": {CAPPED: plan.gateway.longform_cap},
                **_progress(model),
            }
            for model in plan.models
        ],
        "gateways": {
            "source": place.gateways
            if place.gateways is not None
            else f"dns:gateway-peers.{inside}:{GATEWAY_STATUS_PORT}",
            "count": plan.gateway.replicas,
        },
        "probe": PROBE,
    }


def _progress(model: ModelPlan) -> dict[str, Any]:
    """The metrics by which the reloader sees that an engine stalls; none where the engine has none."""
    metrics = engine_facts(model.engine).metrics
    running = metrics.running.value
    return {
        "metrics": None if running is None else metrics.path.value,
        "running": running,
        "progress": list(metrics.progress.value),
    }


def retry_after_seconds(plan: Plan, model: ModelPlan) -> int:
    """When a refused client may try again, at least one second: the full queue over the rate it is served at.

    The rate is the sizing model's for full slots; where it has none, that of the promised pace.
    """
    known = model.capacity
    if known is not None and known.full.req_s is not None:
        rate = known.full.req_s.p50
    else:
        mean = sum(item.share * item.answer_seconds for item in plan.classes.values())
        rate = model.slots * model.replicas / mean
    return max(1, math.ceil(plan.gateway.queue_length / rate))


def retry_after_capped(plan: Plan, model: ModelPlan) -> int:
    """The same for capped classes, which have no queue: their longest answer at the promised pace, over their slots."""
    capped = [plan.classes[rule.name] for rule in plan.gateway.classes if rule.capped]
    longest = max((item.answer_seconds for item in capped), default=1.0)
    return max(1, math.ceil(longest / max(1, int(plan.gateway.longform_cap * model.slots * model.replicas))))


def at_most(number: int) -> str:
    """A regular expression for the decimal numbers from 0 to `number`: Nginx compares text only."""
    digits = str(number)
    ways = [f"[0-9]{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    for index, digit in enumerate(digits):
        if digit != "0":
            rest = len(digits) - index - 1
            ways.append(f"{digits[:index]}[0-{int(digit) - 1}]" + (f"[0-9]{{{rest}}}" if rest else ""))
    return f"^(?:{'|'.join([*ways, digits])})$"
