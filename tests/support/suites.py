"""Run the named suites, all of them even after a failure, and print one table of their results at the end.

    python tests/support/suites.py [--only PYTEST_ARGUMENTS] [SUITE ...]

Without names it runs every suite but those run by name alone; `all` adds lint. The exit code is 0 if nothing failed,
1 if something did, 2 for a wrong argument, 130 after an interrupt; the table is printed then too. A suite that ran no
test has failed.
"""

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
NO_TESTS_RAN = 5  # pytest's exit code
INTERRUPTED = 130
STOPPING_SECONDS = 60.0  # for pytest to end what its tests have started
_COUNTED = ("passed", "failed", "skipped")


@dataclass(frozen=True)
class Step:
    """An installation that a suite needs; if an optional one fails, its tests skip with a message."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Suite:
    """A folder of tests and how pytest runs it."""

    name: str
    folder: str
    arguments: tuple[str, ...] = ()
    needs: tuple[Step, ...] = ()
    covers: tuple[str, ...] = ()  # the packages whose coverage is printed
    by_name: bool = False  # not in every run: it takes too long, or repeats another
    minutes: float = 30  # a run that takes longer hangs; it is stopped and has failed


TOOLCHAIN = Step("toolchain", "tierup.local.toolchain", ("install",))
ENGINE = Step("engine-env", "tierup.local.toolchain.engine_env")
CLIENTS = Step("clients-env", "tierup.local.toolchain.clients_env", optional=True)
NODE = Step("node-tools", "tierup.local.toolchain", ("install", "--group", "node"), optional=True)
CURRENT_NGINX = Step(
    "current-nginx", "tierup.local.toolchain", ("install", "--group", "current-nginx"), optional=True
)
BROWSER = Step("browser-env", "tierup.local.toolchain.browser", optional=True)
_REAL_NODE = (TOOLCHAIN, NODE, CURRENT_NGINX, ENGINE)
_UNIT = ("-n", "2")
SUITES = (
    Suite("unit", "tests/unit", _UNIT),
    Suite("coverage", "tests/unit", _UNIT, covers=("tierup", "components"), by_name=True),
    Suite("browser", "tests/browser", needs=(BROWSER,)),
    Suite("engine", "tests/engine", needs=(ENGINE,)),
    Suite("data-path", "tests/data_path", ("-n", "2", "--dist", "loadgroup"), (TOOLCHAIN, ENGINE, CLIENTS)),
    Suite("control-plane", "tests/control_plane", ("-n", "3", "--dist", "worksteal"), (TOOLCHAIN,)),
    Suite(
        "local-cluster",
        "tests/local_cluster",
        ("-n", "2", "--dist", "loadgroup", "--ignore=tests/local_cluster/outages"),
        _REAL_NODE,
    ),
    Suite("node-outages", "tests/local_cluster/outages", needs=_REAL_NODE, by_name=True),
)
LINT = (
    "ruff check .",
    "ruff format --check .",
    "mypy --strict",
    "lint-imports --no-logo",
)  # of this environment


@dataclass
class Row:
    """The result in one row of the table; counts are None for a row without tests."""

    name: str
    ok: bool
    seconds: float
    counts: Counter[str] | None = None
    notes: list[str] = field(default_factory=list)  # why tests were skipped, or what a step was missing


def run_step(step: Step) -> Row:
    """Run the installation step."""
    started = time.monotonic()
    code = _run([sys.executable, "-m", step.module, *step.arguments])
    notes = ["could not be installed; tests that need it are skipped"] if code else []
    return Row(step.name, code == 0 or step.optional, time.monotonic() - started, notes=notes)


def run_lint() -> Row:
    """Run all checks of style, formatting, types and import layers, even after a failure."""
    started = time.monotonic()
    folder = Path(sys.executable).parent
    codes = [_run([str(folder / name), *args]) for name, *args in map(str.split, LINT)]
    return Row("lint", not any(codes), time.monotonic() - started)


def run_suite(suite: Suite, only: Sequence[str]) -> Row:
    """Run pytest; the counts are those of its own report."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        where, covers = (only, ()) if only else ((suite.folder,), suite.covers)
        coverage = [f"--cov={package}" for package in covers]
        args = [*where, "-q", "-p", "failures_at_once", *suite.arguments, f"--junitxml={report}", *coverage]
        if covers:
            args.append(f"--cov-report=json:{folder}/coverage.json")
        environment = {
            "COVERAGE_FILE": f"{folder}/coverage",
            "PYTHONPATH": _with_support(),
            # Tests start hundreds of Pythons. Images for CI often forbid bytecode; then each compiles all it imports.
            "PYTHONDONTWRITEBYTECODE": "",
        }
        code = _run([sys.executable, "-m", "pytest", *args], environment, suite.minutes * 60)
        counts, reasons = read_report(report)
        notes = [f"{times} skipped: {reason}" for reason, times in reasons.items()]
        notes += read_coverage(Path(folder) / "coverage.json", covers)
    if code == NO_TESTS_RAN:
        notes.append("no test ran")
    if code is None:
        notes.append(f"stopped, because it had not ended after {suite.minutes:g} minutes")
    return Row(suite.name, code == 0, time.monotonic() - started, counts, notes)


def read_report(report: Path) -> tuple[Counter[str], Counter[str]]:
    """Passed, failed and skipped tests of a JUnit file, and the reasons of the skipped."""
    counts, reasons = Counter(dict.fromkeys(_COUNTED, 0)), Counter[str]()
    with contextlib.suppress(FileNotFoundError, ElementTree.ParseError):
        for case in ElementTree.parse(report).iter("testcase"):
            skipped = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                counts["failed"] += 1
            elif skipped is not None:
                counts["skipped"] += 1
                reasons[skipped.get("message", "no reason given")] += 1
            else:
                counts["passed"] += 1
    return counts, reasons


def read_coverage(report: Path, packages: Sequence[str]) -> Iterator[str]:
    """One line with the share of the packages' statements that the tests ran; no line without a report."""
    with contextlib.suppress(FileNotFoundError):
        share = json.loads(report.read_text())["totals"]["percent_covered"]
        yield f"{share:.0f} % of the statements of {' and '.join(packages)} were run"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of the final table."""
    yield f"{'':14}{''.join(f'{name:>8}' for name in _COUNTED)} {'seconds':>8}"
    for row in rows:
        numbers = [row.counts[name] if row.counts is not None else "" for name in _COUNTED]
        cells = [f"{number:>8}" for number in numbers]
        yield f"{row.name:14}{''.join(cells)} {row.seconds:8.0f}  {'ok' if row.ok else 'FAILED'}"
    for row in rows:
        yield from (f"{row.name}: {note}" for note in row.notes)
    total = Counter[str]()
    for row in rows:
        total.update(row.counts if row.counts is not None else {})
    yield f"tests: {total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped"


def _with_support() -> str:
    """The search path of Python with this folder, for pytest's plugins of ours."""
    return os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])


def _run(
    command: Sequence[str], environment: Mapping[str, str] | None = None, limit: float | None = None
) -> int | None:
    """Run a command on this terminal, whose Ctrl-C also reaches the command; wait while it cleans up.

    Returns its exit code, or None if it was stopped because it took longer than `limit` seconds.
    """
    print(f"== {shlex.join([Path(command[0]).name, *command[1:]])}", flush=True)
    env = os.environ | dict(environment if environment is not None else {})
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, env=env) as child:
        try:
            return child.wait(limit)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGINT)
            try:
                child.wait(STOPPING_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
            return None
        except KeyboardInterrupt as reason:
            if isinstance(reason, Terminated):
                child.send_signal(signal.SIGINT)
            child.wait()
            raise


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM, which reaches only this process."""


def _terminate(*_: object) -> None:
    raise Terminated


def run(names: Sequence[str], only: Sequence[str], rows: list[Row]) -> None:
    """Install what the named suites need, then run them; adds their results to `rows`."""
    wanted = [suite for suite in SUITES if suite.name in names]
    if "lint" in names:
        rows.append(run_lint())
    for step in dict.fromkeys(step for suite in wanted for step in suite.needs):
        rows.append(run_step(step))  # noqa: PERF401 - the rows that are there count when a run is interrupted
    for suite in wanted:
        rows.append(run_suite(suite, only))  # noqa: PERF401


def main(arguments: Sequence[str] | None = None) -> int:
    tests = [suite.name for suite in SUITES if not suite.by_name]
    known = ["all", "lint", *(suite.name for suite in SUITES)]
    parser = argparse.ArgumentParser(prog="tests/support/suites.py", description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", choices=[*known, []], help=", ".join(known))
    parser.add_argument("--only", default="", help="pytest's arguments instead of the suite's folder")
    options = parser.parse_args(arguments)
    names = options.suites if options.suites else tests
    names = ["lint", *tests] if "all" in names else names
    signal.signal(signal.SIGTERM, _terminate)
    rows: list[Row] = []
    interrupted = False
    try:
        run(names, shlex.split(options.only), rows)
    except KeyboardInterrupt:
        interrupted = True
    print("== summary", *table(rows), sep="\n", flush=True)
    if interrupted:
        return INTERRUPTED
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
