"""Decides what the HTML page of a run holds: the verdict, the tables and the plots, with nothing to fetch."""

from loadtest import plots, rows
from tierup.templates import TEMPLATES
from tierup.tuning.results import Results


def render(found: Results) -> str:
    """The page; the results themselves stand in it as JSON, so that it can be read again."""
    return TEMPLATES.get_template("loadtest.html.j2").render(
        title=f"Load test of {found.stack}",
        subtitle=rows.title(found),
        started=found.started_at,
        kept=found.kept,
        word=rows.in_a_word(found),
        tables=[
            ("Promises", rows.VERDICT, list(rows.verdict(found))),
            ("Failures", rows.FAILED, list(rows.failed(found))),
            ("Requests", rows.COUNTS, list(rows.counts(found))),
            ("Times", rows.TIMES, list(rows.times(found))),
            ("Rates", rows.RATES, list(rows.rates(found))),
            ("Prediction", rows.PREDICTED, list(rows.predicted(found))),
        ],
        notes=list(rows.notes(found)),
        plots=plots.plots(found),
        box=plots,
        results=found.text().replace("</", "<\\/"),
    )
