"""Prints what load tests say about a stack's settings: changes with their evidence, as a patch to apply by hand."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from tierup.cli.exits import EXIT_FINDINGS, UsageError, console, examples
from tierup.cli.project import Stack, load_plan
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
        list[Path], typer.Option("--from", help="Results of `tierup loadtest --json`, as often as needed")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Propose batch size (maxNumSeqs), queue length, the cap of long jobs and replicas from load tests.

    Several files are compared: the same load with other settings. The stack file is not written.
    Exit code 1: the runs do not suffice to say anything.
    """
    try:
        found = tuned(load_plan(stack), [_read(file) for file in files])
    except Incomparable as error:
        raise UsageError(str(error)) from error
    if as_json:
        print(json.dumps(_plain(found), indent=2))
    else:
        _page(found, console())
    raise typer.Exit(0 if found.enough else EXIT_FINDINGS)


def _read(file: Path) -> Results:
    try:
        return read(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"{file} is no result of `tierup loadtest --json`: {path}: {first['msg']}"
        ) from error


def _plain(found: Tuning) -> dict[str, object]:
    """As plain data."""
    return {
        "enough": found.enough,
        "proposals": [{**asdict(item), "change": item.change} for item in found.proposals],
        "compared": list(found.compared),
        "notes": list(found.notes),
        "missing": list(found.missing),
    }


def _page(found: Tuning, out: Console) -> None:
    def line(text: str) -> None:
        out.print(text, highlight=False, markup=False, soft_wrap=True)

    for text in found.compared:
        line(text)
    for item in found.proposals:
        line(item.change)
        line(f"  measured  {item.evidence}")
        line(f"  rule      {item.rule}")
        line(f"  effect    {item.effect}")
    for text in found.notes:
        line(text)
    for text in found.missing:
        line(f"no evidence: {text}")
    if found.proposals:
        line("edit the stack file so, `tierup plan`, roll it out and load-test again")
