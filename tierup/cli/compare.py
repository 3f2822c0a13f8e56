"""Prints tiers side by side: the hardware guide's claims and the computed figures."""

import io
import json
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from tierup.catalog import load_catalog
from tierup.catalog.claims import load_claims
from tierup.cli.exits import EXIT_FINDINGS, UsageError, console, examples
from tierup.cli.project import load_plan, project_folder, stacks_here
from tierup.cli.tables import print_table
from tierup.compare import Comparison, Skipped
from tierup.compare import compare as compared
from tierup.compare.summary import summary
from tierup.compare.table import CLAIM_COLUMNS, claim_rows, notes, tier_rows
from tierup.findings.model import TierError
from tierup.io.files import write_text
from tierup.io.stack.read import stack_names
from tierup.plan.model import Plan
from tierup.report import compare_markdown
from tierup.report.charts import compare as picture

EXAMPLES = examples(
    "tierup compare",
    "tierup compare --stack entry --stack standard --json",
    "tierup compare --format markdown > comment.md",
    "tierup compare --format svg --out compare.svg",
)


class Format(StrEnum):
    """The formats of a comparison: for a person, a program, a pull request, a page."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    SVG = "svg"


def compare(
    stack: Annotated[
        list[str] | None,
        typer.Option(
            "--stack",
            "-s",
            help="A stack, or the path of its file; may be repeated",
            show_default="every stack file",
            autocompletion=stacks_here,
        ),
    ] = None,
    named: Annotated[
        Format | None,
        typer.Option("--format", help="The form of the output", show_default="text", case_sensitive=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file")] = None,
) -> None:
    """Tiers side by side: users, latency, cost, next bottleneck; the hardware guide's claim and ours.

    Every model of a stack is shown. A stack file with errors is named and skipped; the others are shown, and the exit
    code is 1. docs/compare-json.md lists the keys of --json.
    """
    if as_json and named not in (None, Format.JSON):
        raise UsageError(f"--json and --format {named} differ - give one")
    kind = Format.JSON if as_json else named if named is not None else Format.TEXT
    stacks = dict.fromkeys(stack if stack else stack_names(project_folder()))
    if not stacks:
        raise UsageError("there is no stack file - start from one of the tiers in the project's stacks/")
    plans, errors = _plans(stacks)
    if not plans and len(errors) == 1:
        raise next(iter(errors.values()))
    for name, problem in errors.items():
        print(f"{name} is skipped: {problem}", file=sys.stderr)
    if plans:
        skipped = (Skipped(name, str(problem)) for name, problem in errors.items())
        _write_to(compared(plans, load_catalog(), load_claims(), skipped), kind, out)
    if errors:
        raise typer.Exit(EXIT_FINDINGS)


def _plans(stacks: Iterable[str]) -> tuple[list[Plan], dict[str, TierError]]:
    """The plans of the stacks, and the problems of those that have none."""
    plans, errors = [], {}
    for name in stacks:
        try:
            plans.append(load_plan(name))
        except TierError as error:
            errors[name] = error
    return plans, errors


def _write_to(comparison: Comparison, kind: Format, out: Path | None) -> None:
    if out is None:
        _write(comparison, kind, sys.stdout)
        return
    text = io.StringIO()
    _write(comparison, kind, text)
    write_text(out, text.getvalue())


def _write(comparison: Comparison, kind: Format, file: TextIO) -> None:
    match kind:
        case Format.TEXT:
            _page(comparison, console(file))
        case Format.JSON:
            file.write(json.dumps(summary(comparison), indent=2) + "\n")
        case Format.MARKDOWN:
            file.write(compare_markdown.as_markdown(comparison))
        case Format.SVG:
            file.write(picture.render(comparison))


def _page(comparison: Comparison, out: Console) -> None:
    tiers = [(heading, *cells) for heading, cells in tier_rows(comparison)]
    print_table("tiers side by side", ("", *(item.name for item in comparison.columns)), tiers, out)
    print_table("the hardware guide's other figures", CLAIM_COLUMNS, claim_rows(comparison), out)
    for line in notes(comparison):
        out.print(line, highlight=False, markup=False)
