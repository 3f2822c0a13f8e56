"""Prints what a Pulumi plan changes in a stack's cost, and checks the new cost against the budget."""

import datetime
import gc

from tierup.catalog import load_catalog
from tierup.catalog.prices import load_prices
from tierup.cli.cost_page import cost_exit_code, page
from tierup.cli.exits import UsageError, console
from tierup.cli.project import project_folder
from tierup.cost import PlanCost
from tierup.cost.report.difference import DifferenceReport, components, details, head, verdict
from tierup.findings.model import BUDGET_CODES, Finding
from tierup.io.pulumi.plan import PlanError, parse_plan, read_plan, stack_of
from tierup.io.pulumi.preview import preview
from tierup.io.stack.read import read_stack, stack_path
from tierup.report import cost_markdown
from tierup.resources.model import Change
from tierup.rules import acceptance
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse


def print_cost(source: str | None, stack: str | None, day: datetime.date, kind: str, strict: bool) -> int:
    """Print the cost of a plan in a file (`-`: standard input) as text, json or markdown; the exit code.

    Without a `source`, `pulumi preview` makes the plan. The budget and accepted warnings are those of the stack's file;
    without `stack` there are none.
    """
    changes, name = _read(source, stack)
    planned = PlanCost.of(changes, load_prices())
    findings = _findings(planned, stack, day)
    report = DifferenceReport.of(name, planned, day, findings)
    match kind:
        case "json":
            print(report.model_dump_json(by_alias=True, indent=2))
        case "markdown":
            print(cost_markdown.as_markdown(report), end="")
        case _:
            lines = (f"{name}: {verdict(report)}", *(f"  {line}" for line in head(report)))
            page(lines, (components(report), *details(report)), report.findings, console())
    return cost_exit_code(findings, report.now.unpriced, strict)


def _read(source: str | None, stack: str | None) -> tuple[tuple[Change, ...], str]:
    """The changes of a plan, and the name of its stack."""
    origin = source if source is not None else "the preview"
    try:
        changes = _read_all(source, stack)
        name = stack_of(changes, origin) if changes or stack is None else stack
    except PlanError as error:
        raise UsageError(str(error)) from error
    if stack not in (None, name):
        raise UsageError(
            f"{origin} belongs to stack '{name}', not '{stack}' - give a plan and a stack that match"
        )
    return changes, name


def _read_all(source: str | None, stack: str | None) -> tuple[Change, ...]:
    """Read the plan without garbage collection, which would take a quarter of the time: the plan lives to the end."""
    gc.disable()
    try:
        if source is not None:
            return read_plan(source)
        if stack is None:
            raise UsageError("--preview needs a stack - name it (--stack)")
        return parse_plan(preview(project_folder(), stack), "the preview")
    finally:
        gc.freeze()
        gc.enable()


def _findings(planned: PlanCost, stack: str | None, day: datetime.date) -> tuple[Finding, ...]:
    old = tuple(planned.stale_prices(day))
    if stack is None:
        return old
    parsed = parse(read_stack(stack_path(project_folder(), stack)))
    plan = make_plan(parsed, load_catalog(), allowed_errors=BUDGET_CODES)
    return (*planned.over_budget(plan.budget), *acceptance.marked(old, plan.accept))
