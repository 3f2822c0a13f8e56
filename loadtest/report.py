"""The HTML page of a run: the verdict, tables and plots, without external resources."""

from loadtest import plots, rows
from tierup.templates import TEMPLATES
from tierup.tuning.results import Results


def render(results: Results) -> str:
    """The page. It contains the results as JSON, so that a program can read them again."""
    return TEMPLATES.get_template("loadtest.html.j2").render(
        title=f"Load test of {results.stack}",
        subtitle=rows.title(results),
        started=results.started_at,
        state=rows.state(results),
        word=rows.summary(results),
        tables=[
            ("Promises", rows.VERDICT, list(rows.verdict(results))),
            ("Failures", rows.FAILED, list(rows.failed(results))),
            ("Requests", rows.COUNTS, list(rows.counts(results))),
            ("Times", rows.TIMES, list(rows.times(results))),
            ("Rates", rows.RATES, list(rows.rates(results))),
            ("Prediction", rows.PREDICTED, list(rows.predicted(results))),
        ],
        notes=list(rows.notes(results)),
        plots=plots.plots(results),
        box=plots,
        results=results.text().replace("</", "<\\/"),
    )
