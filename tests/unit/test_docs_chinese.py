"""The Chinese pages keep step with the English ones: the same headings, commands, tables and links."""

import re
from pathlib import Path

import pytest

from tierup.templates import ROOT

PAIRS = [
    (ROOT / "README.md", ROOT / "README.zh.md"),
    *((ROOT / "docs" / path.name, path) for path in sorted((ROOT / "docs" / "zh").glob("*.md"))),
]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def prose(path: Path) -> str:
    """The page without its blocks."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def headings(path: Path) -> list[int]:
    return [len(mark) for mark in re.findall(r"^(#+) ", prose(path), re.MULTILINE)]


def commands_in_text(path: Path) -> set[str]:
    """Commands and keys that the text names."""
    return set(re.findall(r"`((?:tierup|make|pulumi|source|kubectl)[ :][^`]+)`", prose(path)))


def targets(path: Path) -> set[Path]:
    """The pages to which it links, an English page standing for its Chinese one."""
    named = re.findall(r"\]\(([^)#:]+)\)", prose(path))
    found = {(path.parent / target).resolve() for target in named}
    return {ROOT / "docs" / item.name if item.parent.name == "zh" else item for item in found}


def test_there_is_a_guide_in_chinese() -> None:
    names = {chinese.name for _, chinese in PAIRS}
    assert {"README.zh.md", "README.md", "first-stack.md", "local.md", "cluster.md"} <= names
    assert all(english.exists() for english, _ in PAIRS)


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_has_the_same_headings(english: Path, chinese: Path) -> None:
    assert headings(chinese) == headings(english)


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_has_the_same_blocks(english: Path, chinese: Path) -> None:
    assert FENCE.findall(chinese.read_text("utf-8")) == FENCE.findall(english.read_text("utf-8"))


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_names_the_same_commands_and_pages(english: Path, chinese: Path) -> None:
    assert commands_in_text(chinese) == commands_in_text(english)
    ours = {path for path in targets(english) if path.name not in ("README.md", "README.zh.md")}
    theirs = {path for path in targets(chinese) if path.name not in ("README.md", "README.zh.md")}
    assert theirs == ours


@pytest.mark.parametrize("chinese", [pair[1] for pair in PAIRS], ids=lambda path: path.name)
def test_a_page_is_in_chinese(chinese: Path) -> None:
    text = prose(chinese)
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) > 300
    # Chinese sentences have Chinese punctuation: a comma between two Chinese characters is full-width.
    assert not re.findall(r"[\u4e00-\u9fff][,;:?!][\u4e00-\u9fff ]", text)
