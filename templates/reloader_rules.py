"""Request limits of a gateway, detection of hung engines, and the text of nginx.conf: pure functions.

They need only the standard library, because the reloader imports them in the Nginx pod. A hung engine leaves the pool
at the latest after (`worst_bounds`)

    round   = max(interval_seconds, timeout_seconds + SPACING_SECONDS + ANSWER_SECONDS)
    silent  = (failures + 1) x round          /health does not respond
    stalled = stalled_seconds + 3 x round     /health responds, requests run, and no counter changes

If no request runs on a hung engine, only /health can show that it hangs. A restarted reloader has no history of the
engines, so these times start again.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

SPACING_SECONDS = 1.0  # between two reloads: after each, the old workers finish their streams
ANSWER_SECONDS = 1.5  # gateway-run.sh polls every 0.5 s; `nginx -t` and the reload take up to a second
MAX_CONNECTIONS = 65_535  # the largest value of `limit_conn`
NO_ENGINE = "127.0.0.1:1 down"  # an upstream needs at least one server; this one gets no requests
MARKER = re.compile(r"@([A-Z]+)((?::[A-Za-z0-9._-]+)*)@")
NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
SOURCE = re.compile(r"dns:[^:]+:[0-9]{1,5}|file:.+")
ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


@dataclass(frozen=True)
class Model:
    """One model: `slots` and `queue` in requests; `caps` is the share of the slots that a class may use.

    `bound` is the most requests of an engine as a multiple of the mean, None where requests go by least connections.
    `metrics` is the path of its engines' metrics, None for engines without metrics of progress: only /health counts.
    """

    slug: str
    source: str
    slots: int
    queue: int
    caps: dict[str, float]
    metrics: str | None
    running: str | None  # the metric of the number of running requests
    progress: list[str]  # metrics of which at least one changes while requests run
    bound: float | None = None


@dataclass(frozen=True)
class Gateways:
    """The source that lists the ready gateways, and the number of gateways to assume if it lists none."""

    source: str
    count: int


@dataclass(frozen=True)
class Probe:
    """When an engine counts as hung."""

    timeout_seconds: float
    failures: int
    stalled_seconds: float


@dataclass(frozen=True)
class Config:
    """gateway.json; `keys` is a folder with one file per caller, `certificate` a file; both may be null.

    `budgets` are tokens by caller and by the seconds of the window, null without any (reloader_budgets.py).
    """

    template: str
    folder: str
    keys: str | None
    certificate: str | None
    interval_seconds: float
    models: list[Model]
    gateways: Gateways
    probe: Probe
    budgets: dict[str, dict[str, int]] | None = None


class Reading(NamedTuple):
    """Values of an engine's metrics; before the first reading, no request runs."""

    running: float = 0.0
    counters: tuple[float, ...] = ()


class Engine(NamedTuple):
    """Probe state of an engine; `moved` is the time of its last progress, in seconds of the monotonic clock."""

    failures: int = 0
    stalled: bool = False
    reading: Reading = Reading()
    moved: float = -math.inf


class View(NamedTuple):
    """Everything that nginx.conf depends on; `keys` maps the SHA-256 of a key to its caller."""

    template: str
    engines: dict[str, list[str]]
    gateways: int
    keys: dict[str, str]


def parse_config(raw: Any) -> Config:
    """Parse gateway.json; raises ValueError with the problem."""
    try:
        models = [Model(**item) for item in raw["models"]]
        parts = {"models": models, "gateways": Gateways(**raw["gateways"]), "probe": Probe(**raw["probe"])}
        config = Config(**{**raw, **parts})
        # Compute these once, so that a wrong type is an error at the start.
        limits(models, {model.slug: [] for model in models}, config.gateways.count)
        worst_bounds(config.interval_seconds, config.probe)
        sources = [config.gateways.source, *(model.source for model in models)]
        texts = [config.template, config.folder, *([] if config.keys is None else [config.keys])]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError(f"template, folder and keys are paths (got {texts})")
        invalid = [source for source in sources if not SOURCE.fullmatch(source)]
    except (TypeError, KeyError, ArithmeticError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if invalid:
        raise ValueError(f"a source is dns:HOST:PORT or file:PATH (got {', '.join(invalid)})")
    return config


def worst_bounds(interval_seconds: float, probe: Probe) -> tuple[float, float]:
    """Maximum seconds until a silent and a stalled engine have left the pool."""
    round_seconds = max(interval_seconds, probe.timeout_seconds + SPACING_SECONDS + ANSWER_SECONDS)
    return (probe.failures + 1) * round_seconds, probe.stalled_seconds + 3 * round_seconds


def in_flight_limit(slots: int, queue: int, engines: int, gateways: int) -> int:
    """Maximum requests of a model, running and waiting, at one gateway."""
    return min(max(1, math.ceil((engines * slots + queue) / gateways)), MAX_CONNECTIONS)


def class_limit(cap: float, slots: int, engines: int, gateways: int) -> int:
    """Maximum requests of a capped class at one gateway; computed with the decimal cap, not its binary float."""
    return min(max(1, math.floor(Fraction(str(cap)) * slots * engines / gateways)), MAX_CONNECTIONS)


def limits(models: Sequence[Model], engines: Mapping[str, Sequence[str]], gateways: int) -> dict[str, int]:
    """The limits of one gateway by `slug` and `slug:class`; a model without ready engines counts as having one."""
    by_name = {}
    for model in models:
        ready = max(1, len(engines[model.slug]))
        by_name[model.slug] = in_flight_limit(model.slots, model.queue, ready, gateways)
        for name, cap in model.caps.items():
            by_name[f"{model.slug}:{name}"] = class_limit(cap, model.slots, ready, gateways)
    return by_name


def render(view: View, models: Sequence[Model]) -> str:
    """The text of nginx.conf; raises ValueError with an unknown marker."""
    values = {
        f"LIMIT:{name}": [str(bound)] for name, bound in limits(models, view.engines, view.gateways).items()
    }
    for slug, addresses in view.engines.items():
        servers = [_server(address) for address in sorted(addresses)]
        values[f"SERVERS:{slug}"] = servers if servers else [f"server {NO_ENGINE};"]
    for model in models:
        pool = sorted(view.engines[model.slug])
        choice = pool if model.bound is not None and len(pool) > 1 else []
        names = [f"{model.bound:g}", *map(engine_id, choice)] if choice else []
        values[f"ENGINES:{model.slug}"] = [" ".join(names)]
        values[f"UPSTREAMS:{model.slug}"] = [
            line for first in choice for line in _upstream(model, first, pool, view.gateways)
        ]
    values["KEYS"] = [f'"{digest}" "{name}";' for digest, name in sorted(view.keys.items())]

    def fill(marker: re.Match[str]) -> str:
        name = marker[0].strip("@")
        if name not in values:
            raise ValueError(f"the template has an unknown marker {marker[0]} (known: {', '.join(values)})")
        indent = view.template[view.template.rfind("\n", 0, marker.start()) + 1 : marker.start()]
        return ("\n" + indent if indent.isspace() else "\n").join(values[name])

    return MARKER.sub(fill, view.template)


def engine_id(address: str) -> str:
    """The name of an engine in nginx.conf, from which balance.js also computes which prompts it gets."""
    return hashlib.sha256(address.encode()).hexdigest()[:12]


def _server(address: str, more: str = "") -> str:
    return f"server {address} max_fails=1 fail_timeout=1s{more};"


def _upstream(model: Model, first: str, pool: Sequence[str], gateways: int) -> list[str]:
    """The lines of an upstream that sends to one engine, and to the others where that fails or is full."""
    name = f"model-{model.slug}-{engine_id(first)}"
    admitted = in_flight_limit(model.slots, model.queue, len(pool), gateways)
    most = math.ceil(admitted * (model.bound or 1) / len(pool))
    return [
        f"upstream {name} {{",
        f"    zone {name} 128k;",
        "    least_conn;",
        f"    {_server(first, f' max_conns={most}')}",
        *(f"    {_server(address, ' backup')}" for address in pool if address != first),
        "    keepalive 64;",
        "    keepalive_timeout 4s;",
        "}",
    ]


def after_probe(before: Engine, healthy: bool, reading: Reading | None, now: float, probe: Probe) -> Engine:
    """An engine's state after one more probe; without a reading the last one counts, and the stall time goes on."""
    if not healthy:
        return before._replace(failures=before.failures + 1)
    # While the whole process hung, its counters could not change: the stall time starts when it responds again.
    recovered = before.failures >= probe.failures and not before.stalled
    reading = reading if reading is not None else before.reading
    if recovered or reading.running == 0 or reading.counters != before.reading.counters:
        return Engine(reading=reading, moved=now)
    return Engine(0, before.stalled or now - before.moved >= probe.stalled_seconds, reading, before.moved)


def hung_reason(engine: Engine, probe: Probe) -> str | None:
    """Why an engine is hung, or None."""
    if engine.failures >= probe.failures:
        return "silent"
    return "stalled" if engine.stalled else None


def read_metrics(text: str, model: Model) -> Reading | None:
    """The metrics that a model's probe needs, each summed over its labels; None if it needs none or one is missing."""
    if model.running is None:
        return None
    sums = []
    for name in (model.running, *model.progress):
        values = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? {NUMBER}$", text, re.MULTILINE)
        if not values:
            return None
        sums.append(sum(map(float, values)))
    return Reading(sums[0], tuple(sums[1:]))


def check_addresses(raw: object) -> list[str]:
    """A list of `host:port`, sorted; raises ValueError for anything else, as it goes into Nginx's configuration."""
    if not isinstance(raw, list) or not all(
        isinstance(item, str) and ADDRESS.fullmatch(item) for item in raw
    ):
        raise ValueError(f"must be a JSON list of host:port (got {json.dumps(raw)[:200]})")
    return sorted(set(raw))
