"""Read a stack file into the same values that Pulumi's own parser passes to the program."""

import dataclasses
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tierup.findings.model import Code, Finding, did_you_mean, limited
from tierup.findings.secrets import holds_token
from tierup.io.files import MOST_OF_A_STACK_FILE, UnreadableFile, decoded, read_bytes, read_text
from tierup.io.stack.attached import with_files
from tierup.io.stack.yaml import BoundExceeded, read_yaml
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
    file = project / "Pulumi.yaml"
    try:
        settings = load_yaml(read_text(file, MOST_OF_A_STACK_FILE))
    except yaml.YAMLError as error:
        raise UnreadableFile(str(file), f"is not YAML ({error})", "correct it") from error
    folder = settings.get("stackConfigDir", ".") if isinstance(settings, dict) else None
    if not isinstance(folder, str):
        raise UnreadableFile(str(file), "is not a Pulumi project", "correct it")
    return project / folder / f"Pulumi.{stack}.yaml"


def stack_names(project: Path) -> list[str]:
    """Names of all stacks that have a file in the project."""
    return _names_beside(stack_path(project, "any"))


def _names_beside(path: Path) -> list[str]:
    return sorted(stack_of(other) for other in path.parent.glob("Pulumi.*.yaml"))


def read_stack(path: Path) -> RawStack:
    """The `tierup:` values of a stack file and the files that they name; problems are in the result's findings."""
    stack = stack_of(path)
    if not path.exists() and not path.is_symlink():
        others = _names_beside(path)
        fix = did_you_mean(stack, others) or "name an existing stack, or write this file"
        allowed = ", ".join(others) or "none here"
        missing = Finding(Code.NOT_FOUND, path.name, "there is no such stack file", fix, stack, allowed)
        return _unreadable(stack, missing)
    try:
        content = read_bytes(path, MOST_OF_A_STACK_FILE, path.name)
    except UnreadableFile as error:
        return _unreadable(stack, Finding(Code.NOT_FOUND, path.name, error.reason, error.fix))
    try:
        raw = parse_stack(decoded(content, path.name), stack, path.name)
    except UnreadableFile as error:
        return _unreadable(stack, Finding(Code.YAML_SYNTAX, path.name, error.reason, error.fix))
    return with_files(raw, path.parent)


def stack_of(path: Path) -> str:
    """The name of the stack whose file this is: `standard` for `Pulumi.standard.yaml` and for `standard.yaml`."""
    return path.name.removeprefix("Pulumi.").removesuffix(".yaml")


def _unreadable(stack: str, *findings: Finding) -> RawStack:
    return RawStack(stack, {}, findings=findings, readable=False)


def parse_stack(text: str, stack: str, file: str) -> RawStack:
    """The `tierup:` values of a stack file's text."""
    try:
        document, duplicates = read_yaml(text)
    except yaml.YAMLError as error:
        return _unreadable(stack, _syntax(error, file))
    findings = limited(
        sorted(duplicates, key=lambda duplicate: duplicate[1:]),
        lambda duplicate: Finding(
            Code.DUPLICATE_KEY,
            f"{file}:{duplicate[1]}:{duplicate[2]}",
            f"the key '{duplicate[0]}' is duplicated",
            "keep one of them",
        ),
        file,
    )
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
    return dataclasses.replace(raw, findings=(*findings, *raw.findings))


def _top_level(document: Mapping[Any, Any]) -> list[Finding]:
    def unknown(key: str) -> Finding:
        ours = key.removeprefix(f"{PROJECT}:")
        fix = f"move it below `config:` as `{PROJECT}:{ours}`" if ours in SECTIONS else ""
        fix = fix or did_you_mean(key, PULUMI_KEYS) or "remove it"
        allowed = ", ".join(sorted(PULUMI_KEYS))
        return Finding(Code.UNKNOWN_KEY, key, "there is no such top-level key", fix, allowed=allowed)

    return limited([str(key) for key in document if key not in PULUMI_KEYS], unknown, "config")


def latest_day() -> datetime.date:
    """The date where it is latest on Earth, so that no one's today is refused as the future."""
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=14)).date()


def split_config(stack: str, config: Mapping[Any, Any]) -> RawStack:
    """Values and secret names of a stack's configuration; keys of other projects are ignored."""
    values: dict[str, object] = {}
    secrets: set[str] = set()
    bare: list[str] = []
    in_clear: list[Finding] = []
    for full_key, value in config.items():
        namespace, _, key = str(full_key).rpartition(":")
        if not namespace:
            bare.append(key)
        elif namespace == PROJECT and key.startswith(SECRET_PREFIX):
            secrets.add(key.removeprefix(SECRET_PREFIX))
            if not _is_secure(value):
                in_clear.append(_in_clear(key, full_key, stack))
        elif namespace == PROJECT:
            values[key] = value
            in_clear.extend(_clear_tokens(value, key, stack))
    findings = (*limited(bare, _bare, "config"), *limited(in_clear, lambda finding: finding, "config"))
    return RawStack(stack, values, frozenset(secrets), findings, day=latest_day())


def _bare(key: str) -> Finding:
    """A key of the configuration without its project."""
    fix, allowed = f"write `{PROJECT}:{key}:`", f"{PROJECT}:<section>"
    return Finding(Code.UNKNOWN_KEY, key, "the key has no namespace", fix, key, allowed)


def _is_secure(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"secure"} and isinstance(value["secure"], str)


_NAMES = ", ".join((*SECRETS, f"{API_KEY_PREFIX}CALLER"))
_KEYS = f"{PROJECT}:{SECRET_PREFIX}NAME (NAME one of {_NAMES})"


def _in_clear(path: str, keys: str, stack: str) -> Finding:
    fix = f"revoke it, then `pulumi config set --secret --stack {stack}` a new one as {keys}"
    return Finding(Code.SECRET_IN_CLEAR, path, "a secret is in plain text", fix)


def _clear_tokens(value: object, path: str, stack: str) -> list[Finding]:
    if _is_secure(value):
        problem = "a secret inside a section makes the whole section secret"
        return [
            Finding(Code.SECRET_IN_CLEAR, path, problem, f"write it in plain text, or keep it as {_KEYS}")
        ]
    if isinstance(value, dict):
        return [
            finding for key, item in value.items() for finding in _clear_tokens(item, f"{path}.{key}", stack)
        ]
    if isinstance(value, list):
        return [
            finding
            for index, item in enumerate(value)
            for finding in _clear_tokens(item, f"{path}[{index}]", stack)
        ]
    if isinstance(value, str) and holds_token(value):
        return [_in_clear(path, _KEYS, stack)]
    return []


def _syntax(error: yaml.YAMLError, file: str) -> Finding:
    mark = getattr(error, "problem_mark", None)
    position = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
    problem = " ".join((getattr(error, "problem", None) or str(error)).split())
    fix = "correct the indentation, the quotes or the colons of this line or the one above"
    if "'\\t'" in problem:
        problem, fix = "a tab where YAML needs spaces", "indent with spaces"
    elif mark is None or isinstance(error, BoundExceeded) or "tag" in problem:
        fix = "write plain text, numbers, true, false, lists and mappings only"
    return Finding(Code.YAML_SYNTAX, position, f"is not YAML: {problem}", fix)
