"""Find the line of a stack file that a finding is about."""

import re
from collections.abc import Iterable

import yaml

from tierup.io.stack.read import PROJECT
from tierup.io.stack.yaml import compose_yaml

_PART = re.compile(r"[^.\[\]]+|\[\d+\]")
_FILE_POSITION = re.compile(r"^\S+\.yaml:(\d+):\d+$")  # findings about the text itself name their line


def lines_of(text: str, paths: Iterable[str]) -> tuple[int | None, ...]:
    """The line of each finding's path, or of its nearest parent in the file; None for text that is not YAML."""
    try:
        root = compose_yaml(text)
    except yaml.YAMLError:
        root = None
    return tuple(_line(root, path) for path in paths)


def _line(root: yaml.Node | None, path: str) -> int | None:
    position = _FILE_POSITION.match(path)
    if position is not None:
        return int(position[1])
    if root is None:
        return None
    parts = _PART.findall(path)
    first, rest = (parts[0], parts[1:]) if parts else (path, [])
    entry = _entry(root, "config")
    config = entry if entry is not None else (root.start_mark.line + 1, root)
    step = config if first == "config" else _first(root, config[1], first)
    line = config[0]
    while step is not None:
        line, node = step
        step = _entry(node, rest.pop(0)) if rest else None
    return line


def _first(root: yaml.Node, config: yaml.Node, key: str) -> tuple[int, yaml.Node] | None:
    """A `tierup:` section, else a key without a namespace, else a key next to `config:`."""
    for parent, name in ((config, f"{PROJECT}:{key}"), (config, key), (root, key)):
        entry = _entry(parent, name)
        if entry is not None:
            return entry
    return None


def _entry(node: yaml.Node, part: str) -> tuple[int, yaml.Node] | None:
    """Line and value of a mapping's key (the last one of its name, which counts) or of a list's entry."""
    if isinstance(node, yaml.SequenceNode) and part.startswith("["):
        index = int(part[1:-1])
        if index < len(node.value):
            return node.value[index].start_mark.line + 1, node.value[index]
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):
            if isinstance(key, yaml.ScalarNode) and key.value == part:
                return key.start_mark.line + 1, value
    return None
