"""Checks a Pulumi plan, or the objects of a stack file, against the policies of the pack in policies/."""

from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from tierup.cli.exits import EXIT_FINDINGS, EXIT_OVER_BUDGET, UsageError, examples
from tierup.cli.project import load_plan, project_folder, stacks_here
from tierup.io.pulumi.plan import PlanError, read_plan, stack_of
from tierup.io.stack.read import find_project, stack_path
from tierup.manifests import render
from tierup.policies.budget import BUDGETS, over_budget
from tierup.policies.pack import violations
from tierup.policies.rule import Level
from tierup.report.policy_report import PolicyReport, as_json, as_sarif, lines
from tierup.resources.model import Change, resource_of

EXAMPLES = examples(
    "tierup policy --plan preview.json",
    "tierup policy --plan preview.json --json | jq .violations",
    "tierup policy --plan preview.json --format sarif > policies.sarif",
    "tierup policy --stack standard",
)


class Format(StrEnum):
    """The formats of violations: for a person, a program, a code scanner."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"


def policy(
    plan: Annotated[
        str | None,
        typer.Option(
            "--plan", "-p", help="A saved `pulumi preview --json --show-sames` or state; - for standard input"
        ),
    ] = None,
    stack: Annotated[
        str | None,
        typer.Option(
            "--stack", "-s", help="Check the objects of a stack file instead", autocompletion=stacks_here
        ),
    ] = None,
    kind: Annotated[
        Format, typer.Option("--format", help="The form of the output", case_sensitive=False)
    ] = Format.TEXT,
    as_json_: Annotated[bool, typer.Option("--json", help="Short for --format json")] = False,
) -> None:
    """Check resources of any project, as the policy pack does in a preview.

    Exit code 1: a mandatory policy is violated; 3: the only one is the budget.
    """
    if plan is not None and stack is None:
        report = of_plan(plan)
    elif stack is not None and plan is None:
        report = of_stack(stack)
    else:
        raise UsageError("name either a plan (--plan) or a stack (--stack)")
    match Format.JSON if as_json_ else kind:
        case Format.TEXT:
            print("\n".join(lines(report)))
        case Format.JSON:
            print(as_json(report), end="")
        case Format.SARIF:
            print(as_sarif(report, version("tierup")), end="")
    raise typer.Exit(exit_code(report))


def of_plan(source: str) -> PolicyReport:
    """The report of a plan or state; resources that are deleted are not checked."""
    try:
        changes = read_plan(source)
    except PlanError as error:
        raise UsageError(str(error)) from error
    now = [change.now for change in changes if change.now is not None]
    past = [change.past for change in changes if change.past is not None]
    return PolicyReport(_file(changes, source), len(now), (*violations(now), *over_budget(now, past)))


def of_stack(stack: str) -> PolicyReport:
    """The report of a stack file; raises `FindingsError` if it has errors, an exceeded budget included."""
    resources = [resource_of(manifest) for manifest in render(load_plan(stack))]
    project = project_folder()
    file = stack_path(project, stack).relative_to(project).as_posix()
    return PolicyReport(file, len(resources), tuple(violations(resources)))


def exit_code(report: PolicyReport) -> int:
    """The command's exit code."""
    broken = {item.policy.name for item in report.violations if item.policy.level is Level.MANDATORY}
    if not broken:
        return 0
    return EXIT_OVER_BUDGET if broken <= {policy.name for policy in BUDGETS.values()} else EXIT_FINDINGS


def _file(changes: tuple[Change, ...], source: str) -> str:
    """The stack's file if it belongs to the current project, else the plan."""
    project = find_project(Path.cwd())
    try:
        path = stack_path(project, stack_of(changes, source)) if project is not None else None
    except PlanError:
        return source
    if project is None or path is None or not path.exists():
        return source
    return path.relative_to(project).as_posix()
