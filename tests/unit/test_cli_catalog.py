"""`tierup catalog` lists what a stack file may name, and shows where each value comes from."""

import json
from pathlib import Path

import pytest
from command import Command

from tierup.catalog import load_catalog
from tierup.catalog.prices import load_prices
from tierup.report.catalog import Kind, known


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Outside of any project: the catalogue belongs to the command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    return Command(monkeypatch, capsys)


def test_the_list_has_every_entry_of_every_kind(tierup: Command) -> None:
    ended = tierup("catalog", "list")
    assert (ended.code, ended.err) == (0, "")
    ids = {line.split()[0] for line in ended.out.splitlines() if line.strip()}
    catalog = load_catalog()
    assert {*catalog.gpus, *catalog.servers, *catalog.models, *load_prices().by_id} <= ids


def test_one_kind_is_listed_alone(tierup: Command) -> None:
    text = tierup("catalog", "list", "servers").out
    assert "standard-2x-a100-80g-pcie" in text
    assert "$60,000" in text
    assert "qwen3-8b" not in text


def test_a_price_stands_with_source_and_date_and_a_missing_one_is_not_zero(tierup: Command) -> None:
    lines = {line.split()[0]: line for line in tierup("catalog", "list", "prices").out.splitlines() if line}
    for name in ("electricity", "card-rtx-4090"):
        price = load_prices().by_id[name]
        assert str(price.as_of) in lines[name]
        assert price.source[:30] in lines[name]
    assert lines["maintenance"].split()[1] == "none"


@pytest.mark.parametrize("kind", Kind)
def test_json_has_each_value_with_its_source_and_date(tierup: Command, kind: Kind) -> None:
    entries = json.loads(tierup("catalog", "list", kind, "--json").out)[kind]
    assert list(entries) == [name for name, of in known(load_catalog()).items() if of is kind]
    for name, entry in entries.items():
        alone = json.loads(tierup("catalog", "show", name, "--json").out)
        assert alone == {"kind": kind, "id": name, "entry": entry}
        text = json.dumps(entry)
        assert '"source"' in text
        assert '"as_of": "20' in text


@pytest.mark.parametrize("name", known(load_catalog()))
def test_every_entry_can_be_shown(tierup: Command, name: str) -> None:
    ended = tierup("catalog", "show", name)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{known(load_catalog())[name]}: {name}")
    assert "20" in ended.out


def test_a_model_is_shown_with_its_commits(tierup: Command) -> None:
    text = tierup("catalog", "show", "qwen2.5-7b").out
    for variant in load_catalog().models["qwen2.5-7b"].variants.values():
        assert variant.repo in text
        assert variant.revision is None or variant.revision in text
    assert "not known: write it in the stack file" in text


def test_an_unknown_entry_or_kind_is_a_usage_error(tierup: Command) -> None:
    ended = tierup("catalog", "show", "electricty")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "error: the catalogue has no entry 'electricty' - did you mean 'electricity'?\n"
    assert tierup("catalog", "list", "gpu").code == 2
