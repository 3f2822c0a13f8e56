"""`tierup usage`: a month of gateway logs becomes a bill for each caller."""

import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from command import Command

from tierup.cli.usage import _lines
from tierup.templates import ROOT
from tierup.usage import MOST_GROUPS, MOST_LINE, Group, Usage


def line(key: str = "web", prompt: int = 100, answer: int = 50, **more: str) -> bytes:
    entry = {
        "time": "2026-11-28T12:00:00+00:00",
        "request_id": "a",
        "key": key,
        "class": "chat",
        "model": "qwen2-5-7b",
        "status": "200",
        "prompt_tokens": str(prompt),
        "cached_tokens": "40",
        "answer_tokens": str(answer),
        "tokens_from": "usage",
        **more,
    }
    return json.dumps(entry).encode() + b"\n"


def read(*lines: bytes) -> Usage:
    usage = Usage()
    usage.read(lines)
    return usage


def test_lines_are_summed_by_month_caller_and_model() -> None:
    usage = read(
        line(), line(), line("ops"), line(time="2026-12-01T00:00:00+00:00"), line(tokens_from="events"), b"\n"
    )
    assert {
        group: (sums.requests, sums.prompt, sums.answer, sums.estimated)
        for group, sums in usage.groups.items()
    } == {
        Group("2026-11", "web", "qwen2-5-7b"): (3, 300, 150, 1),
        Group("2026-11", "ops", "qwen2-5-7b"): (1, 100, 50, 0),
        Group("2026-12", "web", "qwen2-5-7b"): (1, 100, 50, 0),
    }
    assert usage.lines == 5


@pytest.mark.parametrize("before", [b"[pod/gateway-0/nginx] ", b"2026-11-28T12:00:00.1Z ", b""])
def test_what_kubectl_writes_before_a_line_is_passed_over(before: bytes) -> None:
    assert read(before + line()).groups[Group("2026-11", "web", "qwen2-5-7b")].requests == 1


def test_other_lines_are_counted_by_their_kind() -> None:
    old = json.dumps(
        {name: text for name, text in json.loads(line()).items() if "token" not in name}
    ).encode()
    others = (
        b"2026/11/28 [error]\n",
        b'{"event":"taken"}\n',
        b"{" * 5000,
        b"\xff{}",
        b"x" * (MOST_LINE + 1) + line(),
    )
    usage = read(old, line(prompt=0, answer=0), line(prompt_tokens="-1"), line(time="today"), *others)
    assert (usage.unmetered, usage.unused, usage.unknown, usage.groups) == (1, 1, 7, {})


def test_a_log_of_endless_callers_does_not_fill_the_memory() -> None:
    usage = read(*(line(f"caller-{number}") for number in range(MOST_GROUPS + 5)))
    assert (len(usage.groups), usage.unknown) == (MOST_GROUPS, 5)


def test_a_line_that_is_too_long_is_one_line_of_another_program() -> None:
    long = b"{" + b"x" * 200_000 + b"\n"
    usage = read(*_lines(io.BytesIO(line() + long + line())))
    assert (usage.lines, usage.unknown, sum(item.requests for item in usage.groups.values())) == (3, 1, 2)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "gateway.log"
    path.write_bytes(
        line(prompt=1_000_000, answer=0) + line("ops", 0, 1_000_000) + line(model="gone") + b"noise\n"
    )
    return str(path)


def test_the_bill_has_the_prices_of_tierup_cost(cli: Command, log: str) -> None:
    result = cli("usage", "--stack", "standard", "--json", log)
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    (tokens,) = json.loads(cli("cost", "--stack", "standard", "--json").out)["outlook"]["tokens"]
    prices = {name: Decimal(span["value"]) for name, span in tokens["allocationBased"].items()}
    rows = {(row["caller"], row["model"]): row for row in found["usage"]}
    assert abs(Decimal(rows["web", "qwen2.5-7b"]["usd"]) - prices["tokensIn"]) < Decimal("0.0002")
    assert abs(Decimal(rows["ops", "qwen2.5-7b"]["usd"]) - prices["tokensOut"]) < Decimal("0.0002")
    assert rows["web", "gone"]["usd"] is None, "a model that the stack does not serve has no price"
    assert found["lines"] == {"read": 4, "unused": 0, "unmetered": 0, "unknown": 1}
    half = json.loads(cli("usage", "--stack", "standard", "--utilisation", "0.5", "--json", log).out)
    assert Decimal(half["usage"][0]["usd"]) < Decimal(found["usage"][0]["usd"]), "a busier tier is cheaper"


def test_the_table_names_what_has_no_price(cli: Command, log: str) -> None:
    out = cli("usage", log).out
    assert "unknown" in out
    assert "1,000,000" in out
    assert "4 lines; without tokens: 0; without meterTokens: 0; of other programs: 1" in " ".join(out.split())


def test_standard_input_is_read_by_default(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(line())))
    assert json.loads(cli("usage", "--json").out)["usage"][0]["requests"] == 1


def test_mistakes_get_one_message(cli: Command, tmp_path: Path) -> None:
    missing = cli("usage", str(tmp_path / "no.log"))
    assert (missing.code, missing.out) == (2, "")
    assert missing.err.endswith("no.log: No such file or directory\n")
    alone = cli("usage", "--utilisation", "0.5")
    assert alone.code == 2
    assert "--stack" in alone.err


def test_the_page_lists_every_key(cli: Command, log: str) -> None:
    tree = json.loads(cli("usage", "--json", log).out)
    page = (ROOT / "docs/usage-json.md").read_text(encoding="utf-8")
    for name in (*tree, *tree["usage"][0], *tree["lines"]):
        assert f"`{name}`" in page
