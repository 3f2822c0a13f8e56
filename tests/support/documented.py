"""What pages of documentation hold, for tests: the blocks to copy, and the keys that their tables list."""

import re
from dataclasses import dataclass
from pathlib import Path

from tierup.templates import ROOT

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
PROGRAMS = ("sh", "python", "js")  # the languages of blocks that a reader runs


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    kind: str  # what stands after the opening fence
    body: str

    @property
    def language(self) -> str:
        return self.kind.split(" ")[0]

    @property
    def needs(self) -> str | None:
        """What the block needs to run, as its fence says: ```sh needs=cluster."""
        found = re.fullmatch(rf"(?:{'|'.join(PROGRAMS)}) needs=(\w+)", self.kind)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, without their indentation."""
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix()
    return [
        Block(name, found["kind"], _plain(found["body"], found["indent"])) for found in FENCE.finditer(text)
    ]


def _plain(body: str, indent: str) -> str:
    return re.sub(rf"^{indent}", "", body, flags=re.MULTILINE)


def documented_keys(page: str) -> list[set[str]]:
    """The keys in the first column of each table of a Markdown page."""
    tables: list[set[str]] = [set()]
    for line in page.splitlines():
        if line.startswith("| `"):
            tables[-1].update(re.findall(r"`(\w+)`", line.split(" | ")[0]))
        elif not line.startswith("|") and tables[-1]:
            tables.append(set())
    return [table for table in tables if table]
