"""`tierup cost`: the same figures as text, JSON and a page, unpriced items, and exit codes."""

import datetime
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from bills import TODAY, floats
from command import Command, make_project

from tierup.cli import cost as command
from tierup.cli.generate import ROOT, cost_schema

GOOD = """\
config:
  tierup:workload: {users: 40}
  tierup:nodes: {server: standard-2x-a100-80g-pcie, count: 1, standby: {mode: cold, count: 1}}
  tierup:models:
    - id: qwen2.5-7b
"""


def quotes(**values: object) -> str:
    """The section with a quote for each id."""
    rows = [
        f"      {name.replace('_', '-')}: {{value: {value}, source: contract 17, asOf: 2026-11-02}}"
        for name, value in values.items()
    ]
    return "\n".join(["  tierup:cost:", "    quotes:", *rows]) + "\n"


ALL = quotes(
    electricity="0.10",
    pue="1.5",
    colocation="0",
    maintenance="0",
    labour="0",
    switch_ethernet="0",
    storage="0",
)
STACKS = {
    "good": GOOD,
    "known": GOOD + ALL,
    "dear": GOOD + "  tierup:budget: {monthlyUsd: 2000}\n",
    "warned": GOOD + "  tierup:budget: {monthlyUsd: 2000, capexUsd: 1000, mode: advisory}\n",
    "enough": GOOD + "  tierup:budget: {monthlyUsd: 100000, capexUsd: 120000}\n",
    "meant": GOOD + "  tierup:accept:\n    - {code: TIER118, reason: prices are renewed in January}\n",
    "wrong": GOOD + "  tierup:monitoring: {mode: operator}\n  tierup:budget: {capexUsd: 1}\n",
    "typo": GOOD + quotes(electricty="0.11"),
    "undated": GOOD + "  tierup:cost: {quotes: {electricity: {value: 0.11, source: contract 17}}}\n",
    "hostile": GOOD + ALL.replace("contract 17", "'<b>|x|'"),
}


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command in a project of its own, on a day that is known."""
    monkeypatch.chdir(make_project(tmp_path, STACKS))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(command, "today", lambda: TODAY)
    return Command(monkeypatch, capsys)


def read(tierup: Command, stack: str) -> Any:
    return json.loads(tierup("cost", "--stack", stack, "--json").out)


def test_json_keeps_its_committed_schema(tierup: Command) -> None:
    schema = json.loads((ROOT / "docs/cost.schema.json").read_text(encoding="utf-8"))
    assert schema == json.loads(cost_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    for stack in ("good", "known", "dear", "warned"):
        jsonschema.validate(read(tierup, stack), schema)


def test_decimals_are_text_and_parts_add_up(tierup: Command) -> None:
    report = read(tierup, "good")
    assert floats(report) == []
    total = Decimal(report["totals"]["usdPerHour"])
    for parts in ("lines", "components", "models"):
        hours = [Decimal(item["usdPerHour"]) for item in report[parts] if item["usdPerHour"] is not None]
        assert abs(sum(hours) - total) < Decimal("0.00001"), parts
    sums = report["totals"]
    assert abs(sum(Decimal(sums[kind]["usdPerHour"]) for kind in ("capex", "opex")) - total) < Decimal(
        "0.00001"
    )
    assert abs(Decimal(sums["usdPerGpuHour"]) * 2 - total) < Decimal("0.00001")
    assert sums["purchaseUsd"] == "120000.00"


def test_a_stack_with_every_price_worked_by_hand(tierup: Command) -> None:
    """Two servers at 60,000 / 48 a month, one of them with 897 W x 1.5 x 0.10 x 730 h."""
    report = read(tierup, "known")
    assert report["totals"]["usdPerMonth"] == "2598.22"
    assert (report["unpriced"], report["unpricedCount"]) == ([], 0)
    assert {item["role"]: item["usdPerMonth"] for item in report["nodes"]} == {
        "in service": "1348.22",
        "cold standby": "1250.00",
    }
    by_id = {item["id"]: item for item in report["prices"]}
    assert by_id["electricity"] | {"what": ""} == {
        "id": "electricity",
        "what": "",
        "value": "0.1",
        "low": None,
        "high": None,
        "unit": "USD/kWh",
        "source": "contract 17",
        "asOf": "2026-11-02",
        "confidence": "high",
        "quoted": True,
        "stale": False,
        "ownDate": "2026-11-02",
        "lookedUp": None,
    }
    assert by_id["standard-2x-a100-80g-pcie"]["stale"] is True


def test_text_and_page_have_the_figures_of_the_json(tierup: Command) -> None:
    report = read(tierup, "good")
    text, page = (tierup("cost", "--stack", "good", "--format", kind).out for kind in ("text", "markdown"))
    figures = [report["totals"]["usdPerMonth"], report["totals"]["purchaseUsd"]]
    figures += [
        item["usdPerMonth"] for part in ("lines", "nodes", "models", "rented") for item in report[part]
    ]
    for figure in figures:
        shown = "not priced" if figure is None else f"${Decimal(figure):,.2f}"
        assert shown in text
        assert shown in page
    for item in report["prices"]:
        assert item["id"] in text
        assert item["id"] in page
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    rows = [len(table.splitlines()) - 2 for table in tables]
    assert rows[:4] == [len(report[part]) for part in ("lines", "nodes", "models", "rented")]
    assert rows[-1] == len(report["prices"])
    assert "\x1b" not in text


def test_what_has_no_price_is_named_and_counted(tierup: Command) -> None:
    report = read(tierup, "good")
    assert report["unpriced"] == ["maintenance", "labour", "switch-ethernet", "storage"]
    assert report["unpricedCount"] == 4
    line = "not priced, and in no sum: maintenance, labour, switch-ethernet, storage (4)"
    assert line in tierup("cost", "--stack", "good").out
    assert line in tierup("cost", "--stack", "good", "--format", "markdown").out


@pytest.mark.parametrize("kind", ["text", "json", "markdown"])
def test_strict_ends_with_four_and_names_them(tierup: Command, kind: str) -> None:
    result = tierup("cost", "--stack", "good", "--strict", "--format", kind)
    assert result.code == 4
    assert result.err == "error: 4 not priced: maintenance, labour, switch-ethernet, storage\n"
    assert result.out == tierup("cost", "--stack", "good", "--format", kind).out
    assert tierup("cost", "--stack", "known", "--strict", "--format", kind).code == 0


def test_over_a_budget_the_cost_is_shown_and_ends_with_three(tierup: Command) -> None:
    text = tierup("cost", "--stack", "dear")
    assert text.code == 3
    assert text.err.startswith(
        "error: TIER119 budget.monthlyUsd: is less than a month costs, 4 unpriced not counted"
    )
    assert "(got $2,000; allowed at least $2,770) - raise it to 2770, or use fewer servers" in text.err
    assert "servers in service" in text.out
    for kind in ("json", "markdown"):
        result = tierup("cost", "--stack", "dear", "--format", kind)
        assert (result.code, result.err) == (3, "")
        assert "TIER119" in result.out
    assert read(tierup, "dear")["ok"] is False
    assert tierup("cost", "--stack", "dear", "--strict").code == 3
    assert tierup("cost", "--stack", "enough").code == 0


def test_an_advisory_budget_only_warns(tierup: Command) -> None:
    result = tierup("cost", "--stack", "warned")
    assert (result.code, result.err) == (0, "")
    assert "warning: TIER119 budget.monthlyUsd" in result.out
    assert "warning: TIER075 budget.capexUsd" in result.out
    assert tierup("plan", "--stack", "warned").code == 0
    assert tierup("plan", "--stack", "dear").code == 3


def test_old_prices_are_one_warning_that_can_be_accepted(
    tierup: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding, doubt = read(tierup, "good")["findings"]
    assert (doubt["code"], doubt["severity"]) == ("TIER124", "warning")  # of the guide's server price
    assert (finding["code"], finding["path"], finding["severity"]) == ("TIER118", "cost.quotes", "warning")
    assert "electricity 298 days" in finding["message"]
    meant, _ = read(tierup, "meant")["findings"]
    assert meant["accepted"] == "prices are renewed in January"
    # A preview does not know the day, so it cannot say that nothing is accepted.
    assert "TIER013" not in tierup("plan", "--stack", "meant").out
    monkeypatch.setattr(command, "today", lambda: datetime.date(2025, 7, 1))
    assert [item["code"] for item in read(tierup, "good")["findings"]] == ["TIER124"]


def test_errors_of_the_file_are_those_of_tierup_plan(tierup: Command) -> None:
    for stack, what in {
        "wrong": "TIER074 monitoring.mode",
        "typo": "TIER120 cost.quotes.electricty: there is no such price",
        "undated": "TIER004 cost.quotes.electricity.asOf: is missing",
        "absent": "TIER011",
    }.items():
        result = tierup("cost", "--stack", stack)
        assert (result.code, result.out) == (1, "")
        assert what in result.err
    assert "did you mean 'electricity'?" in tierup("cost", "--stack", "typo").err


def test_a_quote_s_source_cannot_break_the_page(tierup: Command) -> None:
    assert "&lt;b>\\|x\\|" in tierup("cost", "--stack", "hostile", "--format", "markdown").out


def test_two_formats_at_once_are_a_usage_error(tierup: Command) -> None:
    result = tierup("cost", "--stack", "good", "--json", "--format", "markdown")
    assert (result.code, result.err) == (2, "error: --json and --format markdown differ - give one\n")


def test_the_page_s_example_is_a_stack_file_s(tierup: Command, tmp_path: Path) -> None:
    (block,) = re.findall(
        r"```yaml\nconfig:\n(.*?)```", (ROOT / "docs/cost.md").read_text(encoding="utf-8"), re.DOTALL
    )
    (tmp_path / "stacks/Pulumi.page.yaml").write_text(GOOD + block, encoding="utf-8")
    report = read(tierup, "page")
    quoted = {item["id"]: item["value"] for item in report["prices"] if item["quoted"]}
    assert quoted == {"standard-2x-a100-80g-pcie": "57400", "electricity": "0.118"}
    assert report["totals"]["purchaseUsd"] == "114800.00"


def test_what_the_page_names_in_its_text_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / "docs/cost.md").read_text(encoding="utf-8")
    calls = re.findall(r"tierup (cost --stack \w+)", text)
    assert calls
    for call in calls:
        assert Command(monkeypatch, capsys)(*call.split()).code == 0


def test_it_asks_no_cluster_and_needs_no_pulumi(monkeypatch: pytest.MonkeyPatch, tierup: Command) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    monkeypatch.setenv("PATH", "")
    assert tierup("cost", "--stack", "good").code == 0
