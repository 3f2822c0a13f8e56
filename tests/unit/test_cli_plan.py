"""`tierup plan` in every format: where it is printed, its output for a bad file, and the exit code for CI."""

import json
import re
from pathlib import Path

import pytest
from command import Command, make_project

ROOT = Path(__file__).parents[2]
GOOD = """\
config:
  tierup:workload: {users: 40}
  tierup:nodes: {server: entry-2x-rtx-4090, count: 1}
  tierup:models:
    - id: qwen2.5-7b
"""
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command in a project of its own, with the stack `good` and some that are not."""
    stacks = {
        "good": GOOD,
        "meant": GOOD + "  tierup:accept:\n    - {code: TIER052, reason: a test tier}\n",
        "typo": GOOD.replace("users: 40", "users: many"),
        "dear": GOOD + "  tierup:budget: {capexUsd: 100}\n",
        "dear-and-wrong": GOOD + "  tierup:budget: {capexUsd: 100}\n  tierup:monitoring: {mode: operator}\n",
        "torn": GOOD + "  tierup:models: [\n",
        "leaky": GOOD + f"  tierup:images: {{nginx: {TOKEN}, {TOKEN}: 1}}\n",
    }
    monkeypatch.chdir(make_project(tmp_path, stacks))
    monkeypatch.setenv("COLUMNS", "200")
    return Command(monkeypatch, capsys)


def test_text_is_the_default_and_prints_warnings_on_standard_output(tierup: Command) -> None:
    plain = tierup("plan", "--stack", "good")
    assert (plain.code, plain.err) == (0, "")
    assert "warning: TIER052 nodes.count" in plain.out
    assert tierup("plan", "--stack", "good", "--format", "text") == plain


def test_text_prints_errors_on_standard_error_only(tierup: Command) -> None:
    ended = tierup("plan", "--stack", "typo")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("stack 'typo' has 1 problem:\n  - TIER005 workload.users: ")


def test_an_accepted_warning_is_shown_and_is_not_open(tierup: Command) -> None:
    (line,) = [line for line in tierup("plan", "--stack", "meant").out.splitlines() if "TIER052" in line]
    assert line.endswith("(got 1) - accepted: a test tier")
    open_, meant = (
        json.loads(tierup("plan", "--stack", name, "--json").out)["counts"] for name in ("good", "meant")
    )
    assert meant == open_ | {"warnings": open_["warnings"] - 1, "accepted": 1}


# stack, exit code, errors in their order, line of the first of them
CASES: list[tuple[str, int, list[str], int | None]] = [
    ("good", 0, [], None),
    ("meant", 0, [], None),
    ("typo", 1, ["TIER005"], 2),
    ("dear", 3, ["TIER075"], 6),
    ("dear-and-wrong", 1, ["TIER075", "TIER074"], 6),
    ("torn", 1, ["TIER001"], 7),
    ("absent", 1, ["TIER011"], None),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_json_prints_everything_on_standard_output_with_the_exit_code(
    tierup: Command, case: tuple[str, int, list[str], int | None]
) -> None:
    stack, code, errors, line = case
    ended = tierup("plan", "--stack", stack, "--format", "json")
    assert (ended.code, ended.err) == (code, "")
    tree = json.loads(ended.out)
    by_severity = {
        kind: [item for item in tree["findings"] if item["severity"] == kind] for kind in ("error", "warning")
    }
    assert [item["code"] for item in by_severity["error"]] == errors
    assert [item["line"] for item in by_severity["error"]][:1] == ([line] if errors else [])
    readable = stack not in ("torn", "absent")
    assert ("TIER052" in [item["code"] for item in by_severity["warning"]]) is readable
    assert tree["ok"] is (code == 0)
    assert ("models" in tree) is (code == 0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_sarif_and_markdown_have_the_findings_of_json(
    tierup: Command, case: tuple[str, int, list[str], int | None]
) -> None:
    stack, code, _, _ = case
    found = json.loads(tierup("plan", "--stack", stack, "--format", "json").out)["findings"]
    scanned, comment = (tierup("plan", "--stack", stack, "--format", name) for name in ("sarif", "markdown"))
    for ended in (scanned, comment):
        assert (ended.code, ended.err) == (code, "")
    results = json.loads(scanned.out)["runs"][0]["results"]
    assert [item["ruleId"] for item in results] == [item["code"] for item in found]
    for result, item in zip(results, found, strict=True):
        location = result["locations"][0]["physicalLocation"]
        assert location["artifactLocation"]["uri"] == f"stacks/Pulumi.{stack}.yaml"
        assert location.get("region") == (None if item["line"] is None else {"startLine": item["line"]})
    rows = [line for line in comment.out.splitlines() if re.match(r"\| .*TIER\d+ \|", line)]
    assert [re.findall(r"TIER\d+", row)[0] for row in rows] == [item["code"] for item in found]


def test_json_is_short_for_its_format(tierup: Command) -> None:
    assert tierup("plan", "--stack", "good", "--json") == tierup(
        "plan", "--stack", "good", "--format", "json"
    )
    assert tierup("plan", "--stack", "good", "--json", "--format", "json").code == 0


def test_two_formats_are_a_usage_error(tierup: Command) -> None:
    ended = tierup("plan", "--stack", "good", "--json", "--format", "sarif")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "error: --json and --format sarif differ - give one\n"


def test_an_unknown_format_is_a_usage_error(tierup: Command) -> None:
    ended = tierup("plan", "--stack", "good", "--format", "xml")
    assert (ended.code, ended.out) == (2, "")
    assert "'xml' is not one of 'text', 'json', 'markdown', 'sarif'" in ended.err


@pytest.mark.parametrize("name", ["text", "json", "markdown", "sarif"])
def test_no_format_shows_a_secret_of_the_file(tierup: Command, name: str) -> None:
    ended = tierup("plan", "--stack", "leaky", "--format", name)
    assert ended.code == 1
    assert "TIER008" in ended.out + ended.err
    assert TOKEN not in ended.out + ended.err


def test_the_json_page_names_every_key_of_the_object(tierup: Command) -> None:
    page = (ROOT / "docs/plan-json.md").read_text(encoding="utf-8")
    tree = json.loads(tierup("plan", "--stack", "good", "--json").out)
    for part in (tree, tree["findings"][0], tree["counts"], tree["nodes"], tree["models"][0], tree["gpus"]):
        for key in part:
            assert f"`{key}`" in page, key
