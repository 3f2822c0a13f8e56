"""A finding's path leads to its line in the stack file, or to the nearest line above it that is there."""

from pathlib import Path

import pytest

from tierup.catalog import load_catalog
from tierup.io.stack.locate import lines_of
from tierup.io.stack.read import parse_stack
from tierup.rules.preflight import examine
from tierup.stack.parse import parse

TEXT = """\
# a comment
encryptionsalt: v1:x
config:
  aws:region: eu
  orphan: 1
  tierup:workload:
    users: 40
    classes:
      chat: {promptTokens: 1,
             share: 2}
  tierup:nodes: {server: x}
  tierup:models:
    - id: a
      parallelism:
        tensor: 3
    - name: b
      id: c
  tierup:secret-hub-token: clear
  tierup:nodes: &again
    server: y
strange: 5
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("workload", 6),
        ("workload.users", 7),
        ("workload.classes.chat.promptTokens", 9),
        ("workload.classes.chat.share", 10),
        ("models", 12),
        ("models[0]", 13),
        ("models[0].parallelism.tensor", 15),
        ("models[1].id", 17),
        ("secret-hub-token", 18),
        ("nodes.server", 20),  # the last of two counts
        ("strange", 21),
        ("orphan", 5),
        ("config", 3),
        # what is not there: the nearest part above it
        ("workload.classes.chat.priority", 9),
        ("workload.users.deeper", 7),
        ("models[1].parallelism.tensor", 16),
        ("models[7].id", 12),
        ("gateway.replicas", 3),
        ("models[x]", 12),
        ("", 3),
        (".", 3),
        # what names its own line
        ("Pulumi.standard.yaml:17:4", 17),
    ],
)
def test_a_path_has_a_line(path: str, line: int) -> None:
    assert lines_of(TEXT, [path]) == (line,)


@pytest.mark.parametrize("text", ["", "a: [", "a: !strange {", "[" * 5000])
def test_an_unreadable_file_has_only_the_named_lines(text: str) -> None:
    assert lines_of(text, ["nodes.count", "Pulumi.x.yaml:1:5"]) == (None, 1)


@pytest.mark.parametrize("text", ["5", "- a\n- b", "config:", "config: 7", "other:\n  tierup:nodes: 1"])
def test_a_file_of_another_shape_has_a_first_line(text: str) -> None:
    assert lines_of(text, ["nodes.count"]) == (1,)


def test_every_finding_of_every_bad_file_that_can_be_read_has_a_line() -> None:
    located = 0
    for path in sorted((Path(__file__).parent / "bad_stacks").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        found = examine(parse(parse_stack(text, "bad", "Pulumi.bad.yaml")), load_catalog()).findings
        lines = lines_of(text, [finding.path for finding in found])
        if "TIER009" in {str(finding.code) for finding in found}:
            assert lines == (None,), path.name  # an empty file
            continue
        for line in lines:
            assert line is not None, path.name
            assert 1 <= line <= len(text.splitlines()) + 1, path.name
            located += 1
    assert located > 100
