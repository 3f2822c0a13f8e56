"""Loads a running service as its stack file describes its users, and judges it by what the file promises them."""

import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import SplitResult, urlsplit

import typer
from rich.console import Console

from tierup.cli.exits import EXIT_FINDINGS, UsageError, console, examples
from tierup.cli.project import Stack, load_plan
from tierup.plan.model import ModelPlan, Plan
from tierup.tuning.results import Arrival, Results

if TYPE_CHECKING:
    from loadtest.profile import Profile

EXAMPLES = examples(
    "tierup loadtest --stack standard --host https://llm.example.com",
    "tierup loadtest --stack standard --host http://127.0.0.1:8080 --time 2m --json run.json --report run.html",
    "tierup loadtest --stack standard --host http://127.0.0.1:8080 --arrival open --rate 4",
)
EXIT_INTERRUPTED = 130
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> float:
    """`90`, `90s`, `2m` or `1h` in seconds; raises UsageError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", text)
    if found is None or float(found[1]) * _UNITS[found[2]] == 0:
        raise UsageError(f"{text} is no time - say 90s, 2m or 1h")
    return float(found[1]) * _UNITS[found[2]]


def loadtest(  # noqa: PLR0917 - the options of a command are its arguments
    stack: Stack,
    host: Annotated[str, typer.Option(help="URL of the gateway, or of an engine")],
    users: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Closed arrival", show_default="the stack file's")
    ] = None,
    time: Annotated[str, typer.Option(metavar="TIME", help="Measured time: 90s, 2m")] = "2m",
    warmup: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Not measured", show_default="the users' pause, at least 5s"),
    ] = None,
    arrival: Annotated[
        Arrival,
        typer.Option(
            help="closed: users who wait for their answer; open: requests that do not wait for others"
        ),
    ] = Arrival.CLOSED,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Open arrival: requests per second")] = None,
    model: Annotated[
        str | None, typer.Option(help="Name to ask for", show_default="the stack's, if it is one")
    ] = None,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Answers of full length (vLLM only)")
    ] = False,
    prediction: Annotated[
        bool,
        typer.Option("--prediction/--no-prediction", help="Compare with the plan, which is for its GPUs"),
    ] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page with plots to this file")] = None,
) -> None:
    """Send the stack's load to a service and judge it by what the stack promises.

    An API key is read from the variable TIERUP_API_KEY. Ctrl-C ends the run and tells what was measured.
    Exit code 0: every promise kept and no request failed; 1: not, or Locust is not installed; 130: interrupted.
    """
    from loadtest.profile import Profile, TokenRatio, request_classes, timeout_of, users_of, warmup_of
    from loadtest.report import render
    from loadtest.run import require_locust
    from tierup.cli.loadtest_page import show

    plan = load_plan(stack)
    chosen = _model(plan, model)
    _check(host, arrival, users, rate)
    require_locust()
    profile = Profile(
        url=host.rstrip("/"),
        model=model if model is not None else chosen.name,
        classes=request_classes(chosen),
        token_ratio=TokenRatio(),
        arrival=arrival,
        users=users if users is not None else users_of(plan, chosen),
        rate=rate if rate is not None else 0.0,
        think=plan.think_seconds,
        warmup=seconds(warmup) if warmup is not None else warmup_of(plan),
        seconds=seconds(time),
        timeout=timeout_of(plan),
        ignore_eos=ignore_eos,
    )
    files = [(file, text) for file, text in ((json_file, Results.text), (report, render)) if file is not None]
    for file, _ in files:
        _writable(file)
    found = _run(plan, chosen, profile, prediction)
    show(found, console())
    for file, text in files:
        file.write_text(text(found), encoding="utf-8")
    if found.load.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    raise typer.Exit(0 if found.kept else EXIT_FINDINGS)


def _run(plan: Plan, model: ModelPlan, profile: "Profile", compare: bool) -> Results:
    from loadtest.outcome import measured_time, results
    from loadtest.prediction import predict
    from loadtest.run import LoadTestError, run_load_test
    from tierup.cli.loadtest_page import progress

    expected, told = None, Console(stderr=True)
    if compare and profile.arrival is Arrival.CLOSED:
        expected = predict(plan, model, users=profile.users)
    elif compare:
        expected = predict(plan, model, rate=profile.rate)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        recording = run_load_test(profile, lambda recording: progress(profile, recording, told))
    except LoadTestError as error:
        print(f"error: {profile.url}: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_FINDINGS) from error
    window = measured_time(profile, recording)
    if window is None:
        print("interrupted during the warm-up: nothing was measured", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED)
    return results(plan, model, profile, recording, window, prediction=expected, started_at=started)


def _model(plan: Plan, name: str | None) -> ModelPlan:
    from loadtest.profile import model_of

    found = model_of(plan, name)
    if found is None:
        raise UsageError(
            f"the stack serves several models - name one: --model {' | '.join(plan.model_names)}"
        )
    return found


def _check(host: str, arrival: Arrival, users: int | None, rate: float | None) -> None:
    from loadtest.key import api_key

    url = urlsplit(host)
    if url.username or url.password:
        raise UsageError("--host holds a secret - give the API key as the variable TIERUP_API_KEY")
    if url.scheme not in ("http", "https") or not url.hostname or not _port_is_fine(url):
        raise UsageError(f"--host is a URL such as https://llm.example.com (got {host})")
    try:
        api_key()
    except ValueError as error:
        raise UsageError(str(error)) from error
    if (arrival is Arrival.OPEN) is not (rate is not None):
        raise UsageError("--arrival open and --rate go together")
    if arrival is Arrival.OPEN and users is not None:
        raise UsageError("--users is for closed arrival - an open one has a --rate")


def _port_is_fine(url: SplitResult) -> bool:
    try:
        return url.port is None or url.port > 0
    except ValueError:
        return False


def _writable(file: Path) -> None:
    """Before the run, not after it."""
    if not file.resolve().parent.is_dir():
        raise UsageError(f"{file} cannot be written: there is no such folder")
