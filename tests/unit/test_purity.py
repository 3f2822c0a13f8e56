"""The core has no side effects: it reads no clock, opens no file, writes and prints nothing.

import-linter checks what it imports: [tool.importlinter] in pyproject.toml.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORLD = {"cli", "io", "local"}  # the parts of tierup with side effects
CORE = [
    path
    for path in sorted((ROOT / "tierup").rglob("*.py"))
    if path.relative_to(ROOT / "tierup").parts[0] not in WORLD
]
CLOCK = {"now", "today", "utcnow", "monotonic", "perf_counter"}
WRITES = {"write_text", "write_bytes", "mkdir", "unlink", "touch", "rename"}
BUILT_IN = {"open", "print", "input", "__import__", "exec", "eval"}
# Named exceptions, each with what it may and why.
WAIVED = {
    "tierup/report/terminal.py": {"print"},  # Rich's, into a picture
    "tierup/sizing/shapes.py": {"open"},  # reads its own data
    "tierup/sizing/measurements.py": {"open"},  # reads its own data
    "tierup/sizing/calibrate.py": {"write_text"},  # as a program it writes the committed calibration
}


def called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            yield function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def offences(source: str) -> set[str]:
    return set(called(ast.parse(source))) & (CLOCK | WRITES | BUILT_IN)


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_core_module_has_no_side_effects(path: Path) -> None:
    waived: set[str] = WAIVED.get(str(path.relative_to(ROOT)), set())
    assert offences(path.read_text(encoding="utf-8")) == waived


@pytest.mark.parametrize(
    "source",
    [
        "import datetime\nx = datetime.date.today()",
        "open('x')",
        "from pathlib import Path\nPath('x').write_text('y')",
    ],
)
def test_the_check_detects_side_effects(source: str) -> None:
    assert offences(source)


def test_the_import_contract_names_every_package_of_the_core() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    named = [
        set(item["source_modules"])
        for item in settings["contracts"]
        if "pulumi" in item.get("forbidden_modules", ())
    ]
    packages = {path.relative_to(ROOT / "tierup").parts[0].removesuffix(".py") for path in CORE} - {
        "__init__"
    }
    assert named == [{f"tierup.{name}" for name in packages}]


def test_importing_the_core_loads_no_pulumi_and_no_client() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in CORE
    ]
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(sorted({'pulumi', 'kubernetes', 'requests', 'urllib3', 'grpc'} & sys.modules.keys()))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"


def test_there_is_a_core() -> None:
    names = {path.name for path in CORE}
    assert {"parse.py", "resolve.py", "preflight.py", "model.py", "schema.py", "gateway.py"} <= names
