"""`tierup cost --plan`: what a plan changes as text, JSON and comment, usage errors, and exit codes."""

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from bills import TODAY, floats
from command import Command, make_project
from golden_plans import GOLDEN

from benchmarks.large_plan import large_plan
from tierup.cli import cost as command
from tierup.cli.generate import ROOT, cost_difference_schema
from tierup.report.cost_markdown import LIMIT

PLANS = sorted(path.stem for path in GOLDEN.glob("*.json"))
ENTRY = """\
config:
  tierup:workload: {users: 40}
  tierup:nodes: {server: entry-2x-rtx-4090, count: 1}
  tierup:models:
    - id: qwen2.5-7b
"""


class Project:
    """A project with one stack file, and the command in it on a day that is known."""

    def __init__(self, folder: Path, tierup: Command) -> None:
        self.folder, self.tierup = folder, tierup
        self.stack = make_project(folder, {"entry": ENTRY}) / "Pulumi.entry.yaml"

    def budget(self, limits: str) -> None:
        self.stack.write_text(f"{ENTRY}  tierup:budget: {{{limits}}}\n", encoding="utf-8")

    def plan(self, content: object, name: str = "plan.json") -> str:
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Project:
    made = Project(tmp_path, Command(monkeypatch, capsys))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(command, "today", lambda: TODAY)
    return made


def golden(name: str) -> str:
    return str(GOLDEN / f"{name}.json")


def read(project: Project, plan: str) -> Any:
    return json.loads(project.tierup("cost", "--plan", plan, "--json").out)


@pytest.mark.parametrize("name", PLANS)
def test_json_keeps_its_committed_schema_and_its_differences_are_exact(project: Project, name: str) -> None:
    schema = json.loads((ROOT / "docs/cost-difference.schema.json").read_text(encoding="utf-8"))
    assert schema == json.loads(cost_difference_schema())
    report = read(project, golden(name))
    jsonschema.validate(report, schema)
    assert floats(report) == []
    for row in (report["total"], *report["components"], *report["lines"]):
        for key in ("usdPerHour", "usdPerMonth", "purchaseUsd"):
            past, now, change = (Decimal(row[side][key]) for side in ("past", "now", "difference"))
            assert change == now - past
    for parts in ("components", "lines"):
        monthly = sum(Decimal(row["now"]["usdPerMonth"]) for row in report[parts])
        assert abs(monthly - Decimal(report["total"]["now"]["usdPerMonth"])) <= Decimal("0.05")


def test_the_new_cost_is_that_of_the_stack_file(project: Project) -> None:
    alone = json.loads(project.tierup("cost", "--stack", "entry", "--json").out)
    report = read(project, golden("no_op"))
    assert report["total"]["now"]["usdPerMonth"] == alone["totals"]["usdPerMonth"]
    assert report["total"]["now"]["purchaseUsd"] == alone["totals"]["purchaseUsd"]
    assert report["now"]["unpriced"] == alone["unpriced"]


def test_text_shows_what_a_change_costs_and_what_is_unknown(project: Project) -> None:
    result = project.tierup("cost", "--plan", golden("scale"), "--stack", "entry")
    assert (result.code, result.err) == (0, "")
    shown = result.out.splitlines()
    assert shown[0].startswith("entry: +$681.96 a month, and what is not priced: $681.97")
    assert "  servers: 1 x entry-2x-rtx-4090 -> 2 x entry-2x-rtx-4090" in shown
    assert "  GPUs that models hold: 2 -> 4" in shown
    assert "  resources: 6 create, 6 delete, 31 same, 10 update" in shown
    assert re.search(r"^nodes +\$312.50 +\$625.00 +\+\$312.50 +\+\$15,000.00", result.out, re.MULTILINE)
    assert re.search(r"^labour +not priced +not priced +not priced", result.out, re.MULTILINE)
    assert "no change of the monthly cost" in project.tierup("cost", "--plan", golden("no_op")).out
    foreign = project.tierup("cost", "--plan", golden("foreign")).out
    assert foreign.startswith("foreign: what changes is not priced: not priced\n")
    assert "kubernetes:acme.example.com/v1:Database orders" in foreign


def test_the_comment_begins_with_its_marker_and_its_summary_and_folds_the_rest(project: Project) -> None:
    first = project.tierup("cost", "--plan", golden("scale"), "--format", "markdown").out
    second = project.tierup("cost", "--plan", golden("delete"), "--format", "markdown").out
    for comment in (first, second):
        assert comment.splitlines()[:2] == ["<!-- tierup-cost:entry -->", "## Cost of entry"]
        summary, *folded = comment.split("<details>")
        assert "a month" in summary
        assert "| all |" in summary
        assert [part.count("</details>") for part in folded] == [1] * len(folded)
    assert "**+$681.96 a month" in first
    assert "**-$681.97 a month" in second
    assert "warning: TIER118" in first


def test_a_comment_of_a_plan_of_thousands_stays_under_the_limit_and_counts_what_it_leaves_out(
    project: Project,
) -> None:
    path = project.plan(large_plan(5000, unknown=4000))
    comment = project.tierup("cost", "--plan", path, "--format", "markdown").out
    assert LIMIT - 500 < len(comment) <= LIMIT
    assert "**+$681.96 a month" in comment
    assert "| all |" in comment
    (left_out,) = re.findall(r"\| (\d+) lines left out \|", comment)
    listed = comment.count("acme:cloud/database:Database")
    assert listed > 100
    assert listed + int(left_out) == 4000
    assert comment.count("<details>") == comment.count("</details>") == 3
    assert "| electricity |" in comment.partition("Prices used")[2], (
        "short tables are complete, wherever they are"
    )


def test_names_in_a_plan_cannot_add_markup_to_the_comment(project: Project) -> None:
    name = "x</details>|<img src=y>\n## [free](https://example.com) `@all` " + "long" * 200
    state = {"urn": f"urn:pulumi:entry::p::a:b:C::{name}", "type": "a:b:C", "custom": True}
    steps = [{"op": "create", "urn": state["urn"], "newState": state}]
    path = project.plan({"steps": steps, "changeSummary": {"create": 1}})
    comment = project.tierup("cost", "--plan", path, "--format", "markdown").out
    assert "<img" not in comment
    assert "[free](" not in comment
    assert comment.count("</details>") == comment.count("<details>")
    assert [line for line in comment.splitlines() if line.startswith("## ")] == ["## Cost of entry"]
    assert max(map(len, comment.splitlines())) < 700


@pytest.mark.parametrize(
    ("budget", "plan", "code", "message"),
    [
        ("capexUsd: 30000", "scale", 0, ""),
        ("capexUsd: 29999", "scale", 3, "error: TIER075 budget.capexUsd"),
        ("capexUsd: 29999", "no_op", 0, ""),
        ("monthlyUsd: 1364", "scale", 0, ""),
        ("monthlyUsd: 1363", "scale", 3, "budget.monthlyUsd"),
        ("maxIncreaseUsdPerMonth: 682", "scale", 0, ""),
        ("maxIncreaseUsdPerMonth: 681", "scale", 3, "budget.maxIncreaseUsdPerMonth"),
        ("maxIncreaseUsdPerMonth: 0", "delete", 0, ""),
        ("maxIncreaseUsdPerMonth: 0", "create", 0, ""),
        ("maxIncreaseUsdPerMonth: 681, mode: advisory", "scale", 0, ""),
    ],
)
def test_a_budget_applies_to_the_new_cost(
    project: Project, budget: str, plan: str, code: int, message: str
) -> None:
    project.budget(budget)
    result = project.tierup("cost", "--plan", golden(plan), "--stack", "entry", "--strict")
    assert result.code == (code if code else 4), "unpriced resources count only if no budget is exceeded"
    assert message in result.err
    assert project.tierup("cost", "--plan", golden(plan), "--stack", "entry").code == code
    assert project.tierup("cost", "--plan", golden(plan)).code == 0, (
        "without the stack's file there is no budget"
    )


def test_strict_ends_with_4_if_new_resources_have_no_price_and_names_them(project: Project) -> None:
    result = project.tierup("cost", "--plan", golden("foreign"), "--strict")
    assert result.code == 4
    assert "error: 5 not priced: " in result.err
    assert "kubernetes:networking.k8s.io/v1:Ingress shop" in result.err
    priced = [{"op": "delete", "urn": "urn:pulumi:s::p::a:b:C::x", "oldState": _state()}]
    path = project.plan({"steps": priced, "changeSummary": {"delete": 1}})
    assert project.tierup("cost", "--plan", path, "--strict").code == 0, "it had no price, and it is deleted"


def _state() -> dict[str, Any]:
    return {"urn": "urn:pulumi:s::p::a:b:C::x", "type": "a:b:C", "custom": True}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--plan", "none.json"), "none.json cannot be read: No such file"),
        (
            ("--plan", "Pulumi.yaml"),
            "Pulumi.yaml is not a Pulumi plan - make one with `pulumi preview --json",
        ),
        (("--plan", golden("scale"), "--stack", "standard"), "belongs to stack 'entry', not 'standard'"),
        (("--plan", golden("scale"), "--json", "--format", "text"), "--json and --format text differ"),
        (("--plan", golden("scale"), "--preview"), "--plan and --preview both name a plan"),
        (("--plan", golden("scale"), "--format", "focus"), "text, json or markdown"),
        (
            ("--plan", golden("scale"), "--utilisation", "0.5"),
            "leave out other formats, --utilisation, --api and --report",
        ),
        (("--preview",), "--preview needs a stack - name it (--stack)"),
        ((), "name a stack (--stack) or a plan (--plan)"),
    ],
)
def test_a_usage_error_is_one_message(project: Project, args: tuple[str, ...], message: str) -> None:
    result = project.tierup("cost", *args)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert message in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        (f"cat {GOLDEN / 'scale.json'}", 0, "servers: 1 x entry-2x-rtx-4090 -> 2 x entry-2x-rtx-4090"),
        ("echo 'error: no stack' >&2; exit 255", 2, "`pulumi preview` ended with 255 and no plan"),
        (None, 2, "pulumi is not on PATH - install it, or give a saved plan (--plan FILE)"),
    ],
)
def test_a_preview_is_run_for_its_plan(
    project: Project, monkeypatch: pytest.MonkeyPatch, script: str | None, code: int, message: str
) -> None:
    """A fake pulumi, which knows this one command; tests/control_plane runs the real one."""
    tools = project.folder / "tools"
    tools.mkdir()
    if script is not None:
        wanted = "preview --json --show-sames --non-interactive --stack entry"
        fake = tools / "pulumi"
        fake.write_text(f'#!/bin/sh\nPATH=/bin:/usr/bin\n[ "$*" = "{wanted}" ] || exit 9\n{script}\n')
        fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    result = project.tierup("cost", "--stack", "entry", "--preview")
    assert result.code == code, result
    assert message in (result.out if code == 0 else result.err)


def test_a_stack_without_resources_has_a_plan_too(project: Project) -> None:
    path = project.plan({"changeSummary": {}, "steps": None})
    result = project.tierup("cost", "--plan", path, "--stack", "entry")
    assert result.code == 0
    assert result.out.startswith("entry: no change of the monthly cost: $0.00\n")
    nameless = project.tierup("cost", "--plan", path)
    assert nameless.code == 2
    assert "has no resources, so its stack is not known" in nameless.err


def test_secrets_of_a_plan_are_never_shown(project: Project) -> None:
    token = "hf_abcdefghijklmnopqrstuvwxyz"
    state = {**_state(), "urn": f"urn:pulumi:s::p::a:b:C::{token}"}
    path = project.plan(
        {"steps": [{"op": "create", "urn": state["urn"], "newState": state}], "changeSummary": {}}
    )
    for kind in ("text", "json", "markdown"):
        assert token not in project.tierup("cost", "--plan", path, "--format", kind).out
