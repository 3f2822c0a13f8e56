"""Tables in Markdown."""

from collections.abc import Iterable, Iterator


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """The table's lines."""
    names = list(columns)
    yield _row(names)
    yield "|" + "---|" * len(names)
    yield from map(_row, rows)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(cell, cells))} |"


def cell(text: str) -> str:
    """Text that cannot end its cell or become a tag."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
