"""A load test as text: its progress while it runs, and its result."""

from collections import Counter
from collections.abc import Iterable

from rich.console import Console

from loadtest import rows
from loadtest.profile import Profile
from loadtest.run import Recording
from loadtest.samples import Outcome
from tierup.cli.tables import print_line, print_table
from tierup.tuning.results import Results

_EVERY_SECONDS = 10


def progress(profile: Profile, recording: Recording, out: Console) -> None:
    """Print a line every ten seconds; called about once a second."""
    if int(recording.seconds) % _EVERY_SECONDS:
        return
    by_outcome = Counter(sample.outcome for sample in recording.samples)
    left = profile.warmup + profile.seconds - recording.seconds
    if recording.seconds < profile.warmup:
        phase = "warm-up"
    else:
        phase = f"{left:.0f} s left" if left > 0 else "waiting for the last answers"
    counts = ", ".join(
        f"{by_outcome[outcome]} {outcome}" for outcome in Outcome if outcome is not Outcome.CUT
    )
    out.print(
        f"{recording.seconds:5.0f} s  {counts}, {recording.in_flight} in flight ({phase})",
        highlight=False,
        soft_wrap=True,
    )


def show(results: Results, out: Console) -> None:
    """Print the results on one page, the verdict last."""
    print_line(rows.title(results), out, "bold")
    _table("requests", rows.COUNTS, rows.counts(results), out)
    _table("rates", rows.RATES, rows.rates(results), out)
    _table("times", rows.TIMES, rows.times(results), out)
    _table("prediction", rows.PREDICTED, rows.predicted(results), out)
    _table("failures", rows.FAILED, rows.failed(results), out)
    _table("promises", rows.VERDICT, rows.verdict(results), out)
    for line in rows.notes(results):
        print_line(f"note: {line}", out)
    out.print(f"verdict: {rows.summary(results)}", style="bold", highlight=False, markup=False)


def _table(title: str, columns: Iterable[str], cells: Iterable[rows.Row], out: Console) -> None:
    """Print a table; nothing if it has no rows."""
    shown = list(cells)
    if shown:
        print_table(title, columns, shown, out)
