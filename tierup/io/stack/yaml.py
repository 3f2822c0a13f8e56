"""Parse YAML as Pulumi's own parser (Go's yaml.v3) does, into plain JSON values.

Booleans are only true and false, dates and clock times stay text, octal numbers are `010` or `0o10`, and only tags of
JSON's types are allowed. A duplicate key is an error for Pulumi; here every one is recorded and parsing goes on.

A text may be hostile: depth and the number of values, with every alias expanded, are bounded before any value is made.
"""

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_MERGE = _TAG + "merge"
Duplicate = tuple[str, int, int]  # key, line, column; both from 1
MAX_DEPTH = 50  # the deepest key of a stack file is at 8
MAX_VALUES = 20_000  # a stack with a thousand callers has 8,000


class BoundExceeded(yaml.MarkedYAMLError):
    """A text that would be too much, with the place where it gets so."""

    def __init__(self, problem: str, mark: yaml.Mark | None) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicates: list[Duplicate] = []
        self._composed = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._composed += 1  # counted on the way: composing all values of a large text takes half a minute
        if self._composed > MAX_VALUES:
            raise BoundExceeded(_TOO_MANY, self.get_mark())
        return super().compose_node(parent, index)

    def fetch_more_tokens(self) -> Any:
        if self.flow_level + len(self.indents) > MAX_DEPTH:
            raise BoundExceeded(_TOO_DEEP, self.get_mark())
        return super().fetch_more_tokens()

    def get_single_node(self) -> yaml.Node | None:
        root = super().get_single_node()
        if root is not None:
            _Expanded().measure(root)
        return root

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else []:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):  # otherwise the base class raises
                if key in seen:
                    mark = key_node.start_mark
                    self.duplicates.append((str(key), mark.line + 1, mark.column + 1))
                seen.add(key)
        return super().construct_mapping(node, deep)


_TOO_MANY = f"it has more than {MAX_VALUES:,} values, with its aliases expanded"
_TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"


class _Expanded:
    """Size and depth of nodes with every alias expanded; each node is measured once."""

    def __init__(self) -> None:
        self._measured: dict[int, tuple[int, int] | None] = {}  # None: on the way, so it contains itself

    def measure(self, node: yaml.Node) -> tuple[int, int]:
        """The number of values in a node and its depth; raises `yaml.YAMLError` beyond the bounds."""
        if isinstance(node, yaml.ScalarNode):
            return 1, 0
        if id(node) in self._measured:
            measured = self._measured[id(node)]
            if measured is None:
                raise BoundExceeded("a value contains itself", node.start_mark)
            return measured
        self._measured[id(node)] = None
        pairs = isinstance(node, yaml.MappingNode)
        children = [child for pair in node.value for child in pair] if pairs else node.value
        sizes = [self.measure(child) for child in children]
        size, depth = 1 + sum(size for size, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)
        if size > MAX_VALUES:
            raise BoundExceeded(_TOO_MANY, node.start_mark)
        if depth > MAX_DEPTH:
            raise BoundExceeded(_TOO_DEEP, node.start_mark)
        self._measured[id(node)] = size, depth
        return size, depth


_RESOLVERS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("merge", r"<<", "<"),
)
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), list(_first))
_KINDS = ("null", "bool", "int", "float", "str", "seq", "map")
_Loader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in _KINDS
}


def compose_yaml(text: str) -> yaml.Node | None:
    """The nodes of a document, with their places in the text; raises `yaml.YAMLError` as `read_yaml`."""
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    except RecursionError as error:
        raise yaml.YAMLError(_TOO_DEEP) from error
    finally:
        loader.dispose()


def read_yaml(text: str) -> tuple[Any, list[Duplicate]]:
    """The document, and every duplicate key (the last one counts).

    Raises:
        yaml.YAMLError: the text is not YAML, or not plain data.
    """
    loader = _Loader(text)
    try:
        document = loader.get_single_data()
        json.dumps(
            document, ensure_ascii=False
        ).encode()  # raises for what contains itself, and for half characters
    except (ValueError, TypeError, RecursionError) as error:
        raise yaml.YAMLError(f"a value is not plain data ({error})") from error
    finally:
        loader.dispose()
    return document, loader.duplicates
