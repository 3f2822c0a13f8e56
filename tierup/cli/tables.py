"""Tables as text: plain columns under a title, so that it can be read and cut; numbers and ids are never broken."""

import textwrap
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

_INDENT = 4  # of the rest of a long line
_GAP = 2  # spaces between two columns


def print_table(
    title: str | None, columns: Iterable[str], rows: Iterable[Iterable[str]], out: Console
) -> None:
    """Print one table and a blank line. Cells wrap between words; a table of long words is wider than the terminal."""
    heads, cells = list(columns), [list(row) for row in rows]
    widest = [max(map(_longest_word, column)) for column in zip(heads, *cells, strict=True)]
    table = Table(title=title, title_justify="left", box=None, padding=(0, _GAP, 0, 0))
    for head, width in zip(heads, widest, strict=True):
        table.add_column(head, min_width=width)
    for row in cells:
        table.add_row(*row)
    needed = sum(widest) + _GAP * len(widest)
    out.print(table, width=max(out.width, needed), crop=False)
    out.print()


def print_line(text: str, out: Console, style: str | None = None, indent: int | None = None) -> None:
    """Print one line; where it is longer than the terminal, it goes on below, between words and indented.

    `indent` is in characters; the default is a few more than the line's own.
    """
    lines = [text]
    if len(text) > out.width:
        spaces = indent if indent is not None else len(text) - len(text.lstrip()) + _INDENT
        wrapper = textwrap.TextWrapper(
            out.width, subsequent_indent=" " * spaces, break_long_words=False, break_on_hyphens=False
        )
        lines = wrapper.wrap(text)
    for line in lines:
        out.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def _longest_word(text: str) -> int:
    """Its length in characters."""
    return max(map(len, text.split()), default=0)
