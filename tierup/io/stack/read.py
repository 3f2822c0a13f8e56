"""Read a stack file into the same values that Pulumi's own parser passes to the program."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tierup.findings.model import Code, Finding, did_you_mean, holds_token
from tierup.io.stack.yaml import read_yaml
from tierup.stack.parse import API_KEY_PREFIX, SECRET_PREFIX, SECRETS, SECTIONS, RawStack

PROJECT = "tierup"
# Pulumi's own top-level keys.
PULUMI_KEYS = frozenset({"config", "encryptionsalt", "secretsprovider", "encryptedkey", "environment"})
_START = "start from one of the tiers in stacks/"


def load_yaml(text: str) -> Any:
    """A YAML document as Pulumi reads it; raises `yaml.YAMLError`."""
    return read_yaml(text)[0]


def find_project(start: Path) -> Path | None:
    """The nearest folder from `start` upward that has a Pulumi.yaml, as pulumi searches for it."""
    return next((folder for folder in (start, *start.parents) if (folder / "Pulumi.yaml").is_file()), None)


def stack_path(project: Path, stack: str) -> Path:
    """The stack file of a project; the folder is Pulumi.yaml's `stackConfigDir`."""
    settings = load_yaml((project / "Pulumi.yaml").read_text(encoding="utf-8"))
    folder: str = settings.get("stackConfigDir", ".")
    return project / folder / f"Pulumi.{stack}.yaml"


def stack_names(project: Path) -> list[str]:
    """Names of all stacks that have a file in the project."""
    return _names_beside(stack_path(project, "any"))


def _names_beside(path: Path) -> list[str]:
    return sorted(_stack_of(other) for other in path.parent.glob("Pulumi.*.yaml"))


def read_stack(path: Path) -> RawStack:
    """The `tierup:` values of a stack file; problems of the file are in the result's findings."""
    stack = _stack_of(path)
    try:
        return parse_stack(path.read_text(encoding="utf-8-sig"), stack, path.name)
    except FileNotFoundError:
        others = _names_beside(path)
        fix = did_you_mean(stack, others) or "name an existing stack, or write this file"
        allowed = ", ".join(others) or "none here"
        finding = Finding(Code.NOT_FOUND, path.name, "there is no such stack file", fix, stack, allowed)
    except UnicodeDecodeError as error:
        finding = Finding(
            Code.YAML_SYNTAX, path.name, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8"
        )
    except OSError as error:
        finding = Finding(
            Code.NOT_FOUND, path.name, f"cannot be read: {error.strerror}", "make it a readable file"
        )
    return _unreadable(stack, finding)


def _stack_of(path: Path) -> str:
    return path.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _unreadable(stack: str, *findings: Finding) -> RawStack:
    return RawStack(stack, {}, findings=findings, readable=False)


def parse_stack(text: str, stack: str, file: str) -> RawStack:
    """The `tierup:` values of a stack file's text."""
    try:
        document, duplicates = read_yaml(text)
    except yaml.YAMLError as error:
        return _unreadable(stack, _syntax(error, file))
    findings = [
        Finding(
            Code.DUPLICATE_KEY,
            f"{file}:{line}:{column}",
            f"the key '{key}' is duplicated",
            "keep one of them",
        )
        for key, line, column in sorted(duplicates, key=lambda duplicate: duplicate[1:])
    ]
    if document is None:
        return _unreadable(stack, Finding(Code.EMPTY_FILE, file, "is empty", _START))
    if not isinstance(document, dict):
        got = "a list" if isinstance(document, list) else "a plain value"
        return _unreadable(
            stack,
            Finding(Code.WRONG_TYPE, file, "must be a mapping", _START, got, "a mapping with `config:`"),
        )
    findings.extend(_top_level(document))
    config = document.get("config")
    if not config:
        return _unreadable(
            stack,
            *findings,
            Finding(Code.MISSING, file, "has no configuration", f"write `config:`; {_START}"),
        )
    if not isinstance(config, dict):
        got = "a list" if isinstance(config, list) else "a plain value"
        wrong = Finding(
            Code.WRONG_TYPE, "config", "must be a mapping", _START, got, f"keys such as `{PROJECT}:nodes:`"
        )
        return _unreadable(stack, *findings, wrong)
    raw = split_config(stack, config)
    return RawStack(stack, raw.values, raw.secrets, (*findings, *raw.findings))


def _top_level(document: Mapping[Any, Any]) -> list[Finding]:
    findings = []
    for key in (str(key) for key in document if key not in PULUMI_KEYS):
        ours = key.removeprefix(f"{PROJECT}:")
        fix = f"move it below `config:` as `{PROJECT}:{ours}`" if ours in SECTIONS else ""
        fix = fix or did_you_mean(key, PULUMI_KEYS) or "remove it"
        allowed = ", ".join(sorted(PULUMI_KEYS))
        findings.append(
            Finding(Code.UNKNOWN_KEY, key, "there is no such top-level key", fix, allowed=allowed)
        )
    return findings


def split_config(stack: str, config: Mapping[Any, Any]) -> RawStack:
    """Values and secret names of a stack's configuration; keys of other projects are ignored."""
    values: dict[str, object] = {}
    secrets: set[str] = set()
    findings: list[Finding] = []
    for full_key, value in config.items():
        namespace, _, key = str(full_key).rpartition(":")
        if not namespace:
            allowed = f"{PROJECT}:<section>"
            findings.append(
                Finding(
                    Code.UNKNOWN_KEY,
                    key,
                    "the key has no namespace",
                    f"write `{PROJECT}:{key}:`",
                    key,
                    allowed,
                )
            )
        elif namespace == PROJECT and key.startswith(SECRET_PREFIX):
            secrets.add(key.removeprefix(SECRET_PREFIX))
            if not _is_secure(value):
                findings.append(_in_clear(key, full_key))
        elif namespace == PROJECT:
            values[key] = value
            findings.extend(_clear_tokens(value, key))
    return RawStack(stack, values, frozenset(secrets), tuple(findings))


def _is_secure(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"secure"} and isinstance(value["secure"], str)


_NAMES = ", ".join((*SECRETS, f"{API_KEY_PREFIX}CALLER"))
_KEYS = f"{PROJECT}:{SECRET_PREFIX}NAME (NAME one of {_NAMES})"


def _in_clear(path: str, keys: str) -> Finding:
    fix = f"revoke it, then `pulumi config set --secret` a new one as {keys}"
    return Finding(Code.SECRET_IN_CLEAR, path, "a secret is in plain text", fix)


def _clear_tokens(value: object, path: str) -> list[Finding]:
    if _is_secure(value):
        problem = "a secret inside a section makes the whole section secret"
        return [
            Finding(Code.SECRET_IN_CLEAR, path, problem, f"write it in plain text, or keep it as {_KEYS}")
        ]
    if isinstance(value, dict):
        return [finding for key, item in value.items() for finding in _clear_tokens(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [
            finding for index, item in enumerate(value) for finding in _clear_tokens(item, f"{path}[{index}]")
        ]
    if isinstance(value, str) and holds_token(value):
        return [_in_clear(path, _KEYS)]
    return []


def _syntax(error: yaml.YAMLError, file: str) -> Finding:
    mark = getattr(error, "problem_mark", None)
    position = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
    problem = " ".join((getattr(error, "problem", None) or str(error)).split())
    fix = "correct the indentation, the quotes or the colons of this line or the one above"
    if "'\\t'" in problem:
        problem, fix = "a tab where YAML needs spaces", "indent with spaces"
    elif mark is None or "tag" in problem:
        fix = "write plain text, numbers, true, false, lists and mappings only"
    return Finding(Code.YAML_SYNTAX, position, f"is not YAML: {problem}", fix)
