"""Prints what a Pulumi plan changes in a stack's cost; a budget is held against what will be."""

import datetime

from tierup import acceptance
from tierup.catalog import load_catalog
from tierup.catalog.prices import load_prices
from tierup.cli.exits import UsageError
from tierup.cli.project import project_folder
from tierup.config import parse
from tierup.cost.difference_report import Planned, planned, report
from tierup.cost.difference_shape import DifferenceReport
from tierup.cost.limits import stale
from tierup.cost.plan_rules import over_budget
from tierup.findings import BUDGET_CODES, Finding
from tierup.io.pulumi_plan import PlanError, read_plan, stack_of
from tierup.io.stackfile import read_stack, stack_path
from tierup.preflight import make_plan
from tierup.report import cost_markdown


def costed(
    source: str, stack: str | None, today: datetime.date
) -> tuple[DifferenceReport, tuple[Finding, ...]]:
    """What the plan in a file (`-`: standard input) changes; the stack's file, if it is named, has the budget."""
    try:
        changes = read_plan(source)
        of = stack_of(changes, source) if stack is None or changes else stack
    except PlanError as error:
        raise UsageError(str(error)) from error
    if stack not in (None, of):
        raise UsageError(
            f"{source} is a plan of stack '{of}', not of '{stack}' - give the other plan or stack"
        )
    prices = load_prices()
    found = planned(changes, prices)
    findings = _findings(found, stack, today)
    return report(of, found, prices, today, findings), findings


def _findings(found: Planned, stack: str | None, today: datetime.date) -> tuple[Finding, ...]:
    old = tuple(stale(found.cost.now.prices.values(), today))
    if stack is None:
        return old
    parsed = parse(read_stack(stack_path(project_folder(), stack)))
    plan = make_plan(parsed, load_catalog(), shown=BUDGET_CODES)
    return (*over_budget(plan.budget, found), *acceptance.marked(old, plan.config.accept))


def tell(source: str, stack: str | None, kind: str, strict: bool, out: Console) -> int:
    """Print it as text, json or markdown; the exit code."""
    told, findings = costed(source, stack, datetime.datetime.now(datetime.UTC).date())
    match kind:
        case "text":
            _page(told, out)
        case "json":
            print(told.model_dump_json(by_alias=True, indent=2))
        case "markdown":
            print(cost_markdown.render(told), end="")
    code = exit_code(findings)
    if strict and told.now.unpriced:
        print(f"error: {told.now.unpriced_count} not priced: {', '.join(told.now.unpriced)}", file=sys.stderr)
        code = code if code else EXIT_UNPRICED
    return code


def _page(found: DifferenceReport, out: Console) -> None:
    for line in (f"{found.stack}: {verdict(found)}", *(f"  {line}" for line in head(found))):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    out.print()
    for table in (components(found), *details(found)):
        print_table(table.title, table.columns, table.rows, out)
    for item in found.findings:
        text = f"{item.severity}: {item.message}"
        if item.severity is Severity.ERROR:
            print(text, file=sys.stderr)
        else:
            out.print(text, highlight=False, markup=False, soft_wrap=True)
