"""Usage errors of `tierup loadtest` and `tierup tune` before anything is sent, and the output of `tune`."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from command import Command
from load_runs import results
from tier_plans import plan_of

ROOT = Path(__file__).parents[2]
STANDARD = plan_of("standard")


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command in a project with the committed stacks, where nothing listens on the port that is named."""
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("TIERUP_API_KEY", raising=False)
    return Command(monkeypatch, capsys)


HERE = ("loadtest", "--stack", "standard", "--host", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((*HERE, "--arrival", "open"), "--arrival open and --rate go together"),
        ((*HERE, "--rate", "2"), "--arrival open and --rate go together"),
        ((*HERE, "--arrival", "open", "--rate", "2", "--users", "5"), "--users is for closed arrival"),
        ((*HERE, "--time", "0s"), "--time: not a duration above 0 (got 0s) - such as 90s, 2m or 1h"),
        ((*HERE, "--time", "2 minutes"), "--time: not a duration above 0 (got 2 minutes)"),
        ((*HERE, "--json", "no/such/run.json"), "there is no such folder"),
        (("loadtest", "--stack", "standard", "--host", "localhost:8080"), "--host is a URL"),
        (("loadtest", "--stack", "standard", "--host", "ftp://127.0.0.1"), "--host is a URL"),
        (("loadtest", "--stack", "standard", "--host", "http://127.0.0.1:none"), "--host is a URL"),
        (("tune", "--stack", "standard", "--from", "absent.json"), "absent.json cannot be read"),
        (("tune", "--stack", "standard"), "give results of load tests (--from), or a server"),
    ],
)
def test_a_usage_error_is_one_message_and_sends_nothing(
    tierup: Command, args: tuple[str, ...], message: str
) -> None:
    ended = tierup(*args)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


def test_without_locust_the_command_that_installs_it_is_named(
    tierup: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "locust", None)
    ended = tierup(*HERE)
    assert (ended.code, ended.out) == (1, "")
    (line,) = ended.err.splitlines()
    _, _, command = line.partition("Locust sends the load and is not installed - install it: ")
    *start, lock = shlex.split(command)
    assert start == [sys.executable, "-m", "pip", "install", "-r"]
    assert "\nlocust==" in Path(lock).read_text(encoding="utf-8")


def test_a_secret_in_the_url_is_refused_and_not_repeated(tierup: Command) -> None:
    ended = tierup("loadtest", "--stack", "standard", "--host", "https://me:hush@llm.example.com")
    assert ended.code == 2
    assert "TIERUP_API_KEY" in ended.err
    assert "hush" not in ended.err


def test_a_key_that_fits_no_header_is_refused_and_not_repeated(
    tierup: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIERUP_API_KEY", "hush hush")
    ended = tierup(*HERE)
    assert ended.code == 2
    assert "TIERUP_API_KEY contains a character that is not a letter, digit or ASCII punctuation" in ended.err
    assert "hush" not in ended.err


def test_of_several_models_one_must_be_named(tierup: Command) -> None:
    models = (
        "  tierup:models:\n    - {id: qwen2.5-7b, name: a}\n    - {id: qwen2.5-7b, name: b, precision: awq}\n"
    )
    head = "config:\n  tierup:workload: {users: 20}\n  tierup:nodes: {server: standard-2x-a100-80g-pcie}\n"
    Path("stacks/Pulumi.two.yaml").write_text(head + models, encoding="utf-8")
    ended = tierup("loadtest", "--stack", "two", "--host", "http://127.0.0.1:1")
    assert ended.code == 2
    assert "name one: --model a | b" in ended.err


def test_tune_prints_the_patch_with_its_evidence_and_leaves_the_stack_file_alone(tierup: Command) -> None:
    before = Path("stacks/Pulumi.standard.yaml").read_bytes()
    for slots, late in ((8, 0.2), (16, 0.9)):
        run = results(STANDARD, ttft={"chat": late}, tpot={"chat": 0.1, "longform": 0.1}, slots=slots)
        Path(f"batch-{slots}.json").write_text(run.text(), encoding="utf-8")
    args = ("tune", "--stack", "standard", "--from", "batch-8.json", "--from", "batch-16.json")
    ended = tierup(*args)
    assert (ended.code, ended.err) == (0, "")
    assert (
        f"models[0].maxNumSeqs: {STANDARD.models[0].slots} -> 8\n  measured  kept; p95 of chat TTFT 0.20"
        in ended.out
    )
    result = json.loads(tierup(*args, "--json").out)
    assert [item["change"] for item in result["proposals"]] == [
        f"models[0].maxNumSeqs: {STANDARD.models[0].slots} -> 8"
    ]
    assert Path("stacks/Pulumi.standard.yaml").read_bytes() == before


def test_tune_without_evidence_says_what_is_missing_and_ends_with_exit_code_1(tierup: Command) -> None:
    Path("run.json").write_text(results(STANDARD, answered=3).text(), encoding="utf-8")
    ended = tierup("tune", "--stack", "standard", "--from", "run.json")
    assert ended.code == 1
    assert "not enough data: " in ended.out
    assert "3 answers of chat, but a 95th percentile needs 20" in ended.out


@pytest.mark.parametrize(
    ("text", "message"),
    [("{}", "is not a result of `tierup loadtest --json`: version"), ("torn", "is not a result of")],
)
def test_a_file_that_is_not_a_result_is_a_usage_error(tierup: Command, text: str, message: str) -> None:
    Path("run.json").write_text(text, encoding="utf-8")
    ended = tierup("tune", "--stack", "standard", "--from", "run.json")
    assert ended.code == 2
    assert message in ended.err


def test_a_run_of_another_stack_is_a_usage_error(tierup: Command) -> None:
    Path("run.json").write_text(results(STANDARD).text(), encoding="utf-8")
    ended = tierup("tune", "--stack", "entry", "--from", "run.json")
    assert ended.code == 2
    assert "is of the stack standard, not of entry" in ended.err
