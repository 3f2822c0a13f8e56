"""The core decides and talks to nobody: no Pulumi, no network, no processes, no clock, no chance."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORLD = {"cli", "io", "local"}  # the parts of tierup that touch the world
CORE = [
    path
    for path in sorted((ROOT / "tierup").rglob("*.py"))
    if path.relative_to(ROOT / "tierup").parts[0] not in WORLD
]
FORBIDDEN = {
    *("pulumi", "pulumi_kubernetes", "kubernetes", "components", "tests"),
    *("requests", "urllib3", "urllib", "http", "httpx", "aiohttp", "socket", "ssl", "asyncio"),
    *("subprocess", "multiprocessing", "threading", "signal", "os", "sys", "shutil", "tempfile"),
    *("time", "random", "secrets", "uuid", "getpass", "platform"),
}
CLOCK = {"now", "today", "utcnow", "monotonic", "perf_counter"}
WRITES = {"write_text", "write_bytes", "mkdir", "unlink", "touch", "rename"}
# Named exceptions, each with what it may and why.
WAIVED = {
    "tierup/sizing/shape.py": {"open"},  # reads its own data
    "tierup/sizing/measurements.py": {"open"},  # reads its own data
    "tierup/sizing/calibrate.py": {"write_text"},  # as a program it writes the calibration that is committed
}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            function = node.func
            yield function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def offences(source: str) -> set[str]:
    tree = ast.parse(source)
    names = set(imported(tree))
    world = {name for name in names if name.split(".")[0] == "tierup" and {*name.split(".")[1:2]} & WORLD}
    roots = {name for name in names if name.split(".")[0] in FORBIDDEN}
    calls = set(called(tree)) & (CLOCK | WRITES | {"open", "print", "input", "__import__", "exec", "eval"})
    return world | roots | calls


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_core_module_keeps_to_itself(path: Path) -> None:
    waived: set[str] = WAIVED.get(str(path.relative_to(ROOT)), set())
    assert offences(path.read_text(encoding="utf-8")) == waived


@pytest.mark.parametrize(
    "source",
    [
        "import pulumi",
        "from pulumi_kubernetes import core",
        "import urllib.request",
        "def f():\n    import time",
        "from tierup.io.stack.read import read_stack",
        "from tierup import local",
        "import datetime\nx = datetime.date.today()",
        "open('x')",
        "from pathlib import Path\nPath('x').write_text('y')",
    ],
)
def test_the_rule_sees(source: str) -> None:
    assert offences(source)


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
