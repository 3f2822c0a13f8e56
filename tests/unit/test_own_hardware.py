"""A team describes its own card and server in the stack file; everything works with them as with the catalogue's."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import Command
from listed_findings import not_listed
from own_hardware import BOX, CARD, section, with_box
from small_stack import MODEL, NODES, refusals, small_plan, small_stack

from tierup.catalog import Precision, load_catalog
from tierup.catalog.capability import CAPABILITIES, Computes
from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, bill_of_resources, price
from tierup.findings.model import Code, Finding
from tierup.io.pulumi.config import read_engine
from tierup.io.stack.read import read_stack
from tierup.manifests import render
from tierup.plan.inputs import node_inputs, quote_inputs
from tierup.resources.kinds import NODES as NODES_TYPE
from tierup.resources.kinds import TIER
from tierup.resources.model import Resource
from tierup.rules.preflight import examine, make_plan
from tierup.stack.parse import parse
from tierup.templates import ROOT

QUOTES = {
    f"load-watts-{BOX}": {"value": 900, "source": "measured at the wall", "asOf": "2026-11-02"},
    BOX: {"value": 21000, "source": "offer 4711", "asOf": "2026-11-02"},
}


def messages(own: dict[str, Any], **sections: Any) -> dict[str, Finding]:
    found = refusals(**with_box(own), **sections)
    assert not not_listed(found)
    return {item.path: item for item in found}


# What works


def test_a_stack_on_its_own_server_is_planned_priced_and_rendered() -> None:
    plan = small_plan(**with_box(), models=[MODEL | {"precision": "fp8"}])
    assert plan.nodes.server_id == BOX
    assert plan.nodes.gpu.product_label.value == "NVIDIA-L40"
    assert not any(item.code is Code.FP8_WEIGHT_ONLY for item in plan.findings)  # 8.9 has FP8
    cost = price(bill_of(plan), load_prices())
    nodes = next(line for line in cost.lines if line.component == "nodes")
    assert nodes.purchase_usd == 60000  # as the server that it was copied from
    assert "NVIDIA-L40" in json.dumps(list(render(plan)), default=str)


def test_it_is_sized_as_the_card_that_it_is_a_copy_of() -> None:
    slots = [MODEL | {"maxNumSeqs": 64}]  # by default fewer for a card that was never measured
    own = small_plan(**with_box(), models=slots).models[0].capacity
    server = load_catalog().servers[str(NODES["server"])]
    catalog = load_catalog().model_copy(
        update={"servers": {str(NODES["server"]): server.model_copy(update={"gpu": "l40s"})}}
    )
    known = small_plan(catalog=catalog, models=slots).models[0].capacity
    assert own is not None
    assert known is not None
    assert own.memory == known.memory
    assert "extrapolated: no measurement of team-l40 itself" in own.sizing.basis


def test_its_price_and_its_watts_can_be_quoted() -> None:
    plan = small_plan(**with_box(), cost={"quotes": QUOTES})
    cost = price(bill_of(plan), load_prices())
    assert cost.prices[BOX].value == 21000
    assert cost.prices[f"load-watts-{BOX}"].quoted


def test_pulumi_s_plan_costs_the_same_and_needs_no_stack_file() -> None:
    plan = small_plan(**with_box(), cost={"quotes": QUOTES})
    inputs = json.loads(json.dumps(node_inputs(plan.nodes)))
    resources = [
        Resource("urn:1", TIER, "small", None, quote_inputs(plan.quotes), custom=False),
        Resource("urn:2", NODES_TYPE, "small", None, inputs, custom=False),
    ]
    own, read = bill_of(plan, servers_only=True), bill_of_resources(resources)
    assert read.own == own.own
    assert price(read, load_prices()) == price(own, load_prices())
    assert "ownServer" not in node_inputs(small_plan().nodes)  # of a server of the catalogue nothing changes


def test_a_server_of_one_s_own_may_have_a_card_of_the_catalogue() -> None:
    own = section(gpu="l40s")
    own["servers"][BOX]["gpu"] = "h20"
    del own["gpus"]
    assert small_plan(**with_box(own)).nodes.gpu.product_label.value == "NVIDIA-H20"


def test_pulumi_s_engine_passes_the_same_section() -> None:
    values = small_stack(**with_box()).values
    raw = read_engine("small", {f"tierup:{name}": json.dumps(value) for name, value in values.items()}, [])
    assert make_plan(parse(raw), load_catalog()).nodes == small_plan(**with_box()).nodes


def stack_in(folder: Path, catalog: object) -> Path:
    config = {f"tierup:{name}": value for name, value in small_stack(**with_box()).values.items()}
    file = folder / "Pulumi.small.yaml"
    file.write_text(yaml.safe_dump({"config": config | {"tierup:catalog": catalog}}), encoding="utf-8")
    return file


@pytest.mark.parametrize("written", ["hardware.yaml", {"file": "hardware.yaml"}])
def test_the_entries_may_stand_in_a_file_beside_the_stack(tmp_path: Path, written: object) -> None:
    (tmp_path / "hardware.yaml").write_text(yaml.safe_dump(section()), encoding="utf-8")
    raw = read_stack(stack_in(tmp_path, written))
    assert make_plan(parse(raw), load_catalog()).nodes == small_plan(**with_box()).nodes


def test_the_catalogue_s_commands_and_size_know_them_with_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    tierup = Command(monkeypatch, capsys)
    stack = str(stack_in(tmp_path, section()))
    assert CARD in tierup("catalog", "list", "gpus", "--stack", stack).out
    shown = json.loads(tierup("catalog", "show", BOX, "--stack", stack, "--json").out)
    assert shown["entry"]["gpu"] == CARD
    assert tierup("catalog", "show", BOX).code == 2
    assert tierup("size", "--gpu", CARD, "--stack", stack).code == 0
    assert tierup("size", "--gpu", CARD).code == 2
    found = json.loads(tierup("size", "--users", "4", "--recommend", "--json", "--stack", stack).out)
    (option,) = [item for item in found["options"] if item["server"] == BOX]
    sections = {name.removeprefix("tierup:"): value for name, value in option["stack"].items()}
    assert examine(parse(small_stack(**sections)), load_catalog()).plan is not None


# What is refused: one message each, with path, what was found, what is allowed and what to do


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    own = section()
    change(own)
    return own


def card(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda own: own["gpus"][CARD].update({key: value})


BAD: list[tuple[Callable[[dict[str, Any]], object], str, str, str | None]] = [
    (
        card("memory_mib", {"value": 1024}),
        f"catalog.gpus.{CARD}.memory_mib.source",
        "the source is missing",
        None,
    ),
    (
        card("memory_mib", {"value": 1024, "source": "rumour"}),
        f"catalog.gpus.{CARD}.memory_mib.source",
        "unknown source",
        "rumour",
    ),
    (card("memory_mib", 1024), f"catalog.gpus.{CARD}.memory_mib", "not a mapping", "1024"),
    (
        card("memory_mib", {"value": "much", "source": "l40s-ds"}),
        f"catalog.gpus.{CARD}.memory_mib.value",
        "has a wrong value",
        "'much'",
    ),
    (card("colour", {"value": 1, "source": "l40s-ds"}), f"catalog.gpus.{CARD}.colour", "unknown key", None),
    (
        card("compute_capability", {"value": "9.9", "source": "l40s-ds"}),
        f"catalog.gpus.{CARD}.compute_capability.value",
        "has a wrong value",
        "'9.9'",
    ),
    (lambda own: own["gpus"][CARD].pop("link"), f"catalog.gpus.{CARD}", "lacks link", None),
    (
        lambda own: own["sources"]["l40s-ds"].pop("as_of"),
        "catalog.sources.l40s-ds.as_of",
        "missing",
        None,
    ),
    (
        lambda own: own["sources"]["l40s-ds"].update({"as_of": "2026-02-30"}),
        "catalog.sources.l40s-ds.as_of",
        "has a wrong value",
        "'2026-02-30'",
    ),
    (
        lambda own: own["servers"][BOX].update({"gpu": "l41"}),
        f"catalog.servers.{BOX}.gpu",
        "the catalogue has no such GPU",
        "l41",
    ),
    (
        lambda own: own["gpus"].update({"l40s": own["gpus"][CARD]}),
        "catalog.gpus.l40s",
        "the catalogue has this name already",
        "l40s",
    ),
    (
        lambda own: own["servers"].update({"Team Box": own["servers"][BOX]}),
        "catalog.servers.Team Box",
        "is not a name",
        "'Team Box'",
    ),
    (lambda own: own.update({"file": "hardware.yaml"}), "catalog.file", "the other keys are here too", None),
]


@pytest.mark.parametrize(("change", "path", "words", "got"), BAD, ids=[row[2] + row[1] for row in BAD])
def test_a_bad_entry_gets_one_message(
    change: Callable[[dict[str, Any]], object], path: str, words: str, got: str | None
) -> None:
    (found,) = messages(changed(change)).values()
    assert (found.code, found.path) == (Code.OWN_ENTRY, path)
    assert words in found.problem
    assert found.fix
    if got is not None:
        assert found.got == got
    if found.problem == "has a wrong value":
        assert found.allowed


def test_every_problem_of_every_entry_is_reported_at_once_and_the_good_ones_are_used() -> None:
    own = section()
    own["gpus"]["other"] = {"memory_mib": {"value": 1, "source": "l40s-ds"}}
    own["gpus"][CARD]["tdp_w"] = {"value": 0, "source": "l40s-ds"}
    found = messages(own, models=[MODEL | {"context": 100_000}])
    assert f"catalog.gpus.{CARD}.tdp_w.value" in found
    assert "lacks product_label, compute_capability" in found["catalog.gpus.other"].problem
    assert "models[0].context" in found  # a bad card hides no other problem
    assert "nodes.server" not in found  # and its server is not called unknown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("gpus: [", "is not YAML"),
        ("[]", "is not a mapping"),
        ("sources: &a {}\ngpus: *a\n", "uses an alias"),
        ("gpus: {}\ngpus: {}\n", "the key is written twice"),
        ("cards: {}\n", "there is no such table"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "hardware.yaml").write_text(text, encoding="utf-8")
    found = examine(parse(read_stack(stack_in(tmp_path, "hardware.yaml"))), load_catalog()).findings
    about = [item for item in found if item.code is Code.OWN_ENTRY]
    assert any(words in item.problem for item in about), about


def test_a_file_outside_of_the_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text(yaml.safe_dump(section()), encoding="utf-8")
    inner = tmp_path / "stacks"
    inner.mkdir()
    assert parse(read_stack(stack_in(inner, "../secret.yaml"))).findings
    (inner / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    found = examine(parse(read_stack(stack_in(inner, "link.yaml"))), load_catalog()).findings
    assert any("outside the folder" in item.problem for item in found)


def test_a_date_in_the_future_is_refused(tmp_path: Path) -> None:
    own = section()
    own["sources"]["l40s-ds"]["as_of"] = "2999-01-01"
    found = examine(parse(read_stack(stack_in(tmp_path, own))), load_catalog()).findings
    assert [item.got for item in found if item.code is Code.OWN_ENTRY] == ["2999-01-01"]


# The page


def test_the_example_of_the_page_is_a_card_and_a_server_that_a_stack_can_use() -> None:
    page = (ROOT / "docs" / "catalog.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)]
    (own,) = [item["tierup:catalog"] for item in examples if isinstance(item["tierup:catalog"], dict)]
    raw = json.loads(json.dumps(own, default=str))
    plan = small_plan(catalog=raw, nodes={"server": "team-box", "count": 1})
    assert plan.nodes.gpu.product_label.value == "NVIDIA-L40"


def test_the_page_names_every_capability_and_its_generation() -> None:
    page = (ROOT / "docs" / "catalog.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for capability, abilities in CAPABILITIES.items():
        (row,) = [line for line in rows if capability in line.split("|")[1].replace(",", " ").split()]
        assert str(abilities.architecture) in row.split("|")[2].lower().replace(" ", "")
        as_stored, not_loaded = row.split("|")[3], row.split("|")[5]
        for precision in (Precision.BF16, Precision.FP16, Precision.INT8, Precision.FP8):
            assert (precision in abilities.as_stored) == (str(precision) in re.findall(r"\w+", as_stored)), (
                capability
            )
            loaded = abilities.computes(precision) is not Computes.NOT
            assert loaded == (str(precision) not in re.findall(r"\w+", not_loaded)), capability
