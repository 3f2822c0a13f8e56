"""Options of `tierup cost`: given figures are used, formats agree, an error is one message, exports are valid."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from bills import TODAY
from command import Command
from cost_shapes import dec
from focus_columns import read
from money import usd

from tierup.cli import cost as command
from tierup.cli.generate import ROOT

MONTH = dec(730)


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command among the committed stacks, on a day that is known."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(command, "today", lambda: TODAY)
    return Command(monkeypatch, capsys)


def json_of(tierup: Command, *args: str) -> Any:
    result = tierup("cost", *args, "--json")
    assert result.code == 0
    return json.loads(result.out)


@pytest.mark.parametrize("args", [(), ("--utilisation", "0.5", "--api", "0.10/0.40")], ids=["plan", "stated"])
def test_json_keeps_its_committed_schema(tierup: Command, args: tuple[str, ...]) -> None:
    schema = json.loads((ROOT / "docs/cost.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(json_of(tierup, "--stack", "entry", *args), schema)


def test_a_given_utilisation_replaces_the_plans(tierup: Command) -> None:
    (plan,) = json_of(tierup, "--stack", "entry")["outlook"]["tokens"]
    (half,) = json_of(tierup, "--stack", "entry", "--utilisation", "0.5")["outlook"]["tokens"]
    assert (plan["utilisationFrom"], half["utilisationFrom"]) == ("plan", "stated")
    assert half["utilisation"] == "0.5000"
    (percent,) = json_of(tierup, "--stack", "entry", "--utilisation", "50%")["outlook"]["tokens"]
    assert percent == half
    assert half["usageBased"] == plan["usageBased"]
    full, spread = (half[name]["tokensOut"]["value"] for name in ("usageBased", "allocationBased"))
    assert abs(dec(spread) - 2 * dec(full)) <= dec("0.0002")  # both rounded


def test_an_api_is_compared_only_if_its_price_is_given(tierup: Command) -> None:
    assert json_of(tierup, "--stack", "entry")["outlook"]["api"] is None
    api = json_of(tierup, "--stack", "entry", "--api", "0.10/0.40")["outlook"]["api"]
    assert (api["usdIn"], api["usdOut"]) == ("0.10", "0.40")
    assert 0 < dec(api["breakEven"][0]["utilisation"]) < 1
    cheap = json_of(tierup, "--stack", "entry", "--api", "0.001/0.001")["outlook"]["api"]
    assert cheap["breakEven"][0]["utilisation"] is None
    text = tierup("cost", "--stack", "entry", "--api", "0.001/0.001").out
    assert "never, not even at full use" in text


def cached_stack(folder: Path, part: float) -> str:
    """The entry stack, whose chat prompts are cached for this part."""
    text = (ROOT / "stacks/Pulumi.entry.yaml").read_text(encoding="utf-8")
    file = folder / f"Pulumi.cached{part}.yaml"
    key = f"        promptTokens: 512\n        sharedPrefix: {part}\n"
    file.write_text(text.replace("        promptTokens: 512\n", key), encoding="utf-8")
    return str(file)


def test_an_api_with_a_price_for_cached_prompts_is_paid_it_for_the_cached_part(
    tierup: Command, tmp_path: Path
) -> None:
    stack = cached_stack(tmp_path, 0.8)
    three = json_of(tierup, "--stack", stack, "--api", "0.10/0.02/0.40")["outlook"]["api"]
    two = json_of(tierup, "--stack", stack, "--api", "0.10/0.40")["outlook"]["api"]
    assert (three["usdCached"], two["usdCached"]) == ("0.02", None)
    (cheap,), (dear,) = three["breakEven"], two["breakEven"]
    assert 0 < dec(cheap["sharedPrefix"]) < dec("0.8")  # the other class caches nothing
    assert dec(cheap["apiUsdPerFullDay"]) < dec(dear["apiUsdPerFullDay"])
    assert cheap["usdPerDay"] == dear["usdPerDay"]
    for item in (cheap, dear):
        even = dec(item["tokensPerDay"]) / dec(item["fullTokensPerDay"])
        assert abs(even - dec(item["utilisation"])) < dec("0.0001")
    text = tierup("cost", "--stack", stack, "--api", "0.10/0.02/0.40").out
    assert "$0.100 in, $0.020 cached, $0.400 out" in text
    assert "million tokens a day" in text


def test_what_a_stack_caches_lowers_the_price_of_its_own_prompts(tierup: Command, tmp_path: Path) -> None:
    cold, warm = (
        json_of(tierup, "--stack", cached_stack(tmp_path, part))["outlook"]["tokens"][0] for part in (0, 0.8)
    )
    assert (cold["sharedPrefix"], dec(warm["sharedPrefix"]) > 0) == ("0.0000", True)
    price_in = [dec(item["usageBased"]["tokensIn"]["value"]) for item in (cold, warm)]
    assert price_in[1] < price_in[0]


def test_three_years_are_the_sum_of_their_parts_and_of_their_hours(tierup: Command) -> None:
    for stack in ("entry", "standard", "premium"):
        report = json_of(tierup, "--stack", stack)
        years = {name: dec(usd) for name, usd in report["outlook"]["threeYears"].items()}
        parts = years["purchaseUsd"] + years["replacementUsd"] + years["opexUsd"] - years["residualUsd"]
        assert abs(parts - years["totalUsd"]) <= dec("0.02")
        assert abs(years["totalUsd"] - dec(report["totals"]["usdPerHour"]) * MONTH * 36) < dec("0.05")


def test_text_has_the_figures_of_the_json(tierup: Command) -> None:
    args = ("--stack", "premium", "--api", "0.10/0.40")
    outlook = json_of(tierup, *args)["outlook"]
    text = tierup("cost", *args).out
    shown = [usd(dec(value)) for name, value in outlook["threeYears"].items() if name != "months"]
    shown += [usd(dec(case["usdPerHour"]), 4) for case in outlook["sensitivity"]]
    for item in outlook["tokens"]:
        for basis in ("allocationBased", "usageBased"):
            shown += [usd(dec(item[basis][kind]["value"]), 3) for kind in ("tokensIn", "tokensOut")]
    for item in outlook["rented"]:
        wait = item["monthsUntilOwningIsCheaper"]
        shown.append("not within ten years" if wait is None else f"after {wait} months")
        (model,) = item["tokens"]
        pair = (model["allocationBased"][kind]["value"] for kind in ("tokensIn", "tokensOut"))
        shown.append(", ".join(usd(dec(value), 3) for value in pair))
    for figure in shown:
        assert figure in text


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (("--utilisation", "0"), "--utilisation: utilisation is above 0 and at most 1 (got 0)"),
        (("--utilisation", "1.5"), "--utilisation: utilisation is above 0 and at most 1 (got 1.5)"),
        (("--utilisation", "half"), "--utilisation: a number of 0 or more (got half) - such as 0.5 or 50%"),
        (("--utilisation", "NaN"), "--utilisation: a number of 0 or more (got NaN) - such as 0.5 or 50%"),
        (
            ("--api", "0.4"),
            (
                "--api: two or three prices with a slash between them (got 0.4)"
                " - such as 0.10/0.40 or 0.10/0.025/0.40"
            ),
        ),
        (("--api", "1/x/2"), "--api: a number of 0 or more (got x) - such as 0.10/0.025/0.40"),
        (("--api", "0.1/-1"), "--api: a number of 0 or more (got -1) - such as 0.10/0.40"),
        (("--beside", "premium"), "--beside adds to --report - give its file too"),
        (
            ("--report", "/nowhere/page.html"),
            (
                "/nowhere/page.html cannot be written: No such file or directory"
                " - name a file in a folder that you can write to"
            ),
        ),
    ],
)
def test_a_mistake_is_one_message(tierup: Command, args: tuple[str, ...], what: str) -> None:
    result = tierup("cost", "--stack", "entry", "--format", "markdown", *args)
    assert (result.code, result.err) == (2, f"error: {what}\n")


def test_focus_is_valid_and_names_what_it_leaves_out(tierup: Command) -> None:
    result = tierup("cost", "--stack", "standard", "--format", "focus")
    rows = read(result.out)
    assert result.err.splitlines() == [
        "note: no price, so not included: maintenance, labour, switch-ethernet, storage",
        "note: no day of the purchase is known, so no month bills it (nodes.purchased)",
    ]
    assert rows[0]["BillingPeriodStart"] == "2026-11-01T00:00:00Z"
    total = dec(json_of(tierup, "--stack", "standard")["totals"]["usdPerHour"]) * 720
    effective = sum((dec(row["EffectiveCost"]) for row in rows), dec(0))
    assert abs(effective - total) < dec("0.01")


def test_opencost_is_a_file_of_strings_for_its_custom_provider(tierup: Command) -> None:
    pricing = json.loads(tierup("cost", "--stack", "premium", "--format", "opencost").out)
    assert pricing["provider"] == "custom"
    assert all(isinstance(value, str) for value in pricing.values())
    hour = dec(json_of(tierup, "--stack", "premium")["totals"]["usdPerHour"])
    assert abs(dec(pricing["GPU"]) * 4 - hour) < dec("0.00001")


def test_the_page_may_have_several_tiers(tierup: Command, tmp_path: Path) -> None:
    page = tmp_path / "cost.html"
    args = ("--stack", "entry", "--report", str(page), "--beside", "premium")
    assert tierup("cost", *args).code == 0
    text = page.read_text(encoding="utf-8")
    for stack in ("entry", "premium"):
        assert f'data-stack="{stack}"' in text
    assert 'data-stack="standard"' not in text
