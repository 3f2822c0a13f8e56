"""A stack is named by its name or by the path of its file; secrets may be missing until it is deployed."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command import Command, Result, commands, make_project

from tierup.cli.project import shown_path, stack_name

BASE = """\
config:
  tierup:workload: {users: 20, thinkSeconds: 20}
  tierup:nodes: {server: entry-2x-rtx-4090, count: 2}
  tierup:models: [{id: qwen2.5-7b}]
"""
BARE = BASE + "  tierup:gateway: {keys: {web: {}}, tls: true}\n"
# Everything with which a command that takes a stack ends well; the others deploy, write a file, or need a service or
# its logs.
PLAIN = [
    ("plan",),
    ("plan", "--json"),
    ("cost",),
    ("compare",),
    ("policy",),
    ("render",),
]
DEPLOYING = {
    "doctor",
    "local up",
    "local down",
    "local env",
    "dev up",
    "model add",
    "loadtest",
    "tune",
    "usage",
}
OWN_HARDWARE = {
    "size",
    "catalog list",
    "catalog show",
}  # they read only the cards of the file: test_own_hardware.py


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(make_project(tmp_path, {"team": BASE, "bare": BARE}))
    monkeypatch.setenv("COLUMNS", "200")
    return Command(monkeypatch, capsys)


def problems(result: Result) -> list[str]:
    """Standard error without the objects that `render` leaves out."""
    return [line for line in result.err.splitlines() if not line.startswith("left out: ")]


def test_no_command_that_takes_a_stack_is_left_out() -> None:
    found = {
        " ".join(words)
        for words, command in commands()
        for option in command.params
        if "--stack" in getattr(option, "opts", ())
    }
    assert found == DEPLOYING | OWN_HARDWARE | {words[0] for words in PLAIN}


@pytest.mark.parametrize("words", PLAIN)
def test_a_path_says_what_the_name_says(tierup: Command, words: tuple[str, ...]) -> None:
    named = tierup(*words, "--stack", "team")
    assert (named.code, problems(named)) == (0, [])
    for path in ("Pulumi.team.yaml", "./Pulumi.team.yaml", str(Path.cwd() / "Pulumi.team.yaml")):
        assert tierup(*words, "-s", path) == named


@pytest.mark.parametrize("words", PLAIN)
def test_a_file_outside_of_the_project_is_read_too(
    tierup: Command, words: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("elsewhere") / "mine.yaml"
    file.write_text(BASE)
    ended = tierup(*words, "-s", str(file))
    assert (ended.code, problems(ended)) == (0, [])
    assert "mine" in ended.out or words == ("policy",), "which names no stack"


def test_a_path_needs_no_project(tierup: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "stacks" / "Pulumi.team.yaml"
    (tmp_path / "Pulumi.yaml").unlink()
    tree = json.loads(tierup("plan", "-s", str(file), "--json").out)
    assert (tree["stack"], tree["file"], tree["ok"]) == ("team", str(file), True)


def test_a_path_that_is_not_there_is_a_finding(tierup: Command) -> None:
    ended = tierup("plan", "-s", "./Pulumi.taem.yaml")
    assert ended.code == 1
    assert "TIER011 Pulumi.taem.yaml: there is no such stack file" in ended.err
    assert "did you mean 'team'?" in ended.err


@pytest.mark.parametrize("text", ["team", "Pulumi.team.yaml", "./a/Pulumi.team.yaml", "a/team.yaml"])
def test_the_name_of_a_stack(text: str) -> None:
    assert stack_name(text) == "team"


def test_a_path_is_shown_from_the_project_s_folder(tierup: Command, tmp_path: Path) -> None:
    assert shown_path(Path("../stacks/Pulumi.team.yaml")) == "stacks/Pulumi.team.yaml"
    assert shown_path(Path("/nowhere/x.yaml")) == "/nowhere/x.yaml"


@pytest.mark.parametrize("words", PLAIN)
def test_a_plan_is_made_before_its_secrets_exist(tierup: Command, words: tuple[str, ...]) -> None:
    ended = tierup(*words, "--stack", "bare")
    assert (ended.code, problems(ended)) == (0, [])


def test_missing_secrets_are_warnings_of_a_plan_with_the_command_that_sets_them(tierup: Command) -> None:
    out = tierup("plan", "--stack", "bare").out
    fixes = re.findall(r"^warning: TIER105 .* - run `(.*)`$", out, re.MULTILINE)
    assert fixes == [
        f"pulumi config set --secret tierup:secret-{name} --stack bare"
        for name in ("key-web", "tls-certificate", "tls-key")
    ]
    counts = json.loads(tierup("plan", "--stack", "bare", "--json").out)["counts"]
    assert (counts["errors"], counts["warnings"]) == (0, 3)


def test_a_missing_secret_cannot_be_accepted(tierup: Command) -> None:
    file = Path("Pulumi.bare.yaml")
    file.write_text(BARE + "  tierup:accept: [{code: TIER105, reason: we set them later}]\n")
    ended = tierup("plan", "--stack", "bare")
    assert ended.code == 1
    assert "TIER012 accept[0].code: TIER105 is an error" in ended.err
    assert "TIER105 gateway" not in ended.err, "only errors are listed"


def test_a_local_cluster_needs_no_secret_and_starts_only_for_a_stack_without_errors(
    tierup: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tierup.local.cluster.cluster import Cluster, LocalClusterError

    def up(*_arguments: Any, **_more: Any) -> None:
        raise LocalClusterError("a cluster was started")

    monkeypatch.setattr(Cluster, "up", up)
    ended = tierup("local", "up", "--stack", "bare")
    assert "TIER105" not in ended.out + ended.err
    assert "a cluster was started" in ended.err
    Path("Pulumi.bare.yaml").write_text(BARE.replace("keys: {web: {}}", "keys: {web: {classes: [none]}}"))
    ended = tierup("local", "up", "--stack", "bare")
    assert (ended.code, ended.out) == (1, "")
    assert "a cluster was started" not in ended.err
