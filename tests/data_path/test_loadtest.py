"""`tierup loadtest` as users run it, against a fake server: it reports the behaviour that the server was given."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_openai import FakeOpenAI, Manner, serve
from polling import DEADLINE, until

from tierup.tuning.results import MeasuredClass, Results, read

ROOT = Path(__file__).parents[2]
TIERUP = str(Path(sys.prefix) / "bin" / "tierup")
KEY = "sk-the-key-of-a-test"
SLOW_SECONDS = 5  # of a run on a slow server: requests are of a random class, and each class must be measured
USERS, CHAT_TOKENS, LONG_TOKENS = 8, 10, 40
STACK = f"""\
config:
  tierup:workload:
    users: {USERS}
    thinkSeconds: 0.2
    classes:
      chat: {{promptTokens: 60, answerTokens: {CHAT_TOKENS}, ttftMs: 1000, tpotMs: 500, share: 0.5, priority: 80}}
      longform:
        {{promptTokens: 200, answerTokens: {LONG_TOKENS}, ttftMs: 10000, tpotMs: 500, share: 0.5, priority: 20}}
  tierup:nodes: {{server: entry-2x-rtx-4090, count: 1}}
  tierup:models:
    - id: qwen2.5-7b
"""


@dataclass(frozen=True)
class Ended:
    """The result of a run: its exit code, its output and its files."""

    code: int
    out: str
    results: Results | None
    report: str

    @property
    def measured(self) -> Results:
        assert self.results is not None, self.out
        return self.results

    @property
    def classes(self) -> dict[str, MeasuredClass]:
        return self.measured.classes


class LoadTest:
    """Runs the command in a project of its own, measuring two seconds after one of warm-up."""

    def __init__(self, folder: Path) -> None:
        shutil.copy(ROOT / "Pulumi.yaml", folder)
        (folder / "stacks").mkdir()
        (folder / "stacks" / "Pulumi.small.yaml").write_text(STACK, encoding="utf-8")
        self.folder = folder

    def start(self, url: str, *args: str, seconds: int = 2, key: str | None = None) -> subprocess.Popen[str]:
        env = {name: value for name, value in os.environ.items() if name != "TIERUP_API_KEY"}
        times = ("--warmup", "1s", "--time", f"{seconds}s")
        files = ("--json", "run.json", "--report", "run.html")
        return subprocess.Popen(
            [TIERUP, "loadtest", "--stack", "small", "--host", url, *times, *files, *args],
            cwd=self.folder,
            env=env | ({} if key is None else {"TIERUP_API_KEY": key}) | {"COLUMNS": "200"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def end(self, process: subprocess.Popen[str]) -> Ended:
        out, _ = process.communicate(timeout=DEADLINE)
        with contextlib.suppress(FileNotFoundError):
            text = (self.folder / "run.json").read_text(encoding="utf-8")
            page = (self.folder / "run.html").read_text(encoding="utf-8")
            return Ended(process.returncode, out, read(text), page)
        return Ended(process.returncode, out, None, "")

    def __call__(self, fake: FakeOpenAI, *args: str, seconds: int = 2, key: str | None = None) -> Ended:
        result = self.end(self.start(fake.url, *args, seconds=seconds, key=key))
        assert fake.unknown == [], "the load test sent requests that the fake does not know"
        return result


@pytest.fixture
def loadtest(tmp_path: Path) -> LoadTest:
    return LoadTest(tmp_path)


def test_users_see_the_delays_that_the_server_has(loadtest: LoadTest) -> None:
    first, gap = 0.15, 0.02
    with serve(Manner(first=first, gap=gap, tokens_per_word=3, key=KEY)) as fake:
        result = loadtest(fake, key=KEY)
    assert result.code == 0, result.out
    assert "verdict: promises kept" in result.out
    for name, tokens in (("chat", CHAT_TOKENS), ("longform", LONG_TOKENS)):
        item = result.classes[name]
        assert 0 < item.answered == item.sent
        assert item.answer_tokens == tokens
        assert item.prompt_tokens == pytest.approx(item.wanted_prompt_tokens, rel=0.03)
        times = [item.ttft_ms, item.itl_ms, item.tpot_ms, item.e2e_ms]
        made = [first, gap, gap, first + gap * (tokens - 1)]
        for spread, seconds in zip(times, made, strict=True):
            assert spread is not None
            # Never sooner than it was sent (but a punctual chunk after a late one), nor much later.
            assert 900 * seconds <= spread.p50 <= 3000 * seconds + 50
    assert fake.most_at_once <= USERS
    assert sum(item.sent for item in result.classes.values()) < len(fake.bodies)  # the warm-up does not count
    max_tokens = {body["max_tokens"] for body in fake.bodies}
    assert max_tokens == {CHAT_TOKENS, LONG_TOKENS}
    assert not any("ignore_eos" in body for body in fake.bodies)
    left = json.dumps([result.out, result.measured.text(), result.report])
    assert KEY not in left


def test_a_missed_promise_is_exit_code_1(loadtest: LoadTest) -> None:
    with serve(Manner(first=1.2, gap=0.001)) as fake:
        result = loadtest(fake, seconds=SLOW_SECONDS)
    assert result.code == 1
    broken = [(item.workload_class, item.figure) for item in result.measured.verdict if not item.kept]
    assert broken == [("chat", "ttft")]
    assert "NOT KEPT" in result.out


def test_refusals_are_counted_separately_and_users_retry_after_the_stated_time(loadtest: LoadTest) -> None:
    with serve(Manner(capacity=3, first=0.5)) as fake:
        result = loadtest(fake, seconds=SLOW_SECONDS)
    assert result.code == 0, result.out
    refused = sum(item.refused.count for item in result.classes.values())
    assert 0 < refused <= fake.refused
    assert sum(item.failures for item in result.classes.values()) == 0
    assert all(item.refused.without_retry_after == 0 for item in result.classes.values())
    # Each user is refused at most once a second, as Retry-After says; without it the pause would be 0.2 s.
    assert refused <= USERS * (result.measured.load.seconds + 1)
    assert f"{refused} were refused" in result.out


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("status", "HTTP 503 (overloaded)"),
        ("event", "an error in the stream: 503 overloaded"),
        ("cut", "the connection ended inside an answer"),
    ],
)
def test_failures_are_counted_by_reason(loadtest: LoadTest, failure: str, reason: str) -> None:
    with serve(Manner(fails_every=4, failure=failure)) as fake:
        result = loadtest(fake)
    assert result.code == 1
    failed = {name: count for item in result.classes.values() for name, count in item.failed.items()}
    assert failed.keys() == {reason}
    sent = sum(item.sent for item in result.classes.values())
    assert result.measured.failures / sent == pytest.approx(1 / 4, abs=0.1)
    assert reason in result.out
    assert f"{result.measured.failures} failed" in result.out


def test_open_arrival_sends_at_its_rate_whatever_the_responses_are(loadtest: LoadTest) -> None:
    with serve(Manner(first=2.0, capacity=20, retry_after=None)) as fake:
        result = loadtest(fake, "--arrival", "open", "--rate", "20", "--ignore-eos")
    sent = sum(item.sent for item in result.classes.values())
    assert sent == pytest.approx(40, rel=0.5)  # 20 each second for two seconds, by chance
    assert fake.most_at_once > USERS
    gaps = [later - earlier for earlier, later in zip(fake.arrivals, fake.arrivals[1:], strict=False)]
    assert max(gaps) > 2 * sorted(gaps)[len(gaps) // 2]  # no beat
    refused = [item.refused for item in result.classes.values()]
    assert sum(item.count for item in refused) > 0
    assert all(item.count == item.without_retry_after for item in refused)
    assert all(body["ignore_eos"] for body in fake.bodies)
    assert (result.measured.load.rate, result.measured.load.users) == (20, None)


def test_ctrl_c_ends_the_run_and_reports_the_measurements(loadtest: LoadTest) -> None:
    with serve(Manner(first=0.1)) as fake:
        process = loadtest.start(fake.url, seconds=600)
        until(lambda: len(fake.bodies) > 60, "a run under way")
        process.send_signal(signal.SIGINT)
        result = loadtest.end(process)
        until(lambda: fake.now == 0, "nobody sends any more")
        count = len(fake.bodies)
    assert result.code == 130, result.out
    assert result.measured.load.interrupted
    assert 0 < result.measured.load.seconds < 600
    assert 0 < sum(item.answered for item in result.classes.values()) <= count
    assert result.measured.failures == 0
    assert "Traceback" not in result.out


def test_an_unreachable_server_is_one_message(loadtest: LoadTest) -> None:
    with serve(Manner(key=KEY)) as fake:
        result = loadtest(fake, key="sk-another")
        assert (result.code, result.results) == (1, None)
        assert result.out == f"error: {fake.url}: HTTP 401 (invalid_api_key)\n"
    result = loadtest.end(loadtest.start(fake.url))
    assert result.code == 1
    assert "cannot be reached: [Errno 111] Connection refused" in result.out


def test_tune_accepts_the_results_of_a_run(loadtest: LoadTest) -> None:
    with serve(Manner()) as fake:
        loadtest(fake)
    args = [TIERUP, "tune", "--stack", "small", "--from", "run.json", "--json"]
    result = subprocess.run(args, cwd=loadtest.folder, text=True, capture_output=True, check=False)
    advice = json.loads(result.stdout)
    assert result.returncode == (0 if advice["enough"] else 1)
    assert advice["missing"] or advice["proposals"] or advice["notes"]
