"""The result file and its HTML page: nothing is lost, and the page shows nothing that is not in the file."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from load_pages import PROFILE, answers, run_of
from pydantic import ValidationError

from loadtest import plots, rows
from loadtest.outcome import measured_time
from loadtest.report import render
from loadtest.run import Recording
from loadtest.samples import Outcome, Sample
from tierup.report.charts.axes import LinearAxis, LogAxis
from tierup.tuning.results import Spread, read

PAGE = (Path(__file__).parents[2] / "docs/loadtest.md").read_text(encoding="utf-8")


def recorded_run(seed: int = 1) -> Recording:
    """A run with answers, refusals and failures."""
    rng = random.Random(seed)
    samples = []
    for number in range(400):
        first = rng.uniform(0.05, 0.6)
        chunks = tuple(first + 0.02 * token for token in range(20))
        usual: dict[str, Any] = {"chunks": chunks, "prompt_tokens": 510, "answer_tokens": 20}
        outcome = Outcome.ANSWERED
        if number % 40 == 0:
            outcome, usual = Outcome.REFUSED, {"retry_after": None}
        elif number % 50 == 1:
            outcome, usual = Outcome.FAILED, {"reason": 'HTTP 503 <b>"busy"</b>'}
        name = "longform" if number % 7 in (0, 2) else "chat"
        samples.append(Sample(name, outcome, rng.uniform(0, 140), first + 0.5, **usual))
    return Recording(samples=samples, seconds=141)


RUN = run_of(recorded_run())


def test_the_file_survives_being_written_and_read() -> None:
    assert read(RUN.text()) == RUN
    assert read(RUN.text()).text() == RUN.text()


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"more": 1}, {"classes": {}}, {"load": None}, {"kept": "yes"}],
    ids=["another version", "an unknown key", "no class", "no load", "a wrong type"],
)
def test_a_file_of_another_form_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        read(json.dumps({**json.loads(RUN.text()), **change}))


def keys(tree: object) -> set[str]:
    """Every key of an object and of those in it, but the names of classes and reasons."""
    if isinstance(tree, dict):
        named = tree.keys() <= {"chat", "longform"} or any(key.startswith("HTTP") for key in tree)
        return (set() if named else set(tree)) | {key for item in tree.values() for key in keys(item)}
    return {key for item in tree for key in keys(item)} if isinstance(tree, list) else set()


def test_the_page_names_every_key_of_the_file() -> None:
    found = keys(json.loads(RUN.text()))
    assert {"e2eMs", "promisedTtftMs", "withoutRetryAfter"} <= found
    assert {key for key in found if f"`{key}`" not in PAGE} == set()


def test_an_interrupted_run_is_measured_until_then_and_not_at_all_in_the_warm_up() -> None:
    early = Recording(samples=[], seconds=65, interrupted=True)
    window = measured_time(PROFILE, early)
    assert window is not None
    assert (window.begin, window.end) == (20, 65)
    assert measured_time(PROFILE, Recording(seconds=20, interrupted=True)) is None


# The report

REPORT = render(RUN)


def test_the_report_holds_the_file_itself() -> None:
    (inside,) = re.findall(r'<script type="application/json" id="results">(.*?)</script>', REPORT, re.DOTALL)
    assert read(inside) == RUN


def test_the_report_loads_nothing_and_escapes_a_server_s_text() -> None:
    shown = REPORT.partition("<script")[0]
    assert not re.search(r"(?:src|href|@import|url\()", REPORT)
    assert "<b>" not in shown
    assert "&lt;b&gt;" in shown


def cells(heading: str) -> list[list[str]]:
    (table,) = re.findall(rf"<h2>{heading}</h2>\n<div [^>]*>\n<table>(.*?)</table>", REPORT, re.DOTALL)
    return [re.findall(r"<td>(.*?)</td>", row) for row in table.split("<tr>")[2:]]


def number(cell: str) -> float:
    return float(cell.removesuffix(" ms").replace(",", ""))


def test_the_tables_of_the_report_are_the_files_numbers() -> None:
    assert [row[:2] for row in cells("Times")] == [
        [name, word] for name in RUN.classes for word in ("TTFT", "ITL", "TPOT", "E2E")
    ]
    for name, word, *shown in cells("Times"):
        figures = getattr(RUN.classes[name], f"{word.lower()}_ms")
        assert isinstance(figures, Spread)
        expected = [figures.p50, figures.p90, figures.p95, figures.p99, figures.mean, figures.max]
        assert [number(cell) for cell in shown] == pytest.approx(expected, rel=0.01, abs=0.5)
    for name, sent, answered, refused, failed, *_ in cells("Requests"):
        item = RUN.classes[name]
        assert [int(sent), int(answered), int(refused), int(failed)] == [
            item.sent,
            item.answered,
            item.refused.count,
            item.failures,
        ]
        assert min(int(refused), int(failed)) > 0
    for (name, figure, *_, word), promise in zip(cells("Promises"), RUN.verdict, strict=True):
        assert (name, figure.lower(), word == "kept") == (
            promise.workload_class,
            promise.figure,
            promise.kept,
        )


def test_the_prediction_is_beside_the_measurement_with_their_ratio() -> None:
    rows = cells("Prediction")
    assert [row[:2] for row in rows[-2:]] == [["all", "requests/s"], ["all", "tokens out/s"]]
    assert RUN.prediction is not None
    measured = RUN.classes["chat"].ttft_ms
    assert measured is not None
    expected = RUN.prediction.classes["chat"].ttft_ms
    assert number(rows[0][2]) == pytest.approx(expected.p50, rel=0.01)
    assert rows[0][3] == "44.6-159"
    assert rows[0][5] == f"{measured.p50 / expected.p50:.2f}x"


def points(plot: str, name: str) -> list[tuple[float, float]]:
    (drawn,) = re.findall(rf'<svg id="{plot}".*?</svg>', REPORT, re.DOTALL)
    (path,) = re.findall(rf'data-name="{name}" d="M(.*?)"', drawn)
    return [(float(x), float(y)) for x, y in (pair.split() for pair in path.split(" L"))]


def test_every_point_of_the_plots_is_at_the_files_figure() -> None:
    time = LinearAxis(120, plots.LEFT, plots.RIGHT)
    item = RUN.classes["chat"]
    most = max(part.out_tokens_per_second for found in RUN.classes.values() for part in found.timeline)
    rate = LinearAxis(most * 1.1, plots.BOTTOM, plots.TOP)
    expected = [(time.at(part.at), rate.at(part.out_tokens_per_second)) for part in item.timeline]
    assert points("throughput", "chat") == expected
    assert len(expected) == 60

    percent = LinearAxis(100, plots.LEFT, plots.RIGHT)
    latency = LogAxis(10, 1000, plots.BOTTOM, plots.TOP)  # from 50 to 600 ms
    shown = points("distribution", "chat")
    assert shown == [(percent.at(5 * n), latency.at(value)) for n, value in enumerate(item.ttft_steps_ms)]
    promised = points("ttft", "chat, promised 500 ms")
    assert [x for x, _ in promised] == [plots.LEFT, plots.RIGHT]


@pytest.mark.parametrize(
    ("samples", "state", "words"),
    [
        ([*answers("chat", 0.1), *answers("longform", 0.1)], "kept", "promises kept;"),
        (answers("chat", 0.1), "unmeasured", "promises kept, 2 not measured;"),
        ([*answers("chat", 30), *answers("longform", 0.1)], "broken", "promises NOT kept;"),
        (answers("chat", 30), "broken", "promises NOT kept, 2 not measured;"),
        ([Sample("chat", Outcome.REFUSED, 30, 0.01)], "unmeasured", "promises not measured;"),
        ([Sample("chat", Outcome.FAILED, 30, 0.01, reason="HTTP 503")], "broken", "promises not measured;"),
    ],
)
def test_what_was_not_measured_is_not_called_broken(samples: list[Sample], state: str, words: str) -> None:
    found = run_of(Recording(samples=samples, seconds=141))
    assert rows.state(found) == state
    assert rows.summary(found).startswith(words)
    page = render(found)
    assert f'<p class="word {state}">{words}' in page
    assert found.kept is (state == "kept")


def test_axes_and_dashed_lines_have_units_and_names() -> None:
    texts = re.findall(r'<text class="axis"[^>]*>(.*?)</text>', REPORT)
    ticks = [text for text in texts if text[0].isdigit()]
    assert all(re.fullmatch(r"[\d.]+( ms| s| %|/s)", tick) for tick in ticks), ticks
    assert not [tick for tick in ticks if re.match(r"\d{4,} ms", tick)]
    legend = re.findall(r'<li class="line-label">.*?</i>(.*?)</li>', REPORT)
    dashed = re.findall(r'data-name="([^"]*)"[^>]*stroke-dasharray', REPORT)
    assert dashed == ["chat, promised 500 ms", "longform, promised 10 s"]
    assert set(dashed) <= set(legend)


def test_a_run_without_answers_has_a_page_too() -> None:
    page = render(run_of(Recording(samples=[Sample("chat", Outcome.REFUSED, 30, 0.01)], seconds=141)))
    assert "NOT MEASURED" in page
    assert "had no Retry-After" in page
