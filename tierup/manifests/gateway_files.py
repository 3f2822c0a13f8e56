"""The files of the gateway's processes: Nginx's configuration, the classifier's policy, the reloader's settings."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from tierup.catalog.engine import engine_facts
from tierup.manifests.common import ENGINE_PORT, GATEWAY_PORT, GATEWAY_STATUS_PORT
from tierup.manifests.engines import engine_priority
from tierup.plan.apis import APIS, MULTIPLES, Api, Usage, open_paths, paths_of
from tierup.plan.balance import balanced, bound_of
from tierup.plan.model import KeyPlan, ModelPlan, Plan
from tierup.plan.read_timeout import covered_tokens
from tierup.stack.sections import GeneratePath, size_bytes
from tierup.templates import ROOT, TEMPLATES

CAPPED = "longform"  # the reloader's name for all classes that may use only a share of the slots
# Tolerant: an engine that is only slow during a burst must stay in the load balancing.
PROBE = {"timeout_seconds": 3, "failures": 3, "stalled_seconds": 30}
_PROGRAMS = ("gateway-run.sh", "reloader.py", "reloader_rules.py")
_BUDGETS = "reloader_budgets.py"
LARGE_BODIES = 4  # at once, per gateway: parsing a body may take several times its size in memory


@dataclass(frozen=True, slots=True)
class Environment:
    """The paths, ports and address sources of a gateway; the defaults are those of its pod.

    `listen` and `status_listen` are parameters of Nginx's directive. `http2_directive`: it is Nginx 1.25.1 or
    later, which has the directive `http2`. `shared_memory`: its njs is 0.8 or later, whose requests can share numbers;
    without it, prefix balancing knows no requests in flight. `engines` (by model slug) and `gateways` are sources of
    addresses for the reloader, `dns:HOST:PORT` or `file:PATH`; None means the cluster's DNS.
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
    http2_directive: bool = True
    shared_memory: bool = True
    engines: Mapping[str, str] | None = None
    gateways: str | None = None


POD = Environment()


def files(plan: Plan, environment: Environment = POD) -> dict[str, str]:
    """The text of each file by its name; all files are in one folder."""
    return {
        "nginx.conf": nginx_conf(plan, environment),
        "gateway.json": json.dumps(reloader_config(plan, environment), indent=1) + "\n",
        **scripts(plan),
        **{name: _template(name) for name in _PROGRAMS},
        **({_BUDGETS: _template(_BUDGETS)} if plan.gateway.budgets else {}),
    }


def scripts(plan: Plan) -> dict[str, str]:
    """The scripts that njs runs and their policy, by file name."""
    used = {
        "classify.js": True,
        "balance.js": balanced(plan),
        "meter.js": plan.gateway.meter_tokens,
        "balance_meter.js": balanced(plan) and plan.gateway.meter_tokens,
    }
    texts = {name: _template(name) for name, needed in used.items() if needed}
    return {**texts, "policy.json": json.dumps(policy(plan), indent=1) + "\n"}


def _template(name: str) -> str:
    return (ROOT / "templates" / name).read_text(encoding="utf-8")


def nginx_conf(plan: Plan, environment: Environment = POD) -> str:
    """nginx.conf with the reloader's markers in it."""
    max_requests = sum(model.slots * model.max_replicas + plan.gateway.queue_length for model in plan.models)
    return TEMPLATES.get_template("nginx.conf.j2").render(
        gateway=plan.gateway,
        models=[_model(plan, model) for model in plan.models],
        balanced=balanced(plan),
        shared_memory=environment.shared_memory,
        classes=plan.gateway.classes,
        paths=[str(path) for path in open_paths(plan.models)],
        closed_paths=[str(path) for path in GeneratePath if path not in open_paths(plan.models)],
        anthropic_paths=[str(path) for path, api in APIS.items() if api.anthropic],
        keys=[_key_limits(key, plan.gateway.replicas) for key in plan.gateway.keys],
        group=CAPPED,
        budgets=plan.gateway.budgets,
        small_body=at_most(size_bytes(plan.gateway.client_body_buffer_size)),
        large_bodies=LARGE_BODIES,
        retry_after=min(retry_after_seconds(plan, model) for model in plan.models),
        # Two per request in flight and as many for idle clients, all on one worker at worst.
        worker_connections=max(4096, 4 * max_requests),
        listen=environment.listen,
        status_listen=environment.status_listen,
        scratch=environment.scratch,
        access_log=environment.access_log,
        error_log=environment.error_log,
        js_path=environment.files,
        js_module=environment.js_module,
        http2_directive=environment.http2_directive,
        certificate=environment.certificate,
    )


def _model(plan: Plan, model: ModelPlan) -> dict[str, Any]:
    """A model's slug, whether it is balanced by prefix, and its Retry-After values in seconds."""
    return {
        "slug": model.slug,
        "balanced": bound_of(plan.gateway, model) is not None,
        "retry_after": retry_after_seconds(plan, model),
        "retry_after_capped": retry_after_capped(plan, model),
    }


def _key_limits(key: KeyPlan, gateways: int) -> dict[str, Any]:
    """The limits of a caller at one gateway. Rates are per minute, because Nginx takes integers only."""
    rate = key.requests_per_second
    return {
        "name": key.name,
        "slug": key.slug,
        "in_flight": None if key.in_flight is None else math.ceil(key.in_flight / gateways),
        "per_minute": None if rate is None else max(1, round(rate * 60 / gateways)),
        "burst": None if rate is None else max(1, math.ceil(rate)),
    }


def policy(plan: Plan) -> dict[str, Any]:
    """policy.json: the models, classes and keys that classify.js reads."""
    gateway, names = plan.gateway, list(plan.served)
    keys = {
        key.name: {"classes": list(key.classes), "setsPriority": key.sets_priority} for key in gateway.keys
    }
    return {
        "paths": {str(path): _api(APIS[path]) for path in open_paths(plan.models)},
        "multiples": MULTIPLES,
        "listed": ", ".join([*names, *gateway.aliases]),
        # Its adapters are for those who name them.
        "onlyModel": names[0] if len(plan.models) == 1 else None,
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
        "models": {name: _target(plan, model) for name, model in plan.served.items()},
        "aliases": {name: _alias(plan, name) for name in gateway.aliases},
        **({"meter": _metered_paths(plan)} if gateway.meter_tokens else {}),
    }


def _metered_paths(plan: Plan) -> dict[str, list[str]]:
    """The paths whose answers have a usage object, and those where streams have it only if they are asked for it."""
    usage = {str(path): APIS[path].usage for path in open_paths(plan.models)}
    return {
        "paths": [path for path, when in usage.items() if when is not Usage.NEVER],
        "asked": [path for path, when in usage.items() if when is Usage.ASKED],
    }


def _api(api: Api) -> dict[str, Any]:
    """What the script has to know of a path."""
    return {key: value for key, value in asdict(api).items() if key not in ("tasks", "usage")}


def _target(plan: Plan, model: ModelPlan) -> dict[str, Any]:
    priorities = {name: engine_priority(model.engine, item.priority) for name, item in plan.classes.items()}
    return {
        "slug": model.slug,
        "paths": [str(path) for path in paths_of(model)],
        "serves": ", ".join(paths_of(model)),
        "priorities": None if None in priorities.values() else priorities,
        "slots": model.slots,
        "context": model.context,
        "covered": covered_tokens(plan, model),
    }


def _alias(plan: Plan, name: str) -> dict[str, Any]:
    alias = plan.gateway.aliases[name]
    if alias.classes is not None:
        first = plan.models[0].name
        return {"classes": {item: alias.classes.get(item, first) for item in plan.classes}}
    weights = alias.weights if alias.weights is not None else {}
    sums = accumulate(weights.values())
    return {"weights": [{"model": model, "upTo": end} for model, end in zip(weights, sums, strict=True)]}


def reloader_config(plan: Plan, environment: Environment = POD) -> dict[str, Any]:
    """gateway.json: the reloader's configuration."""
    inside = f"{plan.namespace}.svc.cluster.local"
    return {
        "template": f"{environment.files}/nginx.conf",
        "folder": environment.scratch,
        "keys": environment.keys if plan.gateway.keys else None,
        "certificate": f"{environment.certificate}/tls.crt" if plan.gateway.tls else None,
        "interval_seconds": 1.0,
        "models": [
            {
                "slug": model.slug,
                "source": environment.engines[model.slug]
                if environment.engines is not None
                else f"dns:model-{model.slug}.{inside}:{ENGINE_PORT}",
                "slots": model.slots,
                "queue": plan.gateway.queue_length,
                "caps": {CAPPED: plan.gateway.longform_cap},
                **_balance(plan, model),
                **_progress(model),
            }
            for model in plan.models
        ],
        "gateways": {
            "source": environment.gateways
            if environment.gateways is not None
            else f"dns:gateway-peers.{inside}:{GATEWAY_STATUS_PORT}",
            "count": plan.gateway.replicas,
        },
        "probe": PROBE,
        **({"budgets": _budgets(plan)} if plan.gateway.budgets else {}),
    }


def _budgets(plan: Plan) -> dict[str, dict[str, int]]:
    """The token budgets of each caller at one gateway, by the seconds of their window."""
    parts = plan.gateway.replicas
    return {
        key.name: {
            str(seconds): math.ceil(tokens / parts)
            for seconds, tokens in ((60, key.tokens_per_minute), (86_400, key.tokens_per_day))
            if tokens is not None
        }
        for key in plan.gateway.keys
        if key.has_budget
    }


def _balance(plan: Plan, model: ModelPlan) -> dict[str, float]:
    """The bound of a model that is balanced by prefix."""
    bound = bound_of(plan.gateway, model)
    return {} if bound is None else {"bound": bound}


def _progress(model: ModelPlan) -> dict[str, Any]:
    """The metrics from which the reloader detects a stalled engine; None and empty for an engine without them."""
    metrics = engine_facts(model.engine).metrics
    running = metrics.running.value
    return {
        "metrics": None if running is None else metrics.path.value,
        "running": running,
        "progress": list(metrics.progress.value),
    }


def retry_after_seconds(plan: Plan, model: ModelPlan) -> int:
    """Retry-After of a full queue, at least 1: the queue's length divided by the rate at which it is served.

    The rate is the sizing model's for full slots, or else that of the promised time per token.
    """
    capacity = model.capacity
    if capacity is not None and capacity.full.req_s is not None:
        rate = capacity.full.req_s.p50
    else:
        mean = sum(item.share * item.answer_seconds for item in plan.classes.values())
        rate = model.slots * model.replicas / mean
    return max(1, math.ceil(plan.gateway.queue_length / rate))


def retry_after_capped(plan: Plan, model: ModelPlan) -> int:
    """The same for capped classes, which have no queue: the time of their longest answer divided by their slots."""
    capped = [plan.classes[rule.name] for rule in plan.gateway.classes if rule.capped]
    longest = max((item.answer_seconds for item in capped), default=1.0)
    return max(1, math.ceil(longest / max(1, int(plan.gateway.longform_cap * model.slots * model.replicas))))


def at_most(number: int) -> str:
    """A regular expression for the decimal numbers from 0 to `number`: Nginx compares text only."""
    digits = str(number)
    patterns = [f"[0-9]{{1,{len(digits) - 1}}}"] if len(digits) > 1 else []
    for index, digit in enumerate(digits):
        if digit != "0":
            rest = len(digits) - index - 1
            patterns.append(f"{digits[:index]}[0-{int(digit) - 1}]" + (f"[0-9]{{{rest}}}" if rest else ""))
    return f"^(?:{'|'.join([*patterns, digits])})$"
