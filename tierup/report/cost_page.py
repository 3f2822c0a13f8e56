"""Decides how a tier's cost reads as a page: the lines and tables of the text."""

from tierup.cost.report.schema import CostReport
from tierup.cost.report.tables import head, tables
from tierup.report.tables import cell, table


def render(found: CostReport) -> str:
    """The page."""
    parts = [f"## Cost of {cell(found.stack)}", "\n".join(f"- {cell(line.strip())}" for line in head(found))]
    for item in tables(found):
        parts.append(f"### {item.title[0].upper()}{item.title[1:]}")
        parts.append("\n".join(table(item.columns, item.rows)))
    if found.findings:
        parts.append("\n".join(f"- {item.severity}: {cell(item.message)}" for item in found.findings))
    return "\n\n".join(parts) + "\n"
