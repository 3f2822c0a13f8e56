"""`tierup init` asks four things and writes a stack file that plans without a finding; it overwrites nothing."""

import io
import itertools
import json
from pathlib import Path

import pytest
from command import Command, make_project
from stack_schema import stack_validator

from tierup.catalog import load_catalog
from tierup.io.stack.read import read_stack
from tierup.io.stack.starter import MOST_SERVERS, Answers, NoStarter, offered_models, starter
from tierup.io.stack.yaml import read_yaml
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse

OFFERED = [(server, model) for server in load_catalog().servers for model in offered_models(server)]
USERS = (1, 2, 20, 55, 130, 400, 900)
ALL = ("--name", "team", "--server", "entry-2x-rtx-4090", "--model", "qwen2.5-7b", "--users", "20")


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the stack files of a new project."""
    folder = make_project(tmp_path, {})
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stacks: Path) -> Command:
    assert stacks.is_dir()
    return Command(monkeypatch, capsys)


def answer(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_every_server_is_offered_with_a_model_that_it_can_serve() -> None:
    assert {server for server, _ in OFFERED} == set(load_catalog().servers)
    assert {"qwen2.5-7b", "qwen3-8b"} <= {model for _, model in OFFERED}


@pytest.mark.parametrize(("server", "model"), OFFERED)
def test_every_offered_combination_plans_without_a_finding_or_says_why_not(server: str, model: str) -> None:
    written, refusals = {}, []
    for users in USERS:
        try:
            text = starter(Answers("team", server, model, users))
        except NoStarter as error:
            refusals.append(str(error))
            continue
        written[users] = text
        assert not list(stack_validator().iter_errors(read_yaml(text)[0]))
    for refusal in refusals:
        assert f"up to {MOST_SERVERS} servers" in refusal
        assert "  - TIER" in refusal
    assert {1, 2, 20, 55} <= written.keys(), "a small team fits every server"
    counts = [read_yaml(text)[0]["config"]["tierup:nodes"]["count"] for text in written.values()]
    assert counts == sorted(counts), "more users never need fewer servers"


@pytest.mark.parametrize(("case", "users"), list(itertools.product(OFFERED, (1, 20, 130))))
def test_the_command_s_file_plans_with_no_error_and_no_open_warning(
    tierup: Command, case: tuple[str, str], users: int
) -> None:
    server, model = case
    ended = tierup("init", "--name", "new", "--server", server, "--model", model, "--users", str(users))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "stacks/Pulumi.new.yaml written; next: tierup plan --stack new\n"
    planned = tierup("plan", "--stack", "new", "--json")
    counts = json.loads(planned.out)["counts"]
    assert (planned.code, counts["errors"], counts["warnings"]) == (0, 0, 0)


def test_one_server_fewer_would_not_do(stacks: Path) -> None:
    text = starter(Answers("team", "entry-2x-rtx-4090", "qwen2.5-7b", 400))
    count = read_yaml(text)[0]["config"]["tierup:nodes"]["count"]
    assert count > 1
    file = stacks / "Pulumi.fewer.yaml"
    file.write_text(text.replace(f"count: {count}", f"count: {count - 1}"))
    findings = make_plan(parse(read_stack(file)), load_catalog()).findings
    assert [item for item in findings if item.severity == "warning"]


def test_four_answers_are_asked_and_an_empty_line_takes_the_proposal(
    tierup: Command, monkeypatch: pytest.MonkeyPatch, stacks: Path
) -> None:
    answer(monkeypatch, "", "", "", "30")
    ended = tierup("init")
    assert ended.code == 0
    assert ended.err.count("]: ") == 4
    text = (stacks / "Pulumi.team.yaml").read_text()
    assert "    users: 30 #" in text
    assert text.count(" # ") > 10, "the file is commented"


def test_a_wrong_answer_is_asked_again(
    tierup: Command, monkeypatch: pytest.MonkeyPatch, stacks: Path
) -> None:
    answer(monkeypatch, "My Team", "mine", "", "llama-3.1-8b", "qwen3-8b", "none", "5")
    ended = tierup("init")
    assert ended.code == 0
    for problem in ("got My Team", "llama-3.1-8b needs a decision", "got none"):
        assert problem in ended.err
    assert "id: qwen3-8b" in (stacks / "Pulumi.mine.yaml").read_text()


def test_the_end_of_input_names_the_option_and_writes_nothing(
    tierup: Command, monkeypatch: pytest.MonkeyPatch, stacks: Path
) -> None:
    answer(monkeypatch, "mine")
    ended = tierup("init")
    assert (ended.code, ended.out) == (2, "")
    assert "error: there is no answer for --server" in ended.err
    assert list(stacks.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "dangling link"])
def test_nothing_is_overwritten(tierup: Command, stacks: Path, kind: str) -> None:
    file = stacks / "Pulumi.team.yaml"
    if kind == "file":
        file.write_text("mine")
    else:
        file.symlink_to(stacks / "elsewhere")
    ended = tierup("init", *ALL)
    assert ended.code == 2
    assert "stacks/Pulumi.team.yaml exists and is not overwritten" in ended.err
    assert not (stacks / "elsewhere").exists()
    assert kind != "file" or file.read_text() == "mine"


def test_every_wrong_option_is_in_one_message(tierup: Command, stacks: Path) -> None:
    wrong = ("--name", "../x", "--server", "entry", "--model", "qwen", "--users", "-1")
    ended = tierup("init", *wrong)
    assert (ended.code, ended.out) == (2, "")
    for option in wrong[::2]:
        assert f"{option}: " in ended.err
    assert list(stacks.iterdir()) == []


def test_too_many_users_is_refused_with_what_is_left(tierup: Command, stacks: Path) -> None:
    ended = tierup("init", *ALL[:-1], "100000")
    assert (ended.code, ended.out) == (1, "")
    assert "TIER090 workload.classes.chat.ttftMs" in ended.err
    assert list(stacks.iterdir()) == []
