"""A cost report as an HTML page: two charts, all tables, and the sources of the prices."""

from collections.abc import Sequence

from tierup.cost import Outlook
from tierup.cost.report.cost import StackReport, every_table, head
from tierup.cost.report.figures import NOT_PRICED, Table, usd
from tierup.report.charts import bars, curves
from tierup.templates import TEMPLATES


def render(tiers: Sequence[tuple[StackReport, Outlook]]) -> str:
    """One HTML page that loads nothing; its figures are the reports'."""
    reports = [report for report, _ in tiers]
    return TEMPLATES.get_template("cost.html.j2").render(
        stacks=", ".join(report.stack for report in reports),
        bars=bars.bars(reports),
        bar_box=bars,
        month=month(reports),
        plot=curves.plot([outlook for _, outlook in tiers]),
        plot_box=curves,
        tiers=[(report.stack, list(head(report)), every_table(report)) for report in reports],
    )


def month(tiers: Sequence[StackReport]) -> Table:
    """The figures of the bar chart, with unpriced components."""
    names = dict.fromkeys(item.component for tier in tiers for item in tier.components)
    return Table(
        "a month",
        ("component", *(tier.stack for tier in tiers)),
        (
            *((name, *(_cell(tier, name) for tier in tiers)) for name in names),
            ("all that is priced", *(usd(tier.totals.usd_per_month) for tier in tiers)),
        ),
    )


def _cell(tier: StackReport, component: str) -> str:
    for item in tier.components:
        if item.component == component:
            lines = sum(line.component == component for line in tier.lines)
            if item.unpriced_lines == lines:
                return NOT_PRICED
            return usd(item.usd_per_month) + (
                f", {item.unpriced_lines} {NOT_PRICED}" if item.unpriced_lines else ""
            )
    return ""
