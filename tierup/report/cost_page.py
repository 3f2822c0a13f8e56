"""A stack's cost as a Markdown page: the lines and tables of the text."""

from tierup.cost.report.cost import StackReport, head, owned_tables
from tierup.report.tables import cell, table


def as_markdown(report: StackReport) -> str:
    """The page as Markdown."""
    parts = [
        f"## Cost of {cell(report.stack)}",
        "\n".join(f"- {cell(line.strip())}" for line in head(report)),
    ]
    for item in owned_tables(report):
        parts.append(f"### {item.title[0].upper()}{item.title[1:]}")
        parts.append("\n".join(table(item.columns, item.rows)))
    if report.findings:
        parts.append("\n".join(f"- {item.severity}: {cell(item.message)}" for item in report.findings))
    return "\n\n".join(parts) + "\n"
