"""A load test as text: its progress while it runs, and its result."""

from collections import Counter
from collections.abc import Iterable

from rich.console import Console

from loadtest import rows
from loadtest.profile import Profile
from loadtest.run import Recording
from loadtest.samples import Outcome
from tierup.cli.tables import print_table
from tierup.tuning.results import Results

_EVERY_SECONDS = 10


def progress(profile: Profile, recording: Recording, out: Console) -> None:
    """A line every ten seconds; told about once a second."""
    if int(recording.seconds) % _EVERY_SECONDS:
        return
    count = Counter(sample.outcome for sample in recording.samples)
    left = profile.warmup + profile.seconds - recording.seconds
    if recording.seconds < profile.warmup:
        phase = "warm-up"
    else:
        phase = f"{left:.0f} s left" if left > 0 else "waiting for the last answers"
    told = ", ".join(f"{count[outcome]} {outcome}" for outcome in Outcome if outcome is not Outcome.CUT)
    out.print(
        f"{recording.seconds:5.0f} s  {told}, {recording.in_flight} in flight ({phase})",
        highlight=False,
        soft_wrap=True,
    )


def show(found: Results, out: Console) -> None:
    """The results on one page, the verdict last, where the eye ends up."""
    out.print(rows.title(found), style="bold", highlight=False, markup=False, soft_wrap=True)
    _table("requests", rows.COUNTS, rows.counts(found), out)
    _table("rates", rows.RATES, rows.rates(found), out)
    _table("times", rows.TIMES, rows.times(found), out)
    _table("prediction", rows.PREDICTED, rows.predicted(found), out)
    _table("failures", rows.FAILED, rows.failed(found), out)
    _table("promises", rows.VERDICT, rows.verdict(found), out)
    for line in rows.notes(found):
        out.print(f"note: {line}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"verdict: {rows.summary(found)}", style="bold", highlight=False, markup=False)


def _table(title: str, columns: Iterable[str], lines: Iterable[rows.Row], out: Console) -> None:
    """Nothing where there is no line."""
    shown = list(lines)
    if shown:
        print_table(title, columns, shown, out)
