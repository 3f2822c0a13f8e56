"""The reloader's rounds with a fake clock and fake engines, and the start and end of its process."""

import asyncio
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import reloader
from reloader import Log, Reloader, read_keys, resolve
from reloader_rules import (
    Model,
    Probe,
    View,
    parse_config,
)

SCRIPT = Path(__file__).parents[2] / "templates" / "reloader.py"
PROBE = Probe(timeout_seconds=2, failures=2, stalled_seconds=30)
MODEL = Model("tiny", "dns:engines:80", 4, 2, {"longform": 0.5}, "/metrics", "running", ["tokens", "prompts"])
DEADLINE = 60.0
A, B = "10.0.0.1:8000", "10.0.0.2:8000"


def test_addresses_come_from_a_file_or_a_name(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(json.dumps([B, A, A]))
    assert resolve(f"file:{tmp_path / 'list'}") == [A, B]
    assert resolve("dns:localhost:8000") == ["127.0.0.1:8000"]
    assert resolve("dns:127.0.0.1:8000") == ["127.0.0.1:8000"]
    with pytest.raises(OSError, match=r"."):
        resolve(f"file:{tmp_path / 'none'}")


def test_several_values_of_a_key_are_a_rotation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = {word: hashlib.sha256(word.encode()).hexdigest() for word in ("old", "new", "team")}
    (tmp_path / "alice").write_text("old\nnew new\n")
    (tmp_path / "team-1").write_text("team")
    (tmp_path / "..data").mkdir()
    assert read_keys(tmp_path, Log()) == {
        digest["old"]: "alice",
        digest["new"]: "alice",
        digest["team"]: "team-1",
    }
    assert capsys.readouterr().out == ""


def test_keys_that_cannot_be_used_are_named_once_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "alice").write_text("secret-of-alice")
    (tmp_path / "bob").write_text("secret-of-alice other")  # its owner is ambiguous
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / 'x" "root').write_text("secret")
    log = Log()
    for _ in range(3):
        assert list(read_keys(tmp_path, log).values()) == ["alice"]
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["about"] for line in events] == [
        "key binary",
        "key bob",
        "key empty",
        "key folder",
        'key x" "root',
    ]
    assert "secret" not in json.dumps(events)


class Site:
    """Fake engines: their responses by address and path; an unknown address or path is an error."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engines, self.gateways = folder / "engines", folder / "gateways"
        self.shared = folder / "shared"
        (folder / "template").write_text("@SERVERS:tiny@ @LIMIT:tiny@")
        self.answers: dict[tuple[str, str], str | None] = {}
        self.now = 0.0
        self.set_engines(A, B)
        self.gateways.write_text('["gateway:80"]')
        self.raw: dict[str, Any] = {
            "template": str(folder / "template"),
            "folder": str(self.shared),
            "keys": None,
            "certificate": None,
            "interval_seconds": 1.0,
            "models": [{**MODEL.__dict__, "source": f"file:{self.engines}"}],
            "gateways": {"source": f"file:{self.gateways}", "count": 2},
            "probe": {**PROBE.__dict__},
        }

        async def get(address: str, path: str, seconds: float) -> str | None:
            return self.answers[address, path]

        monkeypatch.setattr(reloader, "get", get)
        clock = SimpleNamespace(monotonic=lambda: self.now, strftime=time.strftime, gmtime=time.gmtime)
        monkeypatch.setattr(reloader, "time", clock)

    def set_engines(self, *addresses: str) -> None:
        self.engines.write_text(json.dumps(addresses))
        for address in addresses:
            self.answers |= {
                (address, "/health"): "",
                (address, "/metrics"): "running 0\ntokens 1\nprompts 1\n",
            }

    def reloader(self) -> Reloader:
        return Reloader(parse_config(self.raw))

    def observe_rounds(self, reloader: Reloader, rounds: int = 1) -> tuple[list[str], int]:
        """Engines and gateways after so many rounds, a second each."""
        for _ in range(rounds):
            self.now += 1
            observed = asyncio.run(reloader.observe())
        return observed.engines["tiny"], observed.gateways


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_engines_are_followed(site: Site) -> None:
    one = site.reloader()
    assert site.observe_rounds(one) == ([A, B], 1)
    site.set_engines(B)
    assert site.observe_rounds(one) == ([B], 1)
    site.set_engines(A, B)
    assert site.observe_rounds(one) == ([A, B], 1)
    site.set_engines()
    assert site.observe_rounds(one) == ([], 1)


def test_a_failed_look_up_leaves_the_last_good_answer_also_to_the_next_reloader(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    one = site.reloader()
    assert site.observe_rounds(one) == ([A, B], 1)
    site.engines.unlink()
    site.gateways.write_text("[1]")
    assert site.observe_rounds(one, 3) == ([A, B], 1)
    assert capsys.readouterr().out.count("using the last good answer") == 2, "once for each, not each round"
    assert site.observe_rounds(site.reloader()) == ([A, B], 1)
    site.set_engines(B)
    assert site.observe_rounds(one) == ([B], 1)


def test_without_any_answer_there_are_no_engines_and_as_many_gateways_as_planned(site: Site) -> None:
    site.engines.unlink()
    site.gateways.unlink()
    assert site.observe_rounds(site.reloader()) == ([], 2)
    site.gateways.write_text("[]")
    assert site.observe_rounds(site.reloader()) == ([], 2)


def test_a_slow_look_up_continues_across_rounds(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.raw["probe"]["timeout_seconds"] = 0.01
    resolved = []

    def slow(source: str) -> list[str]:
        resolved.append(source)
        os.read(pipe[0], 1)
        return [A]

    pipe = os.pipe()
    monkeypatch.setattr(reloader, "resolve", slow)

    async def rounds() -> list[list[str]]:
        source = reloader.Source("dns:engines:80", [B])
        log, observed = Log(), []
        for number in range(3):
            if number == 2:
                os.write(pipe[1], b"x")
            await source.update(0.01 if number < 2 else DEADLINE, log)
            observed.append(source.known)
        return observed

    assert asyncio.run(rounds()) == [[B], [B], [A]]
    assert resolved == ["dns:engines:80"], "one look-up at a time"
    os.close(pipe[0])
    os.close(pipe[1])


def test_a_silent_engine_leaves_and_one_good_probe_brings_it_back(site: Site) -> None:
    one = site.reloader()
    site.observe_rounds(one)
    site.answers[B, "/health"] = None
    assert [site.observe_rounds(one)[0] for _ in range(3)] == [[A, B], [A], [A]]
    site.answers[B, "/health"] = ""
    assert site.observe_rounds(one)[0] == [A, B]


def test_a_stalled_engine_leaves_until_a_counter_moves(site: Site) -> None:
    one = site.reloader()
    site.answers[A, "/metrics"] = "running 2\ntokens 5\nprompts 1\n"
    assert site.observe_rounds(one, 31)[0] == [A, B]
    assert site.observe_rounds(one)[0] == [B]
    site.answers[A, "/metrics"] = "running 2\ntokens 6\nprompts 1\n"
    assert site.observe_rounds(one)[0] == [A, B]


def test_when_all_fail_all_are_kept_and_it_is_logged(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    one = site.reloader()
    site.observe_rounds(one)
    site.answers[A, "/health"] = site.answers[B, "/health"] = None
    assert site.observe_rounds(one, 5)[0] == [A, B]
    assert capsys.readouterr().out.count("no engine passes its probe, all are kept") == 1
    site.answers[A, "/health"] = ""
    assert site.observe_rounds(one)[0] == [A]


def test_metrics_that_cannot_be_read_leave_the_engine_to_its_health(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    one = site.reloader()
    site.answers[A, "/metrics"] = None
    site.answers[B, "/metrics"] = "another_engine_runs 1\n"
    assert site.observe_rounds(one, 40)[0] == [A, B]
    assert capsys.readouterr().out.count("not readable, using only /health") == 2


def test_an_engine_without_metrics_of_progress_is_probed_at_health_only(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.raw["models"][0] |= {"metrics": None, "running": None, "progress": []}
    for address in (A, B):
        del site.answers[address, "/metrics"]  # to ask for it would be a mistake
    one = site.reloader()
    assert site.observe_rounds(one, 40)[0] == [A, B]
    assert "metrics" not in capsys.readouterr().out
    site.answers[A, "/health"] = None
    assert site.observe_rounds(one, 2)[0] == [B]


def test_an_engine_that_returns_has_no_history(site: Site) -> None:
    one = site.reloader()
    site.observe_rounds(one)
    site.answers[B, "/health"] = None
    assert site.observe_rounds(one, 2)[0] == [A]
    site.set_engines(A)
    site.observe_rounds(one)
    site.set_engines(A, B)  # a new pod with an old address
    assert site.observe_rounds(one)[0] == [A, B]


async def answer(shared: Path, take: bool) -> str:
    """A fake of gateway-run.sh that handles one offer; returns the text."""
    offered = shared / "next" / "nginx.conf"
    while not offered.exists():
        await asyncio.sleep(0.001)
    text = offered.read_text()
    if not take:
        (shared / "refused.log").write_text("nginx: [emerg] made up")
    (shared / ("nginx.conf" if take else "refused.conf")).write_text(text)
    offered.unlink()
    return text


def offer(site: Site, one: Reloader, take: bool | None) -> str | None:
    """One round's offer; with None nothing may be offered."""

    async def both() -> str | None:
        observed = await one.observe()
        if take is None:
            await one.offer(observed)
            return None
        _, text = await asyncio.gather(one.offer(observed), answer(site.shared, take))
        return text

    site.now += 2
    return asyncio.run(asyncio.wait_for(both(), DEADLINE))


def test_only_a_new_text_is_offered_and_each_change_is_logged(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    one = site.reloader()
    assert (
        offer(site, one, True)
        == f"server {A} max_fails=1 fail_timeout=1s;\nserver {B} max_fails=1 fail_timeout=1s; 10"
    )
    offer(site, one, None)
    site.gateways.write_text('["gateway:80", "other:80"]')
    assert str(offer(site, one, True)).endswith(" 5")
    offer(site, site.reloader(), None)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in events] == ["taken", "taken"]
    assert events[1]["changed"] == ["gateways"]
    assert (events[1]["engines"], events[1]["gateways"]) == ({"tiny": [A, B]}, 2)
    assert events[1]["limits"] == {"tiny": 5, "tiny:longform": 2}


def test_a_refused_text_is_not_offered_again_until_it_changes(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    one = site.reloader()
    offer(site, one, True)
    capsys.readouterr()
    site.set_engines(A)
    refused = offer(site, one, False)
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert line["trouble"] == "refused, changed engines: nginx: [emerg] made up"
    offer(site, one, None)
    site.set_engines(A, B)
    offer(site, one, None)  # what serves already
    site.set_engines(A)
    assert offer(site, one, True) == refused, "it changed in between, so it may be valid now"


def test_before_anything_serves_a_refused_text_is_offered_again(site: Site) -> None:
    one = site.reloader()
    assert offer(site, one, False) == offer(site, one, True)


@pytest.mark.parametrize(
    ("found_after", "engines"), [(14.0, [A, B]), (math.inf, [])], ids=["soon", "never within the bound"]
)
def test_nginx_starts_when_engines_were_looked_up_or_after_a_while(
    site: Site, monkeypatch: pytest.MonkeyPatch, found_after: float, engines: list[str]
) -> None:
    """Otherwise a new gateway would be ready, and answer 503, before its first look-up is let out of its pod."""
    site.raw["interval_seconds"] = 1.0
    good, began = reloader.resolve, site.now
    tried = []

    def resolve(source: str) -> list[str]:
        tried.append(site.now - began)
        if source == f"file:{site.engines}" and site.now - began < found_after:
            raise OSError("no answer")
        return good(source)

    async def sleep(_: float) -> None:
        site.now += 1
        await real_sleep(0)

    real_sleep = asyncio.sleep
    monkeypatch.setattr(reloader, "resolve", resolve)
    one = site.reloader()
    offered: list[tuple[float, list[str]]] = []

    async def offer(view: View) -> None:
        offered.append((site.now - began, view.engines["tiny"]))
        raise asyncio.CancelledError

    monkeypatch.setattr(one, "offer", offer)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(one.run())
    assert offered == [(min(found_after, reloader.FIRST_ANSWER_SECONDS), engines)]
    assert len(set(tried)) > 10, "it tries again meanwhile"


def test_a_failed_round_is_logged_once_and_the_next_one_tries_again(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    template = Path(site.raw["template"])
    good = template.read_text()
    template.write_text("@NONSENSE@")
    site.raw["interval_seconds"] = 0.001
    one = site.reloader()

    async def rounds() -> None:
        running = asyncio.create_task(one.run())
        while one.log.reported.get("round") is None:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)  # some more bad rounds
        template.write_text(good)
        await answer(site.shared, True)
        while one.log.reported["round"] is not None:
            await asyncio.sleep(0.001)
        running.cancel()

    asyncio.run(asyncio.wait_for(rounds(), DEADLINE))
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in events] == ["trouble", "taken", "over"]
    assert "unknown marker @NONSENSE@" in events[0]["trouble"]


@pytest.fixture
def config(site: Site, tmp_path: Path) -> Path:
    path = tmp_path / "gateway.json"
    path.write_text(json.dumps(site.raw))
    return path


def run(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": [{"slug": "tiny"}]}, "missing 7 required positional arguments: 'source', 'slots'"),
        ({"extra": 1}, "unexpected keyword argument 'extra'"),
        ({"gateways": {"source": "dns:g:80", "count": 0}}, "division by zero"),
        (
            {"gateways": {"source": "http://g", "count": 1}},
            "a source is dns:HOST:PORT or file:PATH (got http://g)",
        ),
        ({"models": [{**MODEL.__dict__, "slots": "8"}]}, "TypeError"),
        ({"probe": {"timeout_seconds": 1, "failures": "2", "stalled_seconds": 1}}, "TypeError"),
        ({"probe": None}, "TypeError"),
        ({"template": 3}, "template, folder and keys are paths"),
    ],
)
def test_a_wrong_config_is_one_message(
    site: Site, config: Path, change: dict[str, object], message: str
) -> None:
    config.write_text(json.dumps(site.raw | change))
    result = run(config)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: {config}: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_config_that_is_missing_or_not_json_is_one_message(config: Path) -> None:
    for text in ("{", "[]"):
        config.write_text(text)
        assert run(config).returncode == 1
    config.unlink()
    result = run(config)
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "No such file" in result.stderr


def test_sigterm_ends_it_at_once_also_while_it_waits_for_an_answer(site: Site, config: Path) -> None:
    process = subprocess.Popen([sys.executable, str(SCRIPT), str(config)], stdout=subprocess.PIPE)
    try:
        offered, deadline = site.shared / "next" / "nginx.conf", time.time() + DEADLINE
        while not offered.exists():
            assert time.time() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.communicate()
