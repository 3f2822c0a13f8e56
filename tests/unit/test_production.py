"""What `tierup tune --prometheus` says of a week in production: the plan beside what the engines measured."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from tier_plans import plan_of

from tierup.cli.exits import UsageError
from tierup.cli.tune import tune
from tierup.io.prometheus import TOKEN, Prometheus, PrometheusError
from tierup.plan.model import Plan
from tierup.tuning.production import Production, production, questions

STANDARD = plan_of("standard")
PROMPT, ANSWER = 0.8 * 512 + 0.2 * 1024, 0.8 * 200 + 0.2 * 1500  # means of its two classes, tokens


def measured(plan: Plan = STANDARD, **answers: float | None) -> Production:
    """A week that went as planned, but for these answers."""
    (model,) = plan.models
    assert model.capacity is not None
    sizing = model.capacity.sizing
    assert sizing.ttft_ms is not None
    assert sizing.tpot_ms is not None
    as_planned: dict[str, float | None] = {
        "requests": 5000,
        "at_once": model.capacity.in_flight,
        "prompt": PROMPT,
        "answer": ANSWER,
        "cached": 0.0,
        "first_p50": sizing.ttft_ms.p50 / 1000,
        "first_p95": 0.4,
        "token_p50": sizing.tpot_ms.p50 / 1000,
        "token_p95": 0.03,
        "kv": 0.5,
        "preemptions": 0,
        "refused": 0,
    }
    assert as_planned.keys() == questions(plan, model, "7d").keys()
    return production(plan, model, as_planned | answers)


def test_a_load_as_planned_asks_for_no_change() -> None:
    week = measured()
    assert week.enough
    assert week.changes == ()
    planned = {figure.name: figure.planned for figure in week.figures}
    assert planned["prompt"] == pytest.approx(PROMPT)
    assert planned["answer"] == pytest.approx(ANSWER)
    assert planned["first token, 95 % of the requests"] == 10, "the slowest promise, in seconds"


def test_each_prediction_has_its_range_beside_what_was_measured() -> None:
    figures = {figure.name: figure for figure in measured(first_p50=0.25).figures}
    first = figures["first token, half of the requests"]
    assert first.measured == 0.25
    assert first.low is not None
    assert first.high is not None
    assert first.planned is not None
    assert first.low < first.planned < first.high


def test_longer_prompts_than_planned_name_the_classes_to_correct() -> None:
    assert measured(prompt=PROMPT * 1.19).changes == ()
    (change,) = measured(prompt=PROMPT * 1.25).changes
    assert change.startswith("workload.classes.*.promptTokens: their mean is 614.4, measured 768")
    assert "chat, longform" in change


def test_one_class_gives_the_value_to_write(make_plan: Callable[..., Plan]) -> None:
    chat = {
        "promptTokens": 500,
        "answerTokens": 100,
        "ttftMs": 1000,
        "tpotMs": 50,
        "share": 1,
        "priority": 80,
    }
    plan = make_plan(workload={"users": 16, "classes": {"chat": chat}})
    assert measured(plan, prompt=900, answer=100).changes == (
        "workload.classes.chat.promptTokens: 500 -> 900",
    )
    assert measured(plan, prompt=500, answer=100, cached=0.62).changes == (
        "workload.classes.chat.sharedPrefix: 0 -> 0.62",
    )


def test_more_requests_at_once_than_planned_are_as_many_users_more() -> None:
    (model,) = STANDARD.models
    assert model.capacity is not None
    at_once = model.capacity.in_flight
    assert measured(at_once=at_once * 1.19).changes == ()
    (change,) = measured(at_once=at_once * 1.5).changes
    assert change.startswith("workload.users: 50 -> 75")
    most = model.capacity.most_in_flight
    promises, users = measured(at_once=most * 1.1).changes
    assert f"more than the {most:.0f} with which every promise is kept" in promises
    assert users.startswith("workload.users: 50 -> ")


def test_an_idle_service_is_named() -> None:
    (model,) = STANDARD.models
    assert model.capacity is not None
    (change,) = measured(at_once=model.capacity.in_flight * 0.3).changes
    assert "fewer replicas would do" in change


@pytest.mark.parametrize("requests", [None, 0, 19])
def test_too_few_requests_say_nothing(requests: float | None) -> None:
    week = measured(requests=requests, prompt=5000)
    assert not week.enough
    assert (week.figures, week.changes) == ((), ())


def test_a_series_that_is_missing_changes_nothing() -> None:
    assert measured(prompt=None, answer=None, cached=None, at_once=None, first_p95=None).changes == ()


@pytest.fixture
def tokens() -> list[str | None]:
    """The headers `Authorization` of all requests to servers of the test."""
    return []


@pytest.fixture
def server(tokens: list[str | None]) -> Iterator[Callable[[int, str], str]]:
    """Starts a server that answers every request with this status and text."""
    started = []

    def start(status: int, text: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                tokens.append(self.headers.get("Authorization"))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", text)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=made.serve_forever, daemon=True).start()
        started.append(made)
        return f"http://127.0.0.1:{made.server_port}"

    yield start
    for made in started:
        made.shutdown()
        made.server_close()


def vector(*samples: object) -> str:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": samples}})


@pytest.mark.parametrize(
    ("status", "text", "problem"),
    [
        (200, "<html>a login page</html>", "answers with 200 and no JSON"),
        (302, "http://127.0.0.1:9/", "answers with 302 and no JSON"),
        (400, json.dumps({"status": "error", "error": "parse error"}), "refuses up: parse error"),
        (200, "[]", "refuses up"),
        (
            200,
            json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}),
            "one sample",
        ),
        (200, vector({"value": [1, "1"]}, {"value": [1, "2"]}), "one sample"),
        (200, vector({"metric": {}}), "a sample without a value"),
        (200, vector({"value": [1, "many"]}), "a sample without a value"),
    ],
)
def test_a_server_that_is_no_prometheus_gets_one_message(
    server: Callable[[int, str], str], status: int, text: str, problem: str
) -> None:
    with pytest.raises(PrometheusError, match=problem):
        Prometheus(server(status, text)).value("up")


def test_a_token_goes_to_the_server_and_nowhere_else(
    server: Callable[[int, str], str],
    tokens: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(TOKEN, "a-secret-token")
    assert Prometheus(server(200, vector())).value("up") is None
    assert Prometheus(server(200, vector({"value": [1, "2.5"]}))).value("up") == 2.5
    elsewhere = server(200, vector())
    with pytest.raises(UsageError) as error:
        tune("standard", None, prometheus=server(302, elsewhere))
    assert tokens == ["Bearer a-secret-token"] * 3, "none for the server to which it is led on"
    assert "a-secret-token" not in str(error.value) + capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("prometheus:9090", "is no URL"),
        ("ftp://prometheus", "is no URL"),
        ("http://", "is no URL"),
        ("http://user:secret@prometheus:9090", "has a password in it"),
        ("http://127.0.0.1:1", "cannot be reached"),
    ],
)
def test_a_url_that_cannot_be_asked_gets_one_message(url: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as error:
        tune("standard", None, prometheus=url)
    assert "secret" not in str(error.value)


def test_load_tests_and_production_are_two_questions() -> None:
    with pytest.raises(UsageError, match="and not both"):
        tune("standard", None)
    with pytest.raises(UsageError, match="--since 7y is no duration"):
        tune("standard", None, prometheus="http://127.0.0.1:1", since="7y")
