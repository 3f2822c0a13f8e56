#!/usr/bin/env python3
"""Print the changes and messages of a saved plan for a job's log.

show_plan.py PLAN
"""

import json
import sys
from pathlib import Path
from typing import Any

_UNCHANGED = ("same", "read", "refresh")


def lines(plan: dict[str, Any]) -> list[str]:
    """One line per change and per message; never a property's value."""
    steps = plan.get("steps", [])
    changes = [step for step in steps if step["op"] not in _UNCHANGED]
    change_lines = [
        f"  {step['op']:20} {step['urn'].rpartition('::')[2]}  {_type(step['urn'])}" for step in changes
    ]
    messages = [note["message"].strip() for note in plan.get("diagnostics", [])]
    return [f"{len(steps)} resources, {len(changes)} to change", *change_lines, *(m for m in messages if m)]


def _type(urn: str) -> str:
    """The resource's own type; a URN has its parents' types before it."""
    return urn.split("::")[-2].rpartition("$")[2]


def main(arguments: list[str]) -> int:
    try:
        (file,) = arguments
        plan = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"error: the plan cannot be read: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines(plan)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
