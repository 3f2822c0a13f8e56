"""Decides what a stack file's text means: the same values that Pulumi's own parser hands to the program."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from tierup.config import SECRET_PREFIX, RawStack
from tierup.findings import Code, Finding

PROJECT = "tierup"
# Pulumi's own keys beside `config:`; they are its business.
PULUMI_KEYS = frozenset({"config", "encryptionsalt", "secretsprovider", "encryptedkey", "environment"})
_TOKEN = re.compile(
    r"\b(hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16})\b|-----BEGIN "
)


class _Loader(yaml.SafeLoader):
    """YAML as Pulumi reads it: only true/false are booleans, a key stands once, dates stay text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key!r}", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_REPLACED = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def load_yaml(text: str) -> Any:
    """A YAML document as Pulumi reads it."""
    return yaml.load(text, _Loader)


def find_project(start: Path) -> Path | None:
    """The nearest folder from `start` upward that holds Pulumi.yaml, as pulumi itself looks."""
    return next((folder for folder in (start, *start.parents) if (folder / "Pulumi.yaml").is_file()), None)


def stack_path(project: Path, stack: str) -> Path:
    """The stack file of a project; the folder is Pulumi.yaml's `stackConfigDir`."""
    settings = yaml.load((project / "Pulumi.yaml").read_text(), _Loader)
    return project / settings.get("stackConfigDir", ".") / f"Pulumi.{stack}.yaml"


def read_stack(path: Path) -> RawStack:
    """The `tierup:` values of a stack file; what is wrong with the file stands in the result's findings."""
    stack = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    try:
        return parse_stack(path.read_text(encoding="utf-8"), stack, path.name)
    except FileNotFoundError:
        others = sorted(
            p.name.removeprefix("Pulumi.").removesuffix(".yaml") for p in path.parent.glob("Pulumi.*.yaml")
        )
        found = Finding(
            Code.NOT_FOUND,
            path.name,
            "there is no such stack file",
            "name one of them",
            stack,
            ", ".join(others) or "none here",
        )
    except UnicodeDecodeError as error:
        found = Finding(
            Code.YAML_SYNTAX, path.name, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8"
        )
    return RawStack(stack, {}, findings=(found,))


def parse_stack(text: str, stack: str, file: str) -> RawStack:
    """The `tierup:` values of a stack file's text."""
    try:
        document = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        return RawStack(stack, {}, findings=(_syntax(error, file),))
    if document is None:
        found = Finding(Code.EMPTY_FILE, file, "is empty", "start from one of the tiers in stacks/")
        return RawStack(stack, {}, findings=(found,))
    if not isinstance(document, dict) or not isinstance(document.get("config", {}), dict):
        found = Finding(
            Code.WRONG_TYPE,
            file,
            "must be a mapping with a `config:` mapping in it",
            "write `config:` on top",
        )
        return RawStack(stack, {}, findings=(found,))
    extra = [
        Finding(
            Code.UNKNOWN_KEY,
            str(key),
            "unknown top-level key",
            f"move it below `config:` as `{PROJECT}:{key}`, or remove it",
            allowed=", ".join(sorted(PULUMI_KEYS)),
        )
        for key in document
        if key not in PULUMI_KEYS
    ]
    raw = split_config(stack, document.get("config") or {})
    return RawStack(stack, raw.values, raw.secrets, (*extra, *raw.findings))


def split_config(stack: str, config: dict[Any, Any]) -> RawStack:
    """Values and secret names of a stack's configuration; other projects' keys are left alone."""
    values: dict[str, object] = {}
    secrets: set[str] = set()
    found: list[Finding] = []
    for full_key, value in config.items():
        namespace, _, key = str(full_key).rpartition(":")
        if not namespace:
            found.append(
                Finding(
                    Code.UNKNOWN_KEY,
                    key,
                    "has no namespace",
                    f"write `{PROJECT}:{key}`",
                    allowed=f"{PROJECT}:<section>",
                )
            )
        elif namespace == PROJECT and key.startswith(SECRET_PREFIX):
            name = key.removeprefix(SECRET_PREFIX)
            secrets.add(name)
            if not _is_secure(value):
                found.append(_in_clear(key, f"pulumi config set --secret {PROJECT}:{key}"))
        elif namespace == PROJECT:
            values[key] = value
            found.extend(_clear_tokens(value, key))
    return RawStack(stack, values, frozenset(secrets), tuple(found))


def _is_secure(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"secure"} and isinstance(value["secure"], str)


def _in_clear(path: str, command: str) -> Finding:
    return Finding(Code.SECRET_IN_CLEAR, path, "a secret stands in clear", f"revoke it, then run `{command}`")


def _clear_tokens(value: object, path: str) -> list[Finding]:
    if _is_secure(value):
        problem = "a secret inside structured configuration makes its whole section secret"
        return [
            Finding(
                Code.SECRET_IN_CLEAR,
                path,
                problem,
                f"keep it in a key of its own, `{PROJECT}:{SECRET_PREFIX}<name>`",
            )
        ]
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in _clear_tokens(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [
            found for index, item in enumerate(value) for found in _clear_tokens(item, f"{path}[{index}]")
        ]
    if isinstance(value, str) and _TOKEN.search(value):
        return [_in_clear(path, f"pulumi config set --secret {PROJECT}:{SECRET_PREFIX}<name>")]
    return []


def _syntax(error: yaml.YAMLError, file: str) -> Finding:
    mark = getattr(error, "problem_mark", None)
    place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
    problem = getattr(error, "problem", None) or str(error)
    if "duplicate key" in problem:
        return Finding(Code.DUPLICATE_KEY, place, problem, "keep one of them")
    return Finding(Code.YAML_SYNTAX, place, f"is not YAML: {problem}", "correct the line")
