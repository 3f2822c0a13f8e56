"""Stacks with models of their own: the files of two repositories, and plans that name them."""

import json
from pathlib import Path
from typing import Any

from small_stack import small_plan

from tierup.plan.model import Plan

FOLDER = Path(__file__).parents[1] / "unit" / "own_models"
FILES = {f"models/{path.name}": path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.json"))}
# A fine-tune of Qwen2.5-7B-Instruct, and a mixture of experts with the shape of Qwen3-30B-A3B.
SUPPORT, LEGAL = "models/acme--support-7b.json", "models/acme--legal-30b-a3b.json"


def own_entry(name: str, **keys: Any) -> dict[str, Any]:
    """An entry of `models` whose source is one of the files."""
    file = json.loads(FILES[name])
    return {"source": {"repo": file["repo"], "revision": file["revision"], "config": name}} | keys


def changed(name: str, config: dict[str, Any] | None = None, **keys: Any) -> dict[str, str]:
    """The files, where one of them has other values; of its config.json, a None removes one."""
    file = json.loads(FILES[name])
    file |= keys
    merged = file["config"] | (config or {})
    file["config"] = {key: value for key, value in merged.items() if value is not None}
    return FILES | {name: json.dumps(file)}


def plan_of_own(name: str, files: dict[str, str] | None = None, **keys: Any) -> Plan:
    """The plan of the small stack with such a model; raises `FindingsError`."""
    return small_plan(models=[own_entry(name, **keys)], files=FILES if files is None else files)
