"""Generate a large saved preview: copies of real steps of a golden plan, as large as Pulumi's."""

import json
from pathlib import Path
from typing import Any

_GOLDEN = Path(__file__).parents[1] / "tests" / "unit" / "plans" / "scale.json"
# Pulumi's own preview of the entry tier: 29 kB a step, 16 kB without whitespace; mostly outputs and stack traces.
_STEP_BYTES = 16_000
_POSITION = {"sourcePosition": "project:///../site-packages/pulumi/runtime/stack.py#251", "line": 251}


def large_plan(resources: int, *, unknown: int = 0, bulky: bool = False) -> dict[str, Any]:
    """A preview of so many resources that adds one server; `unknown` of them have a type that tierup does not know."""
    golden = json.loads(_GOLDEN.read_text(encoding="utf-8"))
    steps = [step for step in golden["steps"] if step["op"] in ("same", "update")]
    extra = [step for step in steps if "$kubernetes:" in step["urn"]]
    steps += [
        _copy(extra[number % len(extra)], f"copy-{number}", number < unknown)
        for number in range(resources - len(steps))
    ]
    if bulky:
        for step in steps:
            step["newState"]["outputs"] = step["newState"].get("inputs", {})
            missing = _STEP_BYTES - len(json.dumps(step))
            step["newState"]["stackTrace"] = [_POSITION] * (missing // len(json.dumps(_POSITION)))
    counts = {operation: sum(step["op"] == operation for step in steps) for operation in ("same", "update")}
    return {"steps": steps, "diagnostics": [], "changeSummary": counts}


def _copy(step: dict[str, Any], suffix: str, unknown: bool) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(step))
    copied["urn"] += f"-{suffix}"
    for side in ("oldState", "newState"):
        state = copied[side]
        state["urn"] = copied["urn"]
        if unknown:
            state["type"] = "acme:cloud/database:Database"
        if "name" in state["inputs"].get("metadata", {}):
            state["inputs"]["metadata"]["name"] += f"-{suffix}"
    return copied


def write_large_plan(path: Path, resources: int) -> None:
    """Write a bulky preview to a file, as Pulumi prints it."""
    path.write_text(json.dumps(large_plan(resources, bulky=True), indent=4), encoding="utf-8")
