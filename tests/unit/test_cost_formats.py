"""Every format of `tierup cost` tells the same figures, in the currency of the stack, whatever the options are."""

import json
import re
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from bills import TODAY
from command import Command, make_project
from cost_shapes import dec
from focus_columns import read

from tierup.cli import cost as command
from tierup.cost.report.cost import StackReport, every_table

OWNED = """\
config:
  tierup:workload: {users: 40, thinkSeconds: 20}
  tierup:nodes: {server: standard-2x-a100-80g-pcie, count: 2, standby: {mode: warm, count: 1}}
  tierup:models:
    - id: qwen2.5-7b
"""
EUR = """\
  tierup:cost:
    currency: {code: EUR, perUsd: 0.86, source: our bank, asOf: 2026-11-02}
    quotes:
      labour: {value: 150, source: contract 17, asOf: 2026-11-02}
      storage: {value: 0.1, source: contract 17, asOf: 2026-11-02}
"""
RENTED = OWNED.replace("count: 2,", "count: 2, tenure: rented, rent: {provider: RunPod},")
STACKS = {"owned": OWNED, "euro": OWNED + EUR, "rented": RENTED + EUR}
OPTIONS = [(), ("--utilisation", "0.5"), ("--api", "0.10/0.40"), ("--utilisation", "0.25", "--api", "1/2")]
Table = list[list[str]]
every_stack = pytest.mark.parametrize("stack", sorted(STACKS))


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(make_project(tmp_path, STACKS))
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr(command, "today", lambda: TODAY)
    return Command(monkeypatch, capsys)


def output(tierup: Command, *words: str) -> str:
    ended = tierup("cost", *words)
    assert ended.code == 0
    return ended.out


def markdown_tables(page: str) -> dict[str, Table]:
    """Heading and rows of every table of a Markdown page."""
    found = re.findall(r"^### (.*)\n\n((?:^\|.*\n)+)", page, re.MULTILINE)
    return {
        title.lower(): [
            [unescape(cell.strip()) for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
            for line in text.splitlines()
            if not line.startswith("|---")
        ]
        for title, text in found
    }


def html_tables(page: str) -> dict[str, Table]:
    """Caption and rows of every table of an HTML page."""
    return {
        unescape(caption).lower(): [
            [unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", rows, re.DOTALL)
        ]
        for caption, rows in re.findall(r"<table>\s*<caption>(.*?)</caption>(.*?)</table>", page, re.DOTALL)
    }


@every_stack
@pytest.mark.parametrize("options", OPTIONS, ids=lambda words: " ".join(words) or "plain")
def test_text_markdown_and_html_have_the_tables_of_the_json(
    tierup: Command, tmp_path: Path, stack: str, options: tuple[str, ...]
) -> None:
    words, file = ("--stack", stack, *options), tmp_path / "page.html"
    report = StackReport.model_validate_json(output(tierup, *words, "--json"))
    text = output(tierup, *words, "--report", str(file))
    page, html = output(tierup, *words, "--format", "markdown"), file.read_text(encoding="utf-8")
    expected = {
        table.title.lower(): [list(table.columns), *map(list, table.rows)] for table in every_table(report)
    }
    assert len(expected) >= 8
    assert any("against an api" in title for title in expected) is ("--api" in options)
    assert {title: rows for title, rows in markdown_tables(page).items() if rows} == expected
    assert {title: rows for title, rows in html_tables(html).items() if title != "a month"} == expected
    for table in expected.values():
        for cell in {cell for row in table for cell in row}:
            assert cell in text
    month = report.shown.text(report.totals.usd_per_month)
    for shown in (text, page, html):
        assert month in shown
    assert ("$" in text) is (stack == "owned")  # one currency on a page


@every_stack
@pytest.mark.parametrize("options", OPTIONS[:2], ids=["plain", "utilisation"])
def test_focus_and_opencost_count_the_hour_of_the_json(
    tierup: Command, stack: str, options: tuple[str, ...]
) -> None:
    words = ("--stack", stack, *options)
    report: dict[str, Any] = json.loads(output(tierup, *words, "--json"))
    shown, rate = report["shown"], dec(report["shown"]["perUsd"])
    assert shown["code"] == ("USD" if stack == "owned" else "EUR")
    assert dec(shown["perMonth"]) == (dec(report["totals"]["usdPerMonth"]) * rate).quantize(dec("0.01"))
    hour = dec(report["totals"]["usdPerHour"]) * rate
    rows = read(output(tierup, *words, "--format", "focus", "--month", "2026-10"))
    effective = sum((dec(row["EffectiveCost"]) for row in rows), Decimal(0))
    assert abs(effective - hour * 744) < dec("0.01")
    assert {row["BillingCurrency"] for row in rows} == {shown["code"]}
    assert {row["ProviderName"] for row in rows} == {"RunPod" if stack == "rented" else "own hardware"}
    pricing = json.loads(output(tierup, *words, "--format", "opencost"))
    assert pricing["currencyCode"] == shown["code"]
    gpus = 6  # two servers and a warm spare of two
    stored = sum(dec(line["usdPerHour"] or 0) for line in report["lines"] if line["component"] == "storage")
    assert abs(dec(pricing["GPU"]) * gpus + stored * rate - hour) < dec("0.00001")


def test_a_page_of_several_stacks_has_one_currency(tierup: Command, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    output(tierup, "--stack", "euro", "--beside", "owned", "--report", str(file))
    page = file.read_text(encoding="utf-8")
    assert "$" not in page
    owned = json.loads(output(tierup, "--stack", "owned", "--json"))["totals"]["usdPerMonth"]
    assert f"EUR {(dec(owned) * dec('0.86')).quantize(dec('0.01')):,f} <small>a month" in page


# FOCUS, by month


BOUGHT = OWNED.replace("count: 2,", "count: 2, purchased: 2026-09-15,")


@pytest.mark.parametrize(
    ("month", "billed", "hours"),
    [("2026-08", 0, 0), ("2026-09", 180_000, 16 * 24), ("2026-10", 0, 744), ("2026-11", 0, 720)],
)
def test_the_month_of_the_purchase_bills_it_and_no_other(
    tierup: Command, tmp_path: Path, month: str, billed: int, hours: int
) -> None:
    (tmp_path / "stacks/Pulumi.owned.yaml").write_text(BOUGHT, encoding="utf-8")
    rows = read(output(tierup, "--stack", "owned", "--format", "focus", "--month", month))
    purchases = [row for row in rows if row["ChargeCategory"] == "Purchase"]
    assert sum(dec(row["BilledCost"]) for row in purchases) == billed
    assert {row["ChargePeriodStart"] for row in purchases} <= {"2026-09-15T00:00:00Z"}
    assert len([row for row in rows if row["ResourceType"] == "power"]) == hours
    running = [row for row in rows if row["ChargeCategory"] == "Usage"]
    assert all(row["BilledCost"] == "0" for row in running if row["ResourceType"] == "nodes")


def test_the_day_of_the_purchase_is_stated_or_the_quotes_or_unknown(tierup: Command, tmp_path: Path) -> None:
    quoted = (
        "  tierup:cost: {quotes: {standard-2x-a100-80g-pcie: {value: 1, source: dealer, asOf: 2026-10-05}}}\n"
    )
    for text, day in ((OWNED, None), (OWNED + quoted, "2026-10-05"), (BOUGHT + quoted, "2026-09-15")):
        (tmp_path / "stacks/Pulumi.owned.yaml").write_text(text, encoding="utf-8")
        plan = json.loads(tierup("plan", "--stack", "owned", "--json").out)
        assert plan["nodes"]["purchased"] == day
        ended = tierup("cost", "--stack", "owned", "--format", "focus")
        assert ("no day of the purchase is known" in ended.err) is (day is None)
        assert "Purchase" not in ended.out.replace("Purchases", "")  # it was not bought in November


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            ("--format", "focus", "--month", "2026-12"),
            "--month: lies in the future (got 2026-12) - up to 2026-11",
        ),
        (("--format", "focus", "--month", "May"), "--month: a year and a month (got May) - such as 2026-11"),
        (("--month", "2026-10"), "--month is for --format focus - leave it out"),
    ],
)
def test_a_wrong_month_is_one_message(tierup: Command, words: tuple[str, ...], what: str) -> None:
    ended = tierup("cost", "--stack", "owned", *words)
    assert (ended.code, ended.out, ended.err) == (2, "", f"error: {what}\n")
