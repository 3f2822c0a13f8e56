"""Every key of a stack file is described once, for its reference page and for editors: unit, example, findings."""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from listed_findings import FORM, PATHS, not_listed
from pydantic import TypeAdapter

from tierup.catalog import load_catalog
from tierup.findings.model import Code
from tierup.findings.paths import REPORTED_AT
from tierup.io.stack.read import parse_stack
from tierup.report.stack_page import page
from tierup.rules.preflight import examine
from tierup.stack.parse import SECRETS, SECTIONS, parse
from tierup.stack.reference import OR_SECTION, Key, keys
from tierup.stack.schema import json_schema
from tierup.stack.sections import Strict

KEYS = list(keys())
BAD = sorted((Path(__file__).parent / "bad_stacks").glob("*.yaml"))
MODELS = sorted(Strict.__subclasses__(), key=lambda kind: kind.__name__)


def test_the_keys_of_every_section_are_found() -> None:
    assert {key.section for key in KEYS} == set(SECTIONS)
    assert len(KEYS) > 90
    for path in ("workload.classes.NAME.match.paths", "gateway.keys.NAME.inFlight", "models[].cache.kind"):
        assert path in PATHS


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_a_key_has_a_description_and_a_number_has_a_unit(key: Key) -> None:
    assert re.fullmatch(r"[A-Zv][^\n]{8,}", key.about), "what it is, in a sentence"
    assert (key.unit is not None) == key.is_number
    assert key.type


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_a_key_that_holds_no_other_has_an_example(key: Key) -> None:
    if key.path in {"catalog.sources", "catalog.gpus", "catalog.servers"}:
        return  # a whole entry is too long for a table: docs/catalog.md has one
    holds = any(other.path.startswith((f"{key.path}.", f"{key.path}[")) for other in KEYS)
    assert (key.example is None) == (holds and not key.type.endswith(OR_SECTION))


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_every_example_is_valid(kind: type[Strict]) -> None:
    for name, field in kind.model_fields.items():
        for example in field.examples or ():
            whole: Any = Annotated[(field.annotation, *field.metadata, name)]
            TypeAdapter(whole).validate_json(json.dumps(example), strict=True)


def test_editors_show_the_same_descriptions() -> None:
    parts = json_schema()["$defs"]
    for kind in MODELS:
        if kind.__name__ not in parts:
            continue
        for name, field in kind.model_fields.items():
            shown = parts[kind.__name__]["properties"][field.alias or name]
            assert shown["description"] == field.description, (kind, name)
            assert shown.get("examples") == field.examples, (kind, name)


def test_the_findings_of_bad_stack_files_are_listed_at_their_keys() -> None:
    for path in BAD:
        raw = parse_stack(path.read_text(encoding="utf-8"), "bad", path.name)
        assert not_listed(examine(parse(raw), load_catalog()).findings) == set(), path.name


def test_what_is_listed_is_a_key_and_every_rule_s_code_is_listed() -> None:
    assert {path for paths in REPORTED_AT.values() for path in paths} <= PATHS
    # What only the cluster shows is about its objects, not about a key.
    elsewhere = {code for code in Code if 81 <= int(code.removeprefix("TIER")) <= 89} - set(REPORTED_AT)
    assert set(Code) - set(REPORTED_AT) == FORM | elsewhere


def test_the_page_has_each_key_once_and_its_links_lead_somewhere() -> None:
    text = page()
    rows = re.findall(r"^\| `([\w.\[\]]+)` \|", text, re.MULTILINE)
    assert rows == [key.path for key in KEYS if key.path.removesuffix("[]") not in SECTIONS]
    for code in set(re.findall(r"findings\.md#(tier\d+)", text)):
        assert Code(code.upper())
    for name in SECRETS:
        assert f"`tierup:secret-{name}`" in text
