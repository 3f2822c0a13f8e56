"""Every error that reaches a user has one base, which the command line catches; the drawn tree names them all."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Command

import components
import loadtest
import tierup as bundle
from tierup.cli import exits
from tierup.findings.model import Code, Finding, FindingsError, TierError
from tierup.local.cluster.folders import LocalClusterError
from tierup.local.toolchain import ToolMissing

# Never shown to a user, with the code that handles it.
INTERNAL = {
    "loadtest.stream.BadAnswer": "the sending process says it in a line, which becomes a LoadTestError",
    "tierup.local.toolchain.install_run.InstallMethodFailed": "the next method is tried, or it is a ToolchainError",
    "tierup.resources.reading.Unreadable": "the resource is listed as not priced",
    "components.kube.UnsupportedKind": "a mistake in the program, which its tests find",
}
RUN_ON_IMPORT = {
    "loadtest.__main__",
    "loadtest.users",
    "loadtest.client",
}  # they change the process they are in


def exceptions() -> Iterator[type[Exception]]:
    """Every exception class that the packages define."""
    for package in (bundle, loadtest, components):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name in RUN_ON_IMPORT:
                continue
            for _, item in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
                if issubclass(item, Exception) and item.__module__ == module.name:
                    yield item


EVERY = {f"{item.__module__}.{item.__qualname__}": item for item in exceptions()}


def test_an_error_is_for_users_or_named_as_internal() -> None:
    strangers = {name for name, item in EVERY.items() if not issubclass(item, TierError)}
    assert strangers == set(INTERNAL)


def test_modules_that_change_their_process_define_no_error() -> None:
    root = Path(__file__).parents[2]
    for name in RUN_ON_IMPORT:
        source = (root / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert not re.search(r"^ *class .*(Exception|Error)\b", source, re.MULTILINE)


def test_the_drawn_tree_is_the_tree_of_classes() -> None:
    lines = [line for line in (TierError.__doc__ or "").splitlines() if "+- " in line]
    above: dict[int, str] = {}
    tree = {}
    for line in lines:
        depth = line.index("+- ")
        name = line[depth:].split()[1]
        above = {level: parent for level, parent in above.items() if level < depth} | {depth: name}
        tree[name] = list(above.values())[-2] if len(above) > 1 else "TierError"
    real = {
        item.__name__: item.__bases__[0].__name__
        for item in EVERY.values()
        if issubclass(item, TierError) and item is not TierError and not item.__name__.startswith("_")
    }
    assert tree == real


ONE = Finding(Code.MISSING, "models", "is missing", "write it")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (FindingsError([ONE], "stack 'x'"), 1, f"stack 'x' has 1 problem:\n  - {ONE}\n"),
        (exits.UsageError("give one"), 2, "error: give one\n"),
        (ToolMissing("etcd is not here"), 1, "error: etcd is not here\n"),
        (LocalClusterError("no local cluster x"), 1, "error: no local cluster x\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "error: [Errno 13] Permission denied: '/x'\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_ends_a_command_with_its_message_and_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("tierup.local.cluster.cluster.list_clusters", fail)
    result = Command(monkeypatch, capsys)("local", "status")
    assert (result.code, result.out, result.err) == (code, "", message)


def test_a_file_that_cannot_be_written_is_one_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    result = Command(monkeypatch, capsys)(
        "render", "--stack", "entry", "--out", str(tmp_path / "no" / "x.yaml")
    )
    assert result.code == 1
    assert result.err == f"error: [Errno 2] No such file or directory: '{tmp_path}/no/x.yaml'\n"
