"""Tables as text: plain columns under a title, so that it can be read and cut."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]], out: Console) -> None:
    """Print one table and a blank line."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)
    out.print()
