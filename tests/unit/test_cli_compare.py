"""`tierup compare`: the table, the page, the JSON and the chart agree, and an error is one message."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from small_stack import small_stack
from tier_plans import TIERS, VARIANTS, plan_of
from typer.testing import CliRunner

from tierup.catalog import load_catalog
from tierup.cli import compare as command
from tierup.cli.exits import UsageError
from tierup.cli.generate import ROOT, comparison
from tierup.compare import compare
from tierup.compare.table import claim_rows, tier_rows
from tierup.findings.model import TierError
from tierup.plan.resolve import resolve
from tierup.report import compare_markdown
from tierup.report.charts import compare as picture
from tierup.stack.parse import parse

SVG = "{http://www.w3.org/2000/svg}"
app = typer.Typer()
app.command()(command.compare)


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def run(*args: str) -> str:
    """What the command prints; its exceptions are raised."""
    chosen = [word for tier in TIERS for word in ("--stack", tier)] if "--stack" not in args else []
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*args, *chosen], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_has_every_figure_and_no_colours() -> None:
    text = " ".join(run().split())
    assert "\x1b" not in text
    for heading, cells in tier_rows(comparison()):
        assert heading in text
        for cell in cells:
            assert all(word in text for word in cell.split()), cell
    for row in claim_rows(comparison()):
        assert row[1] in text


def test_the_page_has_the_same_cells_in_rows_that_hold_together() -> None:
    page = run("--format", "markdown")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    first = [row for row in rows if row.count(" | ") == len(TIERS)]
    assert len(first) == len(list(tier_rows(comparison()))) + 1
    for heading, cells in tier_rows(comparison()):
        assert f"| {heading} | {' | '.join(cells)} |" in rows
    assert all(
        f"| {' | '.join(map(str, row))} |".replace("<", "&lt;") in rows for row in claim_rows(comparison())
    )


def test_json_by_either_name_is_the_same() -> None:
    assert run("--json") == run("--format", "json") == run("--json", "--format", "JSON")
    assert [tier["stack"] for tier in json.loads(run("--json"))["tiers"]] == ["entry", "standard", "premium"]


def test_stacks_are_chosen_by_name_and_listed_once() -> None:
    read = json.loads(run("--json", "--stack", "premium", "--stack", "entry", "--stack", "premium"))
    assert [tier["stack"] for tier in read["tiers"]] == ["entry", "premium"]


@pytest.mark.parametrize("kind", ["text", "json", "markdown", "svg"])
def test_a_file_gets_what_would_be_printed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    assert run("--format", kind, "--out", str(path)) == ""
    assert path.read_text(encoding="utf-8") == run("--format", kind)


def test_without_a_choice_every_stack_file_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    (tmp_path / "stacks").mkdir()
    for name, source in (("mine", "standard"), ("small", "entry")):
        shutil.copy(ROOT / f"stacks/Pulumi.{source}.yaml", tmp_path / f"stacks/Pulumi.{name}.yaml")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["--json"], catch_exceptions=False)
    assert [tier["stack"] for tier in json.loads(result.output)["tiers"]] == ["small", "mine"]
    shutil.rmtree(tmp_path / "stacks")
    with pytest.raises(UsageError, match="there is no stack file"):
        CliRunner().invoke(app, [], catch_exceptions=False)


def test_an_unknown_stack_is_one_message_with_the_names_there_are() -> None:
    with pytest.raises(TierError, match=r"there is no such stack file \(got premum.*did you mean 'premium'"):
        CliRunner().invoke(app, ["--stack", "premum"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--json", "--format", "svg"), "--json and --format svg differ"),
        (("--out", "no/such/folder/x"), "no/such/folder/x cannot be written: No such file"),
    ],
)
def test_a_mistake_is_one_sentence(args: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(app, list(args), catch_exceptions=False)


# The chart


def texts(root: ET.Element, kind: str) -> list[ET.Element]:
    return [item for item in root.iter(f"{SVG}text") if item.get("class") == kind]


def number(label: str | None) -> float:
    """An axis label in users or milliseconds."""
    assert label is not None
    return float(label.split()[0]) * (1000 if label.endswith(" s") else 1)


def dots(root: ET.Element, kind: str) -> list[tuple[float, float]]:
    found = [item for item in root.iter(f"{SVG}circle") if item.get("class") == kind]
    return [(float(item.get("cx", "")), float(item.get("cy", ""))) for item in found]


def read_off(pixel: float, ticks: list[tuple[float, float]]) -> float:
    """The value at a pixel, from the first and the last tick of a logarithmic axis."""
    (start, low), (end, high) = ticks[0], ticks[-1]
    return float(low * (high / low) ** ((pixel - start) / (end - start)))


def test_the_chart_has_the_figures_of_the_json() -> None:
    root, read = ET.fromstring(run("--format", "svg")), json.loads(run("--json"))["tiers"]
    users = [(float(item.get("x", "")), number(item.text)) for item in texts(root, "x-tick")]
    waits = [(float(item.get("y", "")) - 4, number(item.text)) for item in texts(root, "y-tick")]
    claims = [item for item in root.iter(f"{SVG}rect") if item.get("class") == "claim"]
    labels = [item.text for item in texts(root, "knee-label")]
    for index, tier in enumerate(read):
        computed = tier["computed"]
        assert labels[index] == f"{tier['stack']} holds {computed['mostUsers']['p50']} users"
        knee = dots(root, "knee")[index]
        assert read_off(knee[0], users) == pytest.approx(computed["mostUsers"]["p50"], rel=0.02)
        assert read_off(knee[1], waits) == pytest.approx(computed["ttftAtMostUsersMs"]["p50"], rel=0.02)
        ring = dots(root, "at-once")[index]
        assert read_off(ring[0], users) == pytest.approx(computed["mostRequestsAtOnce"]["p50"], rel=0.03)
        left = float(claims[index].get("x", ""))
        right = left + float(claims[index].get("width", ""))
        assert read_off(left, users) == pytest.approx(tier["guide"]["users"]["low"], rel=0.02)
        assert read_off(right, users) == pytest.approx(tier["guide"]["users"]["high"], rel=0.02)


def parsed_chart(found: Any) -> ET.Element:
    """A chart that is well-formed, inside its frame, each label on a line of its own."""
    root = ET.fromstring(picture.render(found))
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    numbers = re.findall(r"[ML]([\d.]+) ([\d.]+)", " ".join(p.get("d", "") for p in root.iter(f"{SVG}path")))
    assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in numbers)
    rows = sorted(float(item.get("y", "")) for item in texts(root, "knee-label"))
    assert all(b - a >= picture.ROW for a, b in pairwise(rows))
    assert rows[-1] < min(y for _, y in dots(root, "knee"))
    return root


@pytest.mark.parametrize("case", VARIANTS, ids="-".join)
def test_every_variant_can_be_drawn(case: tuple[str, str]) -> None:
    parsed_chart(compare([plan_of(*case)], load_catalog(), {}))


def test_many_stacks_long_names_and_broken_promises_can_be_drawn() -> None:
    catalog = load_catalog()
    hasty = {"users": 5, "classes": {"chat": {"promptTokens": 512, "answerTokens": 200, "ttftMs": 1}}}
    hasty["classes"]["chat"] |= {"tpotMs": 50, "share": 1, "priority": 80}  # type: ignore[index]
    plans = [
        resolve(parse(small_stack(stack=f"a-long-name-of-stack-{index}", workload=hasty)).config(), catalog)
        for index in range(8)
    ]
    root = parsed_chart(compare([*plans, plan_of("premium")], catalog, {}))
    labels = [item.text or "" for item in texts(root, "knee-label")]
    assert labels.count("a-long-na… keeps no promise") == 8
    assert all(float(item.get("x", "")) >= 0 for item in texts(root, "knee-label"))


def test_the_chart_has_a_white_background_and_a_description() -> None:
    root = ET.fromstring(run("--format", "svg"))
    panel = root.find(f"{SVG}rect")
    assert panel is not None
    assert panel.get("fill") == "#ffffff"
    description = root.findtext(f"{SVG}desc")
    assert description is not None
    assert "entry: " in description
    assert "the guide says 30 to 40" in description


def test_a_page_without_its_markers_is_refused() -> None:
    assert compare_markdown.between(f"a {compare_markdown.BEGIN} old {compare_markdown.END} b", "new") == (
        f"a {compare_markdown.BEGIN}\nnew\n{compare_markdown.END} b"
    )
    for page in ("nothing", compare_markdown.BEGIN, f"{compare_markdown.END} {compare_markdown.BEGIN}"):
        with pytest.raises(ValueError, match="the page has no"):
            compare_markdown.between(page, "new")


def test_the_readme_has_no_computed_figure_outside_its_markers() -> None:
    """A figure that is not generated becomes outdated: those of the table are only between the markers."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    outside = text.partition(compare_markdown.BEGIN)[0] + text.partition(compare_markdown.END)[2]
    assert "docs/compare.svg" in outside
    for tier in comparison().tiers:
        assert not re.search(rf"\b{int(tier.most_users.p50)}\b users", outside)
