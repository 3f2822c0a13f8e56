"""Prints the changes of a stack's settings that load tests suggest, each with its evidence, to be made by hand."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from tierup.cli.exits import EXIT_FINDINGS, UsageError, console, examples
from tierup.cli.project import Stack, load_plan
from tierup.cli.tables import print_line
from tierup.io.files import MOST_OF_A_DOCUMENT, UnreadableFile, read_text
from tierup.tuning.results import Results, read
from tierup.tuning.tune import Incomparable, Tuning
from tierup.tuning.tune import tune as tuned

EXAMPLES = examples(
    "tierup tune --stack standard --from run.json",
    "tierup tune --stack standard --from batch-8.json --from batch-16.json",
)


def tune(
    stack: Stack,
    files: Annotated[
        list[Path], typer.Option("--from", help="Results of `tierup loadtest --json`; may be repeated")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Propose batch size (maxNumSeqs), queue length, the cap of long jobs and replicas from load tests.

    Several files are compared: the same load with different settings. The stack file is not changed.
    Exit code 1: the results are too few for any conclusion.
    """
    try:
        tuning = tuned(load_plan(stack), [_read(file) for file in files])
    except Incomparable as error:
        raise UsageError(str(error)) from error
    if as_json:
        print(json.dumps(_plain(tuning), indent=2))
    else:
        _page(tuning, console())
    raise typer.Exit(0 if tuning.enough else EXIT_FINDINGS)


def _read(file: Path) -> Results:
    try:
        return read(read_text(file, MOST_OF_A_DOCUMENT))
    except UnreadableFile as error:
        raise UsageError(str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"{file} is not a result of `tierup loadtest --json`: {path}: {first['msg']}"
        ) from error


def _plain(tuning: Tuning) -> dict[str, object]:
    """The result as plain data for JSON."""
    return {
        "enough": tuning.enough,
        "proposals": [{**asdict(item), "change": item.change} for item in tuning.proposals],
        "compared": list(tuning.compared),
        "notes": list(tuning.notes),
        "missing": list(tuning.missing),
    }


def _page(tuning: Tuning, out: Console) -> None:
    def line(text: str) -> None:
        print_line(text, out)

    for text in tuning.compared:
        line(text)
    for item in tuning.proposals:
        line(item.change)
        line(f"  measured  {item.evidence}")
        line(f"  rule      {item.rule}")
        line(f"  effect    {item.effect}")
    for text in tuning.notes:
        line(text)
    for text in tuning.missing:
        line(f"not enough data: {text}")
    if tuning.proposals:
        line(
            "next: make the change in the stack file, check it with `tierup plan`, deploy it and repeat the load test"
        )
