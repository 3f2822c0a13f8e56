"""Writes the files that are generated and committed; a test for each proves that it is fresh."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path

from tierup.report.findings_page import page
from tierup.schema import json_schema

ROOT = Path(__file__).parents[2]


def schema() -> str:
    """The stack files' JSON Schema."""
    return json.dumps(json_schema(), indent=2) + "\n"


def dashboard() -> str:
    """The dashboard as its builder makes it."""
    build: Callable[[], str] = runpy.run_path(str(ROOT / "monitoring/dashboards/tier.py"))["build"]
    return build()


GENERATED: dict[str, Callable[[], str]] = {
    "stacks/tierup.schema.json": schema,
    "monitoring/dashboards/tier.json": dashboard,
    "docs/findings.md": page,
}


def main() -> None:
    """Write every generated file, and say which changed."""
    for name, make in GENERATED.items():
        path, text = ROOT / name, make()
        same = path.exists() and path.read_text(encoding="utf-8") == text
        print(f"{name}: {'unchanged' if same else 'written'}")
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
