"""The command line itself: help with examples that work, exit codes, completion, colours, usage errors."""

import os
import pty
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from command import Command, commands

from tierup.cli import app
from tierup.cli.lazy import LazyGroup

ROOT = Path(__file__).parents[2]
TIERUP = str(Path(sys.prefix) / "bin" / "tierup")


EVERY = [pytest.param(args, command, id=" ".join(("tierup", *args))) for args, command in commands()]


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "200")
    return Command(monkeypatch, capsys)


def test_there_are_commands() -> None:
    names = {" ".join(args) for args, _ in commands()}
    assert {"plan", "render", "size", "local", "local up", "local status"} <= names


@pytest.mark.parametrize(("args", "command"), EVERY)
def test_every_command_and_option_has_help(args: tuple[str, ...], command: Any) -> None:
    assert command.help
    for option in command.params:
        assert getattr(option, "help", None), f"{args}: {option.name}"


@pytest.mark.parametrize(("args", "command"), EVERY)
def test_every_command_has_an_example_that_parses(args: tuple[str, ...], command: Any) -> None:
    examples = [line.strip() for line in command.epilog.splitlines() if "tierup " in line]
    assert examples
    for line in examples:
        command_line = re.sub(r'^eval "\$\((.*)\)"$', r"\1", line)
        name, *rest = shlex.split(command_line.partition(" | ")[0].partition(" > ")[0])
        assert name == "tierup"
        assert tuple(rest[: len(args)]) == args
        if rest == ["--install-completion"]:
            continue  # it would write into the shell's settings
        target: Any = app
        while rest and rest[0] in getattr(target, "commands", {}):
            target = target.load(rest.pop(0))
        with target.make_context(name, rest):  # an unknown argument is an error
            pass


def test_the_version_is_that_of_the_package(tierup: Command) -> None:
    ended = tierup("--version")
    assert (ended.code, ended.out, ended.err) == (0, f"tierup {version('tierup')}\n", "")


def test_the_help_has_the_exit_codes(tierup: Command) -> None:
    result = tierup("--help")
    assert result.code == 0
    assert "Exit codes: 0 ok, 1 bad config or findings, 2 usage or a file that fails, 3" in result.out
    assert "--install-completion" in result.out


@pytest.mark.parametrize(
    ("args", "command"), [item for item in EVERY if isinstance(item.values[1], LazyGroup)]
)
def test_a_group_lists_its_commands_in_lines_that_are_not_cut(
    tierup: Command, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], command: Any
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = tierup(*args, "--help")
    for name in command.commands:
        (line,) = re.findall(rf"^  {name} .*", result.out, re.MULTILINE)
        assert line.endswith(".")
        assert not line.endswith("...")


def imported(*args: str, **more: str) -> set[str]:
    """Names of the modules, with those above them, that are imported when the command has ended."""
    code = (
        "import atexit, sys; from tierup.cli import main; sys.argv[0] = 'tierup'; "
        "atexit.register(lambda: print('\\n'.join(sys.modules), file=sys.stderr)); main()"
    )
    command = [sys.executable, "-c", code, *args]
    result = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **more}, text=True, capture_output=True, check=True
    )
    return set(result.stderr.split())


# Imported by commands, but not by their help.
HEAVY = {
    "grpc",
    "jinja2",
    "kubernetes",
    "locust",
    "pulumi",
    "requests",
    "rich",
    "urllib3",
    "yaml",
}
COMPLETE = {"_TIERUP_COMPLETE": "complete_bash", "COMP_WORDS": "tierup pl", "COMP_CWORD": "1"}


@pytest.mark.parametrize(
    ("args", "variables"),
    [(["--help"], {}), (["local", "--help"], {}), (["dev", "up", "--help"], {}), ([], COMPLETE)],
    ids=["help", "help of a group", "help of a command", "completion"],
)
def test_help_and_completion_import_no_command_that_they_do_not_run(
    args: list[str], variables: dict[str, str]
) -> None:
    modules = imported(*args, **variables)
    assert not modules & HEAVY
    if args == ["--help"]:
        assert "pydantic" not in modules  # elsewhere Typer itself checks options with it
    ours = {name for name in modules if name.split(".")[0] in ("tierup", "loadtest", "components")}
    called = {f"tierup.cli.{'.'.join(args[:end])}" for end in range(1, len(args))}
    light = {f"tierup.cli.{name}" for name in ("exits", "lazy", "project")}
    light |= {"tierup.findings.model", "tierup.findings.secrets"}
    assert ours <= {"tierup", "tierup.cli", "tierup.findings"} | light | called


def test_a_command_imports_what_it_runs() -> None:
    modules = imported("plan", "--stack", "entry")
    assert modules >= {"tierup.cli.plan", "pydantic", "yaml", "rich"}
    assert not modules & {"tierup.cli.cost", "tierup.cli.local", "kubernetes", "pulumi", "locust", "requests"}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("plan",), "Missing option '--stack'"),
        (("plan", "--stak", "entry"), "No such option: --stak"),
        (("plan", "--stack", "entry", "more"), "unexpected extra argument"),
        (("pln",), "No such command 'pln'"),
        (("size", "--gpu", "l4", "--tp", "two"), "Invalid value for '--tp'"),
        (("local", "down"), "error: name one stack (--stack), or all of them (--all)"),
        (("local", "up", "-s", "entry", "--context", "kind"), "--context is of a kubeconfig"),
        (("local", "up", "-s", "entry", "--node", "real", "--kubeconfig", "c"), "choose one"),
        (("local", "up", "-s", "entry", "--nodes", "2", "--kubeconfig", "c"), "--nodes counts real nodes"),
    ],
)
def test_a_usage_error_is_one_message_and_exit_code_2(
    tierup: Command, args: tuple[str, ...], message: str
) -> None:
    result = tierup(*args)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err


def test_outside_of_a_project_is_a_usage_error(
    tierup: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for kind in ("text", "sarif"):
        result = tierup("plan", "--stack", "entry", "--format", kind)
        assert (result.code, result.out) == (2, "")
        assert "no Pulumi.yaml in" in result.err


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [("tierup pl", {"plan"}), ("tierup plan --stack ", {"entry", "standard", "premium"})],
)
def test_the_shell_completes_commands_and_stacks(typed: str, proposed: set[str]) -> None:
    variables = {
        "_TIERUP_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    env = {**os.environ, **variables}
    result = subprocess.run([TIERUP], cwd=ROOT, env=env, text=True, capture_output=True, check=False)
    assert proposed <= set(result.stdout.split())


def on_a_terminal(*args: str, **more: str) -> str:
    """What the command prints to a terminal."""
    ours, theirs = pty.openpty()
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    env = {**kept, "TERM": "xterm-256color", **more}
    with subprocess.Popen([TIERUP, *args], cwd=ROOT, env=env, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        output = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux raises this when the terminal is closed
                break
            if not part:
                break
            output += part
    os.close(ours)
    assert running.returncode == 0, output
    return output.decode()


def test_colours_are_for_terminals_and_not_where_they_are_unwanted(tierup: Command) -> None:
    args = ("size", "--gpu", "l4")
    assert "\x1b[" in on_a_terminal(*args)
    assert "\x1b[" not in on_a_terminal(*args, NO_COLOR="1")
    assert "\x1b[" not in tierup(*args).out
    assert not re.search("\x1b\\[[0-9;]*3[0-7]m", on_a_terminal("--help", NO_COLOR="1"))


def test_local_status_prints_json(tierup: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    result = tierup("local", "status", "--json")
    assert (result.code, result.out) == (0, "[]\n")
