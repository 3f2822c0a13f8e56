"""A comparison of tiers as Markdown tables, for a README or a comment on a pull request."""

from tierup.compare import Comparison
from tierup.compare.table import CLAIM_COLUMNS, claim_rows, notes, tier_rows
from tierup.report.tables import cell, table

BEGIN, END = "<!-- compare:begin -->", "<!-- compare:end -->"


def as_markdown(comparison: Comparison) -> str:
    """Both tables, with notes on how to read them."""
    reading = "\n".join(f"- {cell(line)}" for line in notes(comparison))
    return "\n\n".join((tiers(comparison), claims(comparison), reading)) + "\n"


def tiers(comparison: Comparison) -> str:
    """The tiers side by side."""
    rows = ((f"{heading}", *cells) for heading, cells in tier_rows(comparison))
    return "\n".join(table(("", *(tier.name for tier in comparison.tiers)), rows))


def claims(comparison: Comparison) -> str:
    """The figures of the hardware guide next to the computed ones."""
    return "\n".join(table(CLAIM_COLUMNS, claim_rows(comparison)))


def between(page: str, block: str) -> str:
    """The page with the text between its two markers replaced."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no markers {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{block.strip()}\n{END}{tail}"
