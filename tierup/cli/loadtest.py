"""Sends the load that a stack file describes to a service, and checks the results against the file's promises."""

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


def seconds(text: str, option: str) -> float:
    """The duration `90`, `90s`, `2m` or `1h` in seconds; raises UsageError, which names the option."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", text)
    if match is None or float(match[1]) * _UNITS[match[2]] == 0:
        raise UsageError(f"{option}: not a duration above 0 (got {text}) - such as 90s, 2m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def loadtest(  # noqa: PLR0917 - the options of a command are its arguments
    stack: Stack,
    host: Annotated[str, typer.Option(help="URL of the gateway, or of an engine")],
    users: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, help="Closed arrival: concurrent users", show_default="the stack file's"
        ),
    ] = None,
    time: Annotated[str, typer.Option(metavar="TIME", help="Duration of the measurement: 90s, 2m")] = "2m",
    warmup: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Time before the measurement", show_default="the think time, at least 5s"
        ),
    ] = None,
    arrival: Annotated[
        Arrival,
        typer.Option(help="closed: each user waits for an answer; open: requests arrive at --rate"),
    ] = Arrival.CLOSED,
    rate: Annotated[float | None, typer.Option(min=0.01, help="Open arrival: requests per second")] = None,
    model: Annotated[
        str | None, typer.Option(help="Model in the requests", show_default="the stack's only model")
    ] = None,
    ignore_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Generate every answer to its full length (vLLM only)")
    ] = False,
    prediction: Annotated[
        bool,
        typer.Option("--prediction/--no-prediction", help="Compare with the plan's prediction for its GPUs"),
    ] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file")] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML page with plots to this file")] = None,
) -> None:
    """Send the stack's load to a service and check the results against the stack's promises.

    The API key is read from the environment variable TIERUP_API_KEY. Ctrl-C ends the run and prints its results.
    Exit code 0: every promise kept and no request failed; 1: otherwise, or Locust is not installed; 130: interrupted.
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
        classes=request_classes(plan),
        token_ratio=TokenRatio(),
        arrival=arrival,
        users=users if users is not None else users_of(plan),
        rate=rate if rate is not None else 0.0,
        think=plan.think_seconds,
        warmup=seconds(warmup, "--warmup") if warmup is not None else warmup_of(plan),
        seconds=seconds(time, "--time"),
        timeout=timeout_of(plan),
        ignore_eos=ignore_eos,
    )
    files = [(file, text) for file, text in ((json_file, Results.text), (report, render)) if file is not None]
    for file, _ in files:
        _writable(file)
    results = _run(plan, chosen, profile, prediction)
    show(results, console())
    for file, text in files:
        file.write_text(text(results), encoding="utf-8")
    if results.load.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    raise typer.Exit(0 if results.kept else EXIT_FINDINGS)


def _run(plan: Plan, model: ModelPlan, profile: "Profile", compare: bool) -> Results:
    from loadtest.outcome import measured_time, results
    from loadtest.prediction import predict
    from loadtest.run import LoadTestError, run_load_test
    from tierup.cli.loadtest_page import progress

    expected, stderr = None, Console(stderr=True)
    if compare and profile.arrival is Arrival.CLOSED:
        expected = predict(plan, model, users=profile.users)
    elif compare:
        expected = predict(plan, model, rate=profile.rate)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        recording = run_load_test(profile, lambda recording: progress(profile, recording, stderr))
    except LoadTestError as error:
        print(f"error: {profile.url}: {error}", file=sys.stderr)
        raise typer.Exit(EXIT_FINDINGS) from error
    window = measured_time(profile, recording)
    if window is None:
        print("interrupted during the warm-up: no results", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED)
    return results(plan, model, profile, recording, window, prediction=expected, started_at=started)


def _model(plan: Plan, name: str | None) -> ModelPlan:
    from loadtest.profile import model_of

    known = model_of(plan, name)
    if known is None:
        raise UsageError(
            f"the stack serves several models - name one: --model {' | '.join(plan.model_names)}"
        )
    return known


def _check(host: str, arrival: Arrival, users: int | None, rate: float | None) -> None:
    from loadtest.key import api_key

    url = urlsplit(host)
    if url.username or url.password:
        raise UsageError(
            "--host contains a secret - give the API key in the environment variable TIERUP_API_KEY"
        )
    if url.scheme not in ("http", "https") or not url.hostname or not _has_valid_port(url):
        raise UsageError(f"--host is a URL such as https://llm.example.com (got {host})")
    try:
        api_key()
    except ValueError as error:
        raise UsageError(str(error)) from error
    if (arrival is Arrival.OPEN) is not (rate is not None):
        raise UsageError("--arrival open and --rate go together")
    if arrival is Arrival.OPEN and users is not None:
        raise UsageError("--users is for closed arrival - give --rate for an open one")


def _has_valid_port(url: SplitResult) -> bool:
    try:
        return url.port is None or url.port > 0
    except ValueError:
        return False


def _writable(file: Path) -> None:
    """Refuse a file that cannot be written before the run, not after it."""
    if not file.resolve().parent.is_dir():
        raise UsageError(f"{file} cannot be written: there is no such folder")
