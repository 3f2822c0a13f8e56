"""The JSON Schema of a stack file for editors, generated from the models that validate it."""

from typing import Any

from pydantic.json_schema import models_json_schema

from tierup.catalog import Catalog, load_catalog
from tierup.catalog.prices import STORAGE, load_prices
from tierup.findings.explanations import ACCEPTABLE
from tierup.stack.parse import API_KEY_PREFIX, LISTS, REQUIRED, SECRET_PREFIX, SECRETS, SECTIONS
from tierup.stack.sections import DECIMAL, Strict

Schema = dict[str, Any]
_NAMESPACE = "tierup:"
# pydantic does not translate these bounds if a validator of ours runs before them
_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_SECURE: Schema = {
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}


def json_schema() -> Schema:
    """The schema of a whole stack file (draft 7, which editors support best).

    It covers keys, types and ranges. Whether values fit together (sizes, counts, prices) is checked by `tierup plan`.
    """
    kinds: list[type[Strict]] = list(SECTIONS.values())
    references, generated = models_json_schema([(kind, "validation") for kind in kinds], by_alias=True)
    parts: Schema = _tidy(generated["$defs"])
    _complete(parts, load_catalog())
    servers = list(load_catalog().servers)
    sections: Schema = {name: references[kind, "validation"] for name, kind in SECTIONS.items()}
    for name in LISTS:
        least = {"minItems": 1} if name in REQUIRED else {}
        sections[name] = {"type": "array", **least, "items": sections[name]}
    sections["catalog"] = {"anyOf": [sections["catalog"], {"type": "string"}]}
    secrets = {f"{SECRET_PREFIX}{name}": {**_SECURE, "description": what} for name, what in SECRETS.items()}
    config = {
        "type": "object",
        "properties": {_NAMESPACE + name: part for name, part in (sections | secrets).items()},
        "patternProperties": {
            f"^(?!{_NAMESPACE}).+:.+$": {},  # other projects' and providers' keys
            f"^{_NAMESPACE}{SECRET_PREFIX}{API_KEY_PREFIX}[a-z0-9-]+$": {
                **_SECURE,
                "description": "API key of a caller that gateway.keys declares; several values while it is rotated",
            },
        },
        "required": [_NAMESPACE + name for name in REQUIRED],
        "additionalProperties": False,
        "if": {"not": {"required": [f"{_NAMESPACE}catalog"]}},  # without servers of one's own
        "then": {"properties": {f"{_NAMESPACE}nodes": {"properties": {"server": {"enum": servers}}}}},
    }
    pulumi = {name: {"type": "string"} for name in ("encryptionsalt", "secretsprovider", "encryptedkey")}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A tier: the stack file of tierup",
        "type": "object",
        "properties": {"config": config, **pulumi, "environment": {}},
        "required": ["config"],
        "additionalProperties": False,
        "$defs": parts,
    }


def _tidy(part: Any) -> Any:
    """The schema without titles that repeat keys and without null defaults; decimals may be text."""
    if isinstance(part, list):
        return [_tidy(item) for item in part]
    if not isinstance(part, dict):
        return part
    tidy = {
        key: {name: _tidy(item) for name, item in value.items()} if key == "properties" else _tidy(value)
        for key, value in part.items()
        if not (key == "title" or (key == "default" and value is None))
    }
    if tidy.get("type") == "number":
        tidy = {_BOUNDS.get(key, key): value for key, value in tidy.items()}
        about = {name: tidy.pop(name) for name in ("description", "examples", "unit") if name in tidy}
        return about | {"anyOf": [tidy, {"type": "string", "pattern": DECIMAL}]}
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    return tidy


def _complete(parts: Schema, catalog: Catalog) -> None:
    """Add the ids of the catalogue, the precisions of each model, and the codes that can be accepted."""
    code = parts["Acceptance"]["properties"]["code"]
    parts["Acceptance"]["properties"]["code"] = {
        **{name: code[name] for name in ("description", "examples")},
        "enum": [str(code) for code in ACCEPTABLE],
    }
    del parts["Code"]
    server = parts["Nodes"]["properties"]["server"]
    server["anyOf"] = [{"enum": list(catalog.servers)}, {"type": server.pop("type")}]  # or one of `catalog`
    quotes = parts["Cost"]["properties"]["quotes"]["anyOf"][0]
    quotes["propertyNames"] = {
        "anyOf": [{"enum": sorted(load_prices().units)}, {"pattern": f"^{STORAGE}-"}],
    }
    model = parts["Model"]
    model["properties"]["id"]["enum"] = list(catalog.models)
    model["oneOf"] = [{"required": [name]} for name in ("id", "source")]
    model["allOf"] = [
        {
            "if": {"properties": {"id": {"const": name}}, "required": ["id"]},
            "then": {"properties": {"precision": {"enum": [*map(str, spec.variants), None]}}},
        }
        for name, spec in catalog.models.items()
    ]
