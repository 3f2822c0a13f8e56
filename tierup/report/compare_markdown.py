"""Decides how a comparison reads in a README or in a comment of a pull request."""

from tierup.compare import Comparison
from tierup.compare.table import CLAIM_COLUMNS, claim_rows, notes, tier_rows
from tierup.report.tables import cell, table

BEGIN, END = "<!-- compare:begin -->", "<!-- compare:end -->"


def render(found: Comparison) -> str:
    """Both tables and how to read them."""
    reading = "\n".join(f"- {cell(line)}" for line in notes(found))
    return "\n\n".join((tiers(found), claims(found), reading)) + "\n"


def tiers(found: Comparison) -> str:
    """The tiers side by side."""
    rows = ((f"{heading}", *cells) for heading, cells in tier_rows(found))
    return "\n".join(table(("", *(tier.name for tier in found.tiers)), rows))


def claims(found: Comparison) -> str:
    """The guide's single figures next to ours."""
    return "\n".join(table(CLAIM_COLUMNS, claim_rows(found)))


def between(page: str, block: str) -> str:
    """The page with the text between its two markers replaced."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} ... {END}")
    return f"{head}{BEGIN}\n{block.strip()}\n{END}{tail}"
