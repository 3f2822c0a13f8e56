"""The plan of a dev run: the stack file's, with one gateway and locally generated secrets."""

from dataclasses import replace
from pathlib import Path

from tierup.catalog import load_catalog
from tierup.catalog.engine import engine_facts, load_engines
from tierup.findings.model import TierError
from tierup.io.stack.read import read_stack
from tierup.plan.model import Plan
from tierup.rules.preflight import make_plan
from tierup.stack.parse import API_KEY_PREFIX, parse


class DevError(TierError):
    """An error whose message is meant for the user."""


def dev_plan(path: Path) -> Plan:
    """The checked plan of a stack file; raises `FindingsError` with every problem, `DevError` if no CPU can run it."""
    raw = read_stack(path)
    gateway = parse(raw).sections.get("gateway")
    keys = gateway.keys if gateway is not None and gateway.keys is not None else {}
    generated = {"hub-token", "tls-certificate", "tls-key", *(API_KEY_PREFIX + name for name in keys)}
    plan = make_plan(parse(replace(raw, secrets=raw.secrets | generated)), load_catalog())
    allowed = ", ".join(name for name, facts in load_engines().items() if facts.cpu_build)
    for index, model in enumerate(plan.models):
        if not engine_facts(model.engine).cpu_build:
            raise DevError(
                f"models[{index}].engine: there is no CPU build of it (got {model.engine}; allowed {allowed})"
            )
    return replace(plan, gateway=replace(plan.gateway, replicas=1))
