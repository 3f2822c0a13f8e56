"""Decides how many requests one gateway lets in, which engines hang, and the text of nginx.conf that follows.

Pure, from the standard library alone: the reloader uses it beside Nginx, the project for a first text. A hung engine
has left the pool after at most (`worst_bounds`)

    round   = max(interval_seconds, timeout_seconds + SPACING_SECONDS + ANSWER_SECONDS)
    silent  = (failures + 1) x round          /health does not answer
    stalled = stalled_seconds + 3 x round     /health answers, requests run, and no counter moves

An engine that hangs while no request runs on it shows only in /health. A reloader that starts knows no engine's past,
so the time starts anew with it.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

SPACING_SECONDS = 1.0  # between two reloads: each leaves the old workers to end their streams
ANSWER_SECONDS = 1.5  # gateway-run.sh looks every 0.5 s; a second for `nginx -t` and the reload
MOST_CONNECTIONS = 65_535  # what `limit_conn` can count to
NO_ENGINE = "127.0.0.1:1 down"  # an upstream needs one server; this one is never asked
MARKER = re.compile(r"@([A-Z]+)((?::[A-Za-z0-9._-]+)*)@")
NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
SOURCE = re.compile(r"dns:[^:]+:[0-9]{1,5}|file:.+")
ADDRESS = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


@dataclass(frozen=True)
class Model:
    """One model: `slots` and `queue` in requests, `caps` the part of the slots that a class may hold."""

    slug: str
    source: str
    slots: int
    queue: int
    caps: dict[str, float]
    running: str  # the metric that counts the requests an engine works on
    progress: list[str]  # metrics of which one moves while it does


@dataclass(frozen=True)
class Gateways:
    """Where the ready gateways are listed, and how many there are when none is."""

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
    """gateway.json; `keys` is a folder with one file per name, `certificate` a file that Nginx reads; null: none."""

    template: str
    folder: str
    keys: str | None
    certificate: str | None
    interval_seconds: float
    models: list[Model]
    gateways: Gateways
    probe: Probe


class Reading(NamedTuple):
    """What an engine's metrics said; before the first, nothing runs."""

    running: float = 0.0
    counters: tuple[float, ...] = ()


class Engine(NamedTuple):
    """What probing knows of an engine; `moved` is the clock, in seconds, when it last showed progress."""

    failures: int = 0
    stalled: bool = False
    reading: Reading = Reading()
    moved: float = -math.inf


class View(NamedTuple):
    """All that the text depends on; `keys` maps the SHA-256 of a key to its name."""

    template: str
    engines: dict[str, list[str]]
    gateways: int
    keys: dict[str, str]


def parse_config(raw: Any) -> Config:
    """gateway.json as it was read; ValueError says what is wrong with it."""
    try:
        models = [Model(**item) for item in raw["models"]]
        parts = {"models": models, "gateways": Gateways(**raw["gateways"]), "probe": Probe(**raw["probe"])}
        config = Config(**{**raw, **parts})
        # Used once, so that a wrong type shows at the start.
        limits(models, {model.slug: [] for model in models}, config.gateways.count)
        worst_bounds(config.interval_seconds, config.probe)
        sources = [config.gateways.source, *(model.source for model in models)]
        texts = [config.template, config.folder, *([] if config.keys is None else [config.keys])]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError(f"template, folder and keys are paths (got {texts})")
        wrong = [source for source in sources if not SOURCE.fullmatch(source)]
    except (TypeError, KeyError, ArithmeticError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if wrong:
        raise ValueError(f"a source is dns:HOST:PORT or file:PATH (got {', '.join(wrong)})")
    return config


def worst_bounds(interval_seconds: float, probe: Probe) -> tuple[float, float]:
    """Seconds after which a silent and a stalled engine have left the pool at the latest."""
    round_seconds = max(interval_seconds, probe.timeout_seconds + SPACING_SECONDS + ANSWER_SECONDS)
    return (probe.failures + 1) * round_seconds, probe.stalled_seconds + 3 * round_seconds


def in_flight_limit(slots: int, queue: int, engines: int, gateways: int) -> int:
    """Requests of a model, running and waiting, that one gateway lets in."""
    return min(max(1, math.ceil((engines * slots + queue) / gateways)), MOST_CONNECTIONS)


def class_limit(cap: float, slots: int, engines: int, gateways: int) -> int:
    """Requests of a capped class that one gateway lets in; the cap as it is written, not its binary neighbour."""
    return min(max(1, math.floor(Fraction(str(cap)) * slots * engines / gateways)), MOST_CONNECTIONS)


def limits(models: Sequence[Model], engines: Mapping[str, Sequence[str]], gateways: int) -> dict[str, int]:
    """The bounds of one gateway by `slug` and `slug:class`; no ready engine counts as one."""
    found = {}
    for model in models:
        ready = max(1, len(engines[model.slug]))
        found[model.slug] = in_flight_limit(model.slots, model.queue, ready, gateways)
        for name, cap in model.caps.items():
            found[f"{model.slug}:{name}"] = class_limit(cap, model.slots, ready, gateways)
    return found


def render(view: View, models: Sequence[Model]) -> str:
    """The text of nginx.conf; ValueError names a marker that is not known."""
    values = {
        f"LIMIT:{name}": [str(bound)] for name, bound in limits(models, view.engines, view.gateways).items()
    }
    for slug, addresses in view.engines.items():
        servers = [f"{address} max_fails=1 fail_timeout=1s" for address in sorted(addresses)]
        values[f"SERVERS:{slug}"] = [f"server {server};" for server in (servers if servers else [NO_ENGINE])]
    values["KEYS"] = [f'"{digest}" "{name}";' for digest, name in sorted(view.keys.items())]

    def fill(marker: re.Match[str]) -> str:
        name = marker[0].strip("@")
        if name not in values:
            raise ValueError(f"the template has an unknown marker {marker[0]} (known: {', '.join(values)})")
        before = view.template[view.template.rfind("\n", 0, marker.start()) + 1 : marker.start()]
        return ("\n" + before if before.isspace() else "\n").join(values[name])

    return MARKER.sub(fill, view.template)


def judge(before: Engine, healthy: bool, reading: Reading | None, now: float, probe: Probe) -> Engine:
    """What is known of an engine after one more probe; no reading is no news, and the clock goes on."""
    if not healthy:
        return before._replace(failures=before.failures + 1)
    # Counters that stood still while the whole process did: its time starts when it answers again.
    returns = before.failures >= probe.failures and not before.stalled
    reading = reading if reading is not None else before.reading
    if returns or reading.running == 0 or reading.counters != before.reading.counters:
        return Engine(reading=reading, moved=now)
    return Engine(0, before.stalled or now - before.moved >= probe.stalled_seconds, reading, before.moved)


def hangs(engine: Engine, probe: Probe) -> str | None:
    """Why an engine leaves the pool, or None."""
    if engine.failures >= probe.failures:
        return "silent"
    return "stalled" if engine.stalled else None


def read_metrics(text: str, model: Model) -> Reading | None:
    """The counts a model's probe needs, each summed over its labels; None when they are not all there."""
    sums = []
    for name in (model.running, *model.progress):
        found = re.findall(rf"^{re.escape(name)}(?:\{{.*\}})? {NUMBER}$", text, re.MULTILINE)
        if not found:
            return None
        sums.append(sum(map(float, found)))
    return Reading(sums[0], tuple(sums[1:]))


def check_addresses(raw: object) -> list[str]:
    """A list of `host:port`, sorted; ValueError for anything else, because it goes into Nginx's configuration."""
    if not isinstance(raw, list) or not all(
        isinstance(item, str) and ADDRESS.fullmatch(item) for item in raw
    ):
        raise ValueError(f"must be a JSON list of host:port (got {json.dumps(raw)[:200]})")
    return sorted(set(raw))
