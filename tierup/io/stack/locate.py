"""Decides which line of a stack file a finding is about."""

import re
from collections.abc import Iterable

import yaml

from tierup.io.stack.read import PROJECT

_PART = re.compile(r"[^.\[\]]+|\[\d+\]")
_SAID = re.compile(r"^\S+\.yaml:(\d+):\d+$")  # findings about the text itself name their line


def lines_of(text: str, paths: Iterable[str]) -> tuple[int | None, ...]:
    """The line of each finding's path, or of the nearest part above it that stands in the file."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        root = None
    return tuple(_line(root, path) for path in paths)


def _line(root: yaml.Node | None, path: str) -> int | None:
    said = _SAID.match(path)
    if said is not None:
        return int(said[1])
    if root is None:
        return None
    parts = _PART.findall(path)
    first, rest = (parts[0], parts[1:]) if parts else (path, [])
    found = _entry(root, "config")
    config = found if found is not None else (root.start_mark.line + 1, root)
    step = config if first == "config" else _first(root, config[1], first)
    line = config[0]
    while step is not None:
        line, node = step
        step = _entry(node, rest.pop(0)) if rest else None
    return line


def _first(root: yaml.Node, config: yaml.Node, key: str) -> tuple[int, yaml.Node] | None:
    """A section of ours, else a key without a namespace, else a key beside `config:`."""
    for parent, name in ((config, f"{PROJECT}:{key}"), (config, key), (root, key)):
        found = _entry(parent, name)
        if found is not None:
            return found
    return None


def _entry(node: yaml.Node, part: str) -> tuple[int, yaml.Node] | None:
    """Line and value of a mapping's key (the last of its name, which counts) or of a list's entry."""
    if isinstance(node, yaml.SequenceNode) and part.startswith("["):
        index = int(part[1:-1])
        if index < len(node.value):
            return node.value[index].start_mark.line + 1, node.value[index]
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):
            if isinstance(key, yaml.ScalarNode) and key.value == part:
                return key.start_mark.line + 1, value
    return None
