"""Decides how a validation error of a section reads to the person who wrote the stack file."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tierup.findings import Code, Finding, did_you_mean

_TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def _path(section: str, location: tuple[int | str, ...]) -> str:
    path = section
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model whose keys stand at `location`, followed through optional and container annotations."""
    current: type[BaseModel] | None = model
    for part in location:
        if current is None:
            return None
        field = next((f for f in current.model_fields.values() if f.alias == part), None)
        if field is None:
            continue  # a list index or a mapping key: the value's model was found with its field
        current = _inner_model(field.annotation)
    return current


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _inner_model(arg))), None)


def _keys(model: type[BaseModel] | None) -> list[str]:
    return sorted(field.alias or name for name, field in model.model_fields.items()) if model else []


def _shown(value: object) -> str:
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _finding(error: ErrorDetails, model: type[BaseModel], section: str) -> Finding:
    location, kind, context = error["loc"], error["type"], error.get("ctx", {})
    path, got = _path(section, location), _shown(error["input"])
    if kind == "extra_forbidden":
        keys = _keys(_model_at(model, location[:-1]))
        hint = did_you_mean(str(location[-1]), keys)
        return Finding(Code.UNKNOWN_KEY, path, "unknown key", hint or "remove it", allowed=", ".join(keys))
    if kind == "missing":
        return Finding(Code.MISSING, path, "is missing", f"add `{location[-1]}:`")
    if kind in _TYPES:
        return Finding(
            Code.WRONG_TYPE, path, f"must be {_TYPES[kind]}", f"write {_TYPES[kind]}", f"{type(error['input']).__name__} {got}"
        )
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = f"{context[key]:,g}" if isinstance(context[key], float) else f"{context[key]:,}"
        return Finding(Code.OUT_OF_RANGE, path, "is out of range", f"use {words} {bound}", got, f"{words} {bound}")
    if kind == "enum":
        allowed = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        hint = did_you_mean(str(error["input"]), allowed.split(", "))
        return Finding(Code.NOT_ALLOWED, path, "is not one of the choices", hint or "use one of them", got, allowed)
    if kind in ("too_short", "string_too_short"):
        return Finding(Code.MISSING, path, "is empty", "give at least one entry, or leave the key out")
    return Finding(Code.BAD_FORMAT, path, _format_problem(error), "write it as shown", got, _format_allowed(path, context))


def _format_problem(error: ErrorDetails) -> str:
    return "is too long" if error["type"] == "string_too_long" else "is not written as it must be"


_EXAMPLES = {
    "revision": "a commit of 40 hexadecimal digits",
    "names": "lower-case letters, digits, '-' and '.', as a node is named",
    "clientBodyBufferSize": "a size such as 128k or 1m",
    "maxBodySize": "a size such as 128k or 20m",
    "sourceRanges": "networks such as 10.0.0.0/8",
    "gpuExporter": "name:port",
    "nodeExporter": "name:port",
    "name": "letters, digits, '.', '_', '-' and '/'",
}


def _format_allowed(path: str, context: dict[str, Any]) -> str:
    leaf = path.rsplit(".", 1)[-1].split("[")[0]
    if leaf in _EXAMPLES:
        return _EXAMPLES[leaf]
    if path.startswith("images."):
        return "registry/name:version or registry/name@sha256:digest"
    if "max_length" in context:
        return f"at most {context['max_length']} characters"
    return "lower-case letters, digits and '-'"


def findings_of(error: ValidationError, model: type[BaseModel], section: str) -> list[Finding]:
    """Every problem of one section, in the order of the file's model."""
    return [_finding(details, model, section) for details in error.errors(include_url=False)]
