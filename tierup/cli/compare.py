"""Prints tiers side by side: the hardware guide's claims and the computed figures."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from tierup.catalog import load_catalog
from tierup.catalog.claims import load_claims
from tierup.cli.exits import UsageError, console, examples
from tierup.cli.project import load_plan, project_folder, stacks_here
from tierup.cli.tables import print_table
from tierup.compare import Comparison
from tierup.compare import compare as compared
from tierup.compare.summary import summary
from tierup.compare.table import CLAIM_COLUMNS, claim_rows, notes, tier_rows
from tierup.io.stack.read import stack_names
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
            help="A stack; may be repeated",
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
    """Tiers side by side: users, latency, cost, next bottleneck; the hardware guide's claim and ours."""
    if as_json and named not in (None, Format.JSON):
        raise UsageError(f"--json and --format {named} differ - give one")
    kind = Format.JSON if as_json else named if named is not None else Format.TEXT
    stacks = dict.fromkeys(stack if stack else stack_names(project_folder()))
    if not stacks:
        raise UsageError("there is no stack file - start from one of the tiers in the project's stacks/")
    comparison = compared(map(load_plan, stacks), load_catalog(), load_claims())
    if out is None:
        _write(comparison, kind, sys.stdout)
        return
    try:
        with out.open("w", encoding="utf-8") as file:
            _write(comparison, kind, file)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error


def _write(comparison: Comparison, kind: Format, file: TextIO) -> None:
    match kind:
        case Format.TEXT:
            _page(comparison, console() if file is sys.stdout else Console(file=file, color_system=None))
        case Format.JSON:
            file.write(json.dumps(summary(comparison), indent=2) + "\n")
        case Format.MARKDOWN:
            file.write(compare_markdown.as_markdown(comparison))
        case Format.SVG:
            file.write(picture.render(comparison))


def _page(comparison: Comparison, out: Console) -> None:
    tiers = [(heading, *cells) for heading, cells in tier_rows(comparison)]
    print_table("tiers side by side", ("", *(tier.name for tier in comparison.tiers)), tiers, out)
    print_table("the hardware guide's other figures", CLAIM_COLUMNS, claim_rows(comparison), out)
    for line in notes(comparison):
        out.print(line, highlight=False, markup=False)
