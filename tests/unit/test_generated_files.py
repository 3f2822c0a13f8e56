"""What is generated and committed equals a fresh generation, and says what it is for."""

import json
from typing import Any

import jsonschema
import pytest
import yaml
from stack_variants import uncomment_variant, variants

from tierup.cli.generate import GENERATED, ROOT

SCHEMA: dict[str, Any] = json.loads((ROOT / "stacks" / "tierup.schema.json").read_text())
STACKS = {path.name: path.read_text() for path in sorted((ROOT / "stacks").glob("Pulumi.*.yaml"))}
ALL = [(name, variant) for name, text in STACKS.items() for variant in variants(text)]


@pytest.mark.parametrize("path", GENERATED)
def test_a_generated_file_is_fresh(path: str) -> None:
    assert (ROOT / path).read_text() == GENERATED[path](), "run `make generate`"


@pytest.mark.parametrize(("name", "variant"), ALL)
def test_every_variant_of_every_stack_file_meets_the_schema(name: str, variant: str) -> None:
    document = yaml.safe_load(uncomment_variant(STACKS[name], variant))
    assert [e.message for e in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)] == []


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("tierup:workload", {"users": "many"}),
        ("tierup:workload", {"user": 5}),
        ("tierup:nodes", {"server": "mainframe"}),
        ("tierup:nodes", {"server": "entry-2x-rtx-4090", "count": 0}),
        ("tierup:models", []),
        ("tierup:models", [{"id": "gpt-5"}]),
        ("tierup:secret-hub-token", "in clear"),
        ("tierup:nonsense", {}),
    ],
)
def test_an_editor_sees_a_mistake(section: str, value: object) -> None:
    document = yaml.safe_load(STACKS["Pulumi.entry.yaml"])
    document["config"][section] = value
    assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(document))


def test_every_stack_file_names_the_schema_for_editors() -> None:
    for text in STACKS.values():
        assert text.startswith("# yaml-language-server: $schema=tierup.schema.json\n")
