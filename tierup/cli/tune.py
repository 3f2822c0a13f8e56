"""Prints the changes of a stack's settings that measurements suggest, each with its evidence, to be made by hand."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from tierup.cli.exits import EXIT_FINDINGS, UsageError, console, examples
from tierup.cli.project import Stack, load_plan
from tierup.cli.tables import print_line, print_table
from tierup.io.files import MOST_OF_A_DOCUMENT, UnreadableFile, read_text
from tierup.io.prometheus import Prometheus, PrometheusError
from tierup.tuning.production import Figure, Production, measurable, production, questions
from tierup.tuning.results import MIN_ANSWERS, Results, read
from tierup.tuning.tune import Incomparable, Tuning
from tierup.tuning.tune import tune as tuned

EXAMPLES = examples(
    "tierup tune --stack standard --from run.json",
    "tierup tune --stack standard --from batch-8.json --from batch-16.json",
    "tierup tune --stack standard --prometheus http://127.0.0.1:9090 --since 7d",
)
_SINCE = re.compile(r"[1-9][0-9]{0,3}[mhdw]")


def tune(
    stack: Stack,
    files: Annotated[
        list[Path] | None, typer.Option("--from", help="Results of `tierup loadtest --json`; may be repeated")
    ] = None,
    *,
    prometheus: Annotated[
        str | None, typer.Option(metavar="URL", help="The Prometheus that measures the stack")
    ] = None,
    since: Annotated[str, typer.Option(help="With --prometheus: how long ago it begins (m, h, d, w)")] = "7d",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Propose settings from load tests, or correct the workload by what production measured.

    Load tests (--from) give batch size (maxNumSeqs), queue length, the cap of long jobs and replicas; several files are
    compared: the same load with different settings. --prometheus shows the plan beside what the engines measured. The
    stack file is not changed.
    Exit code 1: the results are too few for any conclusion.
    """
    if (prometheus is None) == (not files):
        raise UsageError("give results of load tests (--from), or a server (--prometheus), and not both")
    if prometheus is not None:
        enough = _from_production(stack, prometheus, since, as_json)
    else:
        enough = _from_load_tests(stack, files or [], as_json)
    raise typer.Exit(0 if enough else EXIT_FINDINGS)


def _from_load_tests(stack: str, files: list[Path], as_json: bool) -> bool:
    try:
        tuning = tuned(load_plan(stack), [_read(file) for file in files])
    except Incomparable as error:
        raise UsageError(str(error)) from error
    if as_json:
        print(json.dumps(_plain(tuning), indent=2))
    else:
        _page(tuning, console())
    return tuning.enough


def _from_production(stack: str, url: str, since: str, as_json: bool) -> bool:
    if _SINCE.fullmatch(since) is None:
        raise UsageError(f"--since {since} is no duration - write it as 90m, 12h, 7d or 4w")
    plan = load_plan(stack)
    models = [model for model in plan.models if measurable(model)]
    if not models:
        raise UsageError(f"no engine of {plan.stack} has the series that are asked for")
    try:
        server = Prometheus(url)
        measured = [
            production(
                plan,
                model,
                {key: server.value(query) for key, query in questions(plan, model, since).items()},
            )
            for model in models
        ]
    except PrometheusError as error:
        raise UsageError(str(error)) from error
    if as_json:
        print(json.dumps({"since": since, "models": [_measured(item) for item in measured]}, indent=2))
    else:
        out = console()
        for item in measured:
            _beside(item, since, out)
    return any(item.enough for item in measured)


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


def _measured(item: Production) -> dict[str, object]:
    """One model as plain data for JSON."""
    return {
        "model": item.model,
        "requests": item.requests,
        "enough": item.enough,
        "figures": [asdict(figure) for figure in item.figures],
        "changes": list(item.changes),
    }


def _beside(item: Production, since: str, out: Console) -> None:
    """One model: a table of what was planned and measured, then what to change."""
    title = f"{item.model}: {item.requests} requests in the last {since}"
    if not item.enough:
        print_line(f"not enough data: {title}, but a 95th percentile needs {MIN_ANSWERS}", out)
        return
    rows = [
        [figure.name, _planned(figure), _amount(figure.measured, figure.unit), figure.about]
        for figure in item.figures
    ]
    print_table(title, ("", "planned", "measured", ""), rows, out)
    for change in item.changes:
        print_line(change, out)
    print_line(
        "next: correct the stack file, and look at it with `tierup plan`"
        if item.changes
        else "the workload is as it was planned",
        out,
    )


def _planned(figure: Figure) -> str:
    text = _amount(figure.planned, figure.unit)
    if figure.low is None:
        return text
    return f"{text} ({_amount(figure.low, '')} to {_amount(figure.high, figure.unit)})"


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    number = f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    return f"{number} {unit}".rstrip()


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
