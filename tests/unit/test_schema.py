"""The committed JSON Schema is up to date, accepts every valid stack file, and rejects what a schema can reject."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from stack_variants import uncomment_variant, variants

from tierup.catalog import load_catalog
from tierup.cli.generate import GENERATED, ROOT
from tierup.io.stack.yaml import read_yaml
from tierup.stack.schema import json_schema

STACKS = sorted((ROOT / "stacks").glob("Pulumi.*.yaml"))
VARIANTS = [(path, name) for path in STACKS for name in variants(path.read_text(encoding="utf-8"))]
BAD = Path(__file__).parent / "bad_stacks"
# Codes of errors that a schema cannot find: text formats, the catalogue's sizes, combinations.
FORM_CODES = {"TIER003", "TIER004", "TIER005", "TIER006", "TIER007", "TIER020", "TIER021", "TIER022"}
# Infinity is a number for a validator, and NaN passes every bound; a schema does not know what day it is.
BEYOND = {"not-a-number", "dates-and-tenure"}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    schema = json_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def problems(validator: jsonschema.Draft7Validator, text: str) -> list[str]:
    return [error.message for error in validator.iter_errors(read_yaml(text)[0])]


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_file_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == GENERATED[name](), "run `make generate`"


@pytest.mark.parametrize("path", STACKS, ids=lambda path: path.name)
def test_a_stack_file_names_the_schema_and_is_valid(
    validator: jsonschema.Draft7Validator, path: Path
) -> None:
    text = path.read_text(encoding="utf-8")
    named = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert json.loads((path.parent / named).read_text(encoding="utf-8")) == json_schema()
    assert problems(validator, text) == []


@pytest.mark.parametrize(("path", "name"), VARIANTS, ids=[f"{path.name}-{name}" for path, name in VARIANTS])
def test_every_variant_is_valid(validator: jsonschema.Draft7Validator, path: Path, name: str) -> None:
    assert problems(validator, uncomment_variant(path.read_text(encoding="utf-8"), name)) == []


def test_stack_files_with_invalid_values_are_rejected(validator: jsonschema.Draft7Validator) -> None:
    refused = 0
    for path in sorted(BAD.glob("*.yaml")):
        codes = {line.split()[1] for line in path.with_suffix(".expected").read_text().splitlines()[1:]}
        if codes & FORM_CODES and not codes & {"TIER001"} and path.stem not in BEYOND:
            assert problems(validator, path.read_text(encoding="utf-8")), path.name
            refused += 1
    assert refused > 25


def base(**sections: Any) -> dict[str, Any]:
    sections = {
        "workload": {"users": 1},
        "nodes": {"server": "entry-2x-rtx-4090"},
        "models": [{"id": "qwen2.5-7b"}],
    } | sections
    return {"config": {f"tierup:{key}": value for key, value in sections.items()}}


def test_pulumi_s_own_keys_other_namespaces_and_secrets_are_legal(
    validator: jsonschema.Draft7Validator,
) -> None:
    document = base() | {"encryptionsalt": "v1:x", "secretsprovider": "passphrase", "environment": ["dev"]}
    document["config"] |= {
        "kubernetes:context": "x",
        "aws:region": "y",
        "tierup:secret-hub-token": {"secure": "z"},
    }
    assert not list(validator.iter_errors(document))
    document["config"]["tierup:secret-hub-token"] = "z"
    assert list(validator.iter_errors(document))


@pytest.mark.parametrize("key", ["tierup:gatway", "gateway", "tierup:secret-other"])
def test_other_keys_of_ours_are_not(validator: jsonschema.Draft7Validator, key: str) -> None:
    document = base()
    document["config"][key] = {"secure": "x"}
    assert list(validator.iter_errors(document))


@pytest.mark.parametrize(
    ("value", "good"), [(0.5, True), ("0.5", True), (0, False), (1, False), ("half", False)]
)
def test_decimals_are_numbers_or_numeric_text(
    validator: jsonschema.Draft7Validator, value: object, good: bool
) -> None:
    assert (not list(validator.iter_errors(base(gateway={"longformCap": value})))) is good


def test_editors_complete_the_catalogue_s_names() -> None:
    parts, catalog = json_schema()["$defs"], load_catalog()
    assert parts["Nodes"]["properties"]["server"]["anyOf"][0]["enum"] == list(catalog.servers)
    assert parts["Model"]["properties"]["id"]["enum"] == list(catalog.models)


def test_a_server_is_of_the_catalogue_unless_the_stack_brings_its_own(
    validator: jsonschema.Draft7Validator,
) -> None:
    own = {"nodes": {"server": "team-box"}}
    assert list(validator.iter_errors(base(**own)))
    inline: dict[str, object] = {"sources": {}, "servers": {"team-box": {}}}
    for section in ("hardware.yaml", {"file": "hardware.yaml"}, inline):
        assert not list(validator.iter_errors(base(catalog=section, **own))), section
    assert list(validator.iter_errors(base(catalog={"cards": {}}, **own)))


def test_a_model_is_of_the_catalogue_or_of_one_s_own(validator: jsonschema.Draft7Validator) -> None:
    own = {"source": {"repo": "acme/a", "revision": "0" * 40, "config": "models/a.json"}}
    for model, valid in (
        ({"id": "qwen2.5-7b"}, True),
        (own, True),
        (own | {"id": "qwen2.5-7b"}, False),
        ({}, False),
    ):
        assert (not list(validator.iter_errors(base(models=[model])))) is valid, model


def test_a_model_takes_only_its_own_precisions(validator: jsonschema.Draft7Validator) -> None:
    for name, spec in load_catalog().models.items():
        for precision in json_schema()["$defs"]["Precision"]["enum"]:
            valid = not list(validator.iter_errors(base(models=[{"id": name, "precision": precision}])))
            assert valid is (precision in {str(key) for key in spec.variants}), (name, precision)
