"""Turns validation errors of a section into findings for the author of the stack file."""

import json
from collections.abc import Iterable
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tierup.findings.model import Code, Finding, did_you_mean, limited

_TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "is_instance_of": "a number",  # money
    "date_type": "a date",
    "date_parsing": "a date",
    "date_from_datetime_parsing": "a date",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_TYPE_FIXES = {
    "a whole number": "write digits only, without fraction or unit",
    "a number": "write digits and a decimal point, without unit",
    "a finite number": "write a number, or leave the key out",
    "text": "put it in quotes",
    "a date": "write it as 2026-11-25",
    "a list": "write one `- ...` entry per line below it",
}
_TAGS = {"[text]", "[secret]", "[switch]", "[issuer]"}  # forms of one value, which are no part of its path
_BOUNDS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
_EMPTY = {"too_short", "string_too_short"}
_ENUM = {"enum"}
_MOST_CHOICES = 20  # of longer lists only the first and the last are shown
_YES_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_LABEL = "letters, digits, '-', '_' and '.', at most 63 characters, and before a label's name maybe prefix/"
_NOT_OURS = "app.kubernetes.io/name, instance, part-of and what begins with tierup/ are set by tierup"
# The format of text fields that have one.
_FORMS = {
    "revision": "a commit: 40 hexadecimal digits",
    "names": "lower-case letters, digits, '-' and '.', as Kubernetes names a node",
    "storageClass": "lower-case letters, digits, '-' and '.', as Kubernetes names a storage class",
    "className": "lower-case letters, digits, '-' and '.', as Kubernetes names an IngressClass",
    "tlsSecret": "lower-case letters, digits, '-' and '.', as Kubernetes names a Secret",
    "controllerNamespace": "lower-case letters, digits and '-', at most 63 characters, as Kubernetes names a namespace",
    "host": "a host name in lower case, such as llm.example.com",
    "hosts": "host names in lower case, such as llm.example.com",
    "hostnames": "host names in lower case, such as llm.example.com",
    "clientBodyBufferSize": "a size such as 128k or 1m",
    "maxBodySize": "a size such as 128k or 16m",
    "namespaces": "lower-case letters, digits and '-', at most 63 characters, as Kubernetes names a namespace",
    "sourceRanges": "networks with a prefix length, such as 10.0.0.0/8",
    "url": "s3://bucket/prefix",
    "sha256": "a SHA-256: 64 hexadecimal digits",
    "endpoint": "http:// or https://, a host, and if need be a port and a path; no user and no password",
    "region": "the name of a region, such as eu-central-1",
    "claim": "lower-case letters, digits, '-' and '.', as Kubernetes names a volume claim",
    "folder": "a path of letters, digits, '-', '_' and '.', without ..",
    "hubUrl": "http:// or https://, a host, and if need be a port and a path; no user and no password",
    "proxy": "http:// or https://, a host, and if need be a port; no user and no password",
    "noProxy": "hosts, or domains such as .example.com",
    "caBundle": "certificates only, each from BEGIN CERTIFICATE to END CERTIFICATE, as in a PEM file",
    "gpuExporter": "name:port",
    "nodeExporter": "name:port",
    "source": "the source of the price: a text of 3 characters or more",
    "code": "three capital letters, such as EUR",
    "reason": "a reason of 10 characters or more",
    "toolCallParser": "the name of a parser, or none",
    "reasoningParser": "the name of a parser, or none",
    "chatTemplate": "the path of a file in the stack file's folder or below it, or none",
    "config": "the path of a file in the stack file's folder or below it",
    "repo": "owner/name, as the model hub names a repository",
    "env": "a variable's name: letters, digits and '_'",
    "secret": "lower-case letters, digits, '-' and '.', as Kubernetes names a Secret",
    "key": "letters, digits, '-', '_' and '.', as Kubernetes names a key of a Secret",
    "name": "letters, digits, '.', '_', '-' and '/', at most 45 characters",
    "registry": "host, and if need be a port and a path; no http://",
    "imagePullSecrets": "lower-case letters, digits, '-' and '.', as Kubernetes names a Secret",
    "runtimeClassName": "lower-case letters, digits, '-' and '.', as Kubernetes names a RuntimeClass",
    "priorityClassName": "lower-case letters, digits, '-' and '.', as Kubernetes names a PriorityClass",
    "modelStorageClass": "lower-case letters, digits, '-' and '.', as Kubernetes names a storage class",
    "gpuResource": "a resource of whole GPUs, such as nvidia.com/gpu",
    "labels": f"{_LABEL}; {_NOT_OURS}",
    "annotations": f"{_LABEL}; {_NOT_OURS}",
    "serviceAnnotations": _LABEL,
    "nodeSelector": f"{_LABEL}; {_NOT_OURS}",
    "tolerations": _LABEL,
    "cpu": "CPUs or their thousandths, such as 2, 0.5 or 500m",
    "memory": "a size such as 512Mi or 2Gi",
}
_IMAGE_FORM = "registry/name:version or registry/name@sha256:digest"
_NAME_FORM = "lower-case letters, digits and '-', at most 40 characters"


def findings_of(error: ValidationError, model: type[BaseModel], section: str) -> list[Finding]:
    """Every problem of one section, in the order of the fields of its model."""
    details = error.errors(include_url=False)
    return limited(details, lambda one: _finding(one, model, section), section)


def _finding(error: ErrorDetails, model: type[BaseModel], section: str) -> Finding:  # noqa: PLR0911 - a table of kinds
    location, kind = tuple(part for part in error["loc"] if part not in _TAGS), error["type"]
    path = _path(section, location)
    if kind == "extra_forbidden":
        holder = _type_at(model, location[:-1], with_keys=True)
        keys = _keys(holder)
        word = str(location[-1])
        fix = holder.hint(word, did_you_mean(word, keys)) or "remove it"
        return Finding(Code.UNKNOWN_KEY, path, "there is no such key", fix, allowed=", ".join(keys))
    if kind == "missing":
        fix = error.get("ctx", {}).get("fix", f"add `{location[-1]}:`")
        return Finding(Code.MISSING, path, "is missing", fix)
    if kind in _TYPES:
        what, value = _TYPES[kind], error["input"]
        fix = _type_fix(what, value, _type_at(model, location))
        return Finding(Code.WRONG_TYPE, path, "has the wrong type", fix, shown(value), what)
    if kind in _BOUNDS:
        allowed = _range(_field_at(model, location))
        return Finding(
            Code.OUT_OF_RANGE,
            path,
            "is out of range",
            "use a number in that range",
            shown(error["input"]),
            allowed,
        )
    if kind in _ENUM:
        choices = [str(item.value) for item in _type_at(model, location)]
        choices_text = (
            ", ".join(choices) if len(choices) <= _MOST_CHOICES else f"{choices[0]} to {choices[-1]}"
        )
        fix = did_you_mean(str(error["input"]), choices) or "use one of the choices"
        return Finding(
            Code.NOT_ALLOWED,
            path,
            "is not one of the choices",
            fix,
            shown(error["input"]),
            choices_text,
        )
    if kind in _EMPTY:
        return Finding(Code.MISSING, path, "is empty", "give at least one entry, or leave the key out")
    return Finding(
        Code.BAD_FORMAT,
        path,
        "has the wrong format",
        "use that format",
        shown(error["input"]),
        _form(path, location),
    )


def _path(section: str, location: Iterable[int | str]) -> str:
    path = section
    for part in location:
        # With "[key]" the validator refers to the key of a mapping itself.
        path += "" if part == "[key]" else f"[{part}]" if isinstance(part, int) else f".{part}"
    return path


def shown(value: object) -> str:
    """A value of the file for a message, with its type; at most 60 characters."""
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, Decimal):
        return str(value)
    text = "nothing" if value is None else f"text '{value}'" if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _type_fix(what: str, value: object, wanted: Any) -> str:
    if what == "true or false" and isinstance(value, str) and value.lower() in _YES_NO:
        return f"write {_YES_NO[value.lower()]}"
    if what == "a whole number" and isinstance(value, str) and value.isdecimal():
        return f"write {value} without quotes"
    if what == "a mapping":
        keys = f" ({', '.join(_keys(wanted))})" if hasattr(wanted, "model_fields") else ""
        return f"write its keys{keys} below it" + (", or leave it out" if value is None else "")
    if what == "text" and isinstance(value, dict | list):
        return "write one line of text"
    return _TYPE_FIXES.get(what, f"write {what}")


def _form(path: str, location: tuple[int | str, ...]) -> str:
    if location[-1:] == ("[key]",):  # a chosen name: its form is that of the mapping's names
        location = location[:-2]
    names = [part for part in location if isinstance(part, str)][
        -2:
    ]  # a mapping's name says the form of its values
    known = (_FORMS[name] for name in reversed(names) if name in _FORMS)
    return next(known, _IMAGE_FORM if path.startswith("images.") else _NAME_FORM)


def _unwrapped(annotation: Any, *, with_keys: bool = False) -> Any:
    """The type itself, without `Annotated` and `| None`; of several forms the first, or that which holds keys."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        is_union = get_origin(annotation) is not Annotated
        arguments = [arg for arg in get_args(annotation) if arg is not NoneType]
        forms = [arg for arg in arguments if isinstance(_unwrapped(arg), type(BaseModel))] if is_union else []
        annotation = forms[0] if with_keys and forms else arguments[0]
    return annotation


def _field_at(model: type[BaseModel], location: tuple[int | str, ...]) -> FieldInfo | None:
    parent = _type_at(model, location[:-1], with_keys=True)
    fields = (
        parent.model_fields.values() if isinstance(parent, type) and issubclass(parent, BaseModel) else ()
    )
    return next((field for field in fields if field.alias == location[-1]), None)


def _type_at(model: type[BaseModel], location: tuple[int | str, ...], *, with_keys: bool = False) -> Any:
    """The type of the value at `location`, through fields, lists and mappings."""
    current: Any = model
    for part in location:
        current = _unwrapped(current, with_keys=True)
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = next((field for field in current.model_fields.values() if field.alias == part), None)
            current = field.annotation if field is not None else None
        else:
            current = get_args(current)[-1] if get_args(current) else None
    return _unwrapped(current, with_keys=with_keys)


def _keys(model: Any) -> list[str]:
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _range(field: FieldInfo | None) -> str:
    metadata = field.metadata if field is not None else []
    bounds = {
        key: getattr(item, key) for item in metadata for key in ("ge", "gt", "le", "lt") if hasattr(item, key)
    }
    low = _plain(bounds["ge"]) if "ge" in bounds else f"more than {_plain(bounds['gt'])}"
    if "lt" in bounds:
        return f"{low} and less than {_plain(bounds['lt'])}"
    return f"{low} to {_plain(bounds['le'])}" if "ge" in bounds else f"{low}, at most {_plain(bounds['le'])}"


def _plain(bound: float) -> str:
    return f"{bound:,.10g}"
