"""`tierup dev up` without its processes: plan, folder, port, page, log lines, file changes, errors."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from command import Command
from jinja2 import FileSystemLoader
from polling import until
from small_stack import NODES, WORKLOAD, small_plan

from tierup.cli.dev_page import lines
from tierup.findings.model import TierError
from tierup.local.dev import run as dev
from tierup.local.dev.changes import FileWatcher
from tierup.local.dev.gateway_live import describe_event
from tierup.local.dev.plan import DevError, dev_plan
from tierup.local.dev.run_folder import MAX_FOLDER_LENGTH, check_port, run_folder
from tierup.local.machine.ports import free_port
from tierup.local.toolchain import engine_env
from tierup.manifests.monitoring import prometheus_yml
from tierup.templates import TEMPLATES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of runs; not tmp_path, which is too long for sockets."""
    with tempfile.TemporaryDirectory(prefix="dev-") as folder:
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        yield Path(folder)


def stack_file(folder: Path, **sections: object) -> Path:
    """A stack file without any secret."""
    values = {"workload": WORKLOAD, "nodes": NODES, "models": [{"id": "qwen2.5-7b"}], **sections}
    path = folder / "Pulumi.small.yaml"
    path.write_text(yaml.safe_dump({"config": {f"tierup:{key}": value for key, value in values.items()}}))
    return path


def test_callers_and_tls_need_no_secret_here_and_one_gateway_runs(tmp_path: Path) -> None:
    path = stack_file(tmp_path, gateway={"keys": {"web": {}, "batch": {}}, "tls": True, "replicas": 3})
    plan = dev_plan(path)
    assert {key.name for key in plan.gateway.keys} == {"web", "batch"}
    assert plan.gateway.replicas == 1
    assert not [finding for finding in plan.findings if "secret" in str(finding)]


def test_a_plan_with_errors_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TierError, match="queueLength"):
        dev_plan(stack_file(tmp_path, gateway={"queueLength": -1}))


def test_an_engine_that_has_no_cpu_build_is_refused(tmp_path: Path) -> None:
    models = [{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "fp16", "engine": "tensorrt-llm"}]
    with pytest.raises(DevError, match=r"models\[1\].engine: .* \(got tensorrt-llm; allowed vllm\)"):
        dev_plan(stack_file(tmp_path, models=models))


@pytest.mark.usefixtures("state")
def test_one_run_of_a_stack_at_a_time_in_a_folder_of_its_owner() -> None:
    with run_folder("a") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "log").write_text("of this run")
        with pytest.raises(DevError, match="'a' is already running"), run_folder("a"):
            pass
        with run_folder("b") as other:
            assert other != folder
    assert (folder / "log").exists(), "the logs remain after the run"
    with run_folder("a") as again:
        assert list(again.iterdir()) == []


def test_a_folder_too_long_for_sockets_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = len(str(state / "tierup" / "dev" / "s")) + 1
    for length, allowed in ((MAX_FOLDER_LENGTH, True), (MAX_FOLDER_LENGTH + 1, False)):
        monkeypatch.setenv("XDG_STATE_HOME", str(state / ("x" * (length - rest))))
        if allowed:
            with run_folder("s") as folder:
                assert len(str(folder)) == MAX_FOLDER_LENGTH
        else:
            with pytest.raises(DevError, match="set XDG_STATE_HOME"), run_folder("s"):
                pass


def test_a_port_that_another_program_has_is_refused() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(DevError, match=f"port {port} cannot be used: .* --port"):
            check_port(port)
    check_port(port)


@pytest.mark.usefixtures("state")
def test_a_missing_engine_is_reported_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(dev, "tool", Path)
    monkeypatch.setattr(
        engine_env, "default", lambda: engine_env.EngineEnv(tmp_path / "Pulumi.yaml", tmp_path)
    )
    (tmp_path / "Pulumi.yaml").write_text("any lock")
    ended = Command(monkeypatch, capsys)("dev", "up", "--stack", "standard", "--port", str(free_port()))
    assert ended.code == 1
    assert "run `make engine-env`" in ended.err


def test_the_page_names_models_keys_and_two_example_requests(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "gateway": {
            "keys": {"web": {}, "batch": {}},
            "aliases": {"gpt": {"weights": {"qwen2.5-7b": 1}}},
            "tls": True,
        },
        "secrets": frozenset({"key-web", "key-batch", "tls-certificate", "tls-key"}),
    }
    text = "\n".join(
        lines(small_plan(**sections), "https://127.0.0.1:1", tmp_path / "my keys", Path("/ca.crt"))
    )
    assert "models      qwen2.5-7b, gpt" in text
    assert f"keys        {tmp_path}/my keys: web, batch" in text
    assert (
        f"""-H "Authorization: Bearer $(cat '{tmp_path}/my keys/web')" -d '{{"model": "qwen2.5-7b",""" in text
    )
    assert "curl --cacert /ca.crt https://127.0.0.1:1/v1/chat/completions" in text
    assert f'base_url="https://127.0.0.1:1/v1", api_key=open("{tmp_path}/my keys/web").read()' in text


def test_a_page_without_callers_needs_no_key(tmp_path: Path) -> None:
    text = "\n".join(lines(small_plan(), "http://127.0.0.1:1", tmp_path, tmp_path))
    assert "Authorization" not in text
    assert "keys" not in text
    assert 'api_key="none"' in text


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            {"event": "taken", "changed": ["template"], "engines": {"m": ["a:1"]}, "limits": {"m": 12}},
            "Nginx accepted the configuration (template): 1 engine of m, in flight at most m 12",
        ),
        ({"event": "trouble", "about": "engine a:1", "trouble": "silent"}, "engine a:1: silent"),
        ({"event": "over", "about": "engine a:1", "trouble": None}, "engine a:1: resolved"),
        ({"event": "another"}, None),
        ("Traceback (most recent call last):", "Traceback (most recent call last):"),
    ],
)
def test_the_reloaders_log_lines_become_sentences(line: object, sentence: str | None) -> None:
    assert describe_event(line if isinstance(line, str) else json.dumps(line)) == sentence


def test_a_changed_file_is_reported_once_and_a_touch_is_ignored(tmp_path: Path) -> None:
    folder, single = tmp_path / "folder", tmp_path / "single"
    folder.mkdir()
    (folder / "a").write_text("1")
    single.write_text("1")
    changes = FileWatcher([folder, single])
    os.utime(folder / "a")
    assert changes.since_last() == []
    (folder / "a").write_text("2")
    (folder / "b").write_text("1")
    single.unlink()
    assert changes.since_last() == [folder / "a", folder / "b", single]
    assert changes.since_last() == []


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [("a\n{{ nosuch }}\n", 2, "'nosuch' is undefined"), ("a\nb\n{% if %}\n", 3, "Expected an expression")],
)
def test_a_template_that_cannot_be_rendered_is_reported_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int, message: str
) -> None:
    (tmp_path / "x.j2").write_text(text)
    monkeypatch.setattr(dev, "TEMPLATES", tmp_path)
    with pytest.raises(dev._EDIT_ERRORS) as caught:
        TEMPLATES.overlay(loader=FileSystemLoader(tmp_path)).get_template("x.j2").render()
    assert dev.describe(caught.value).startswith(f"templates/x.j2:{line}: {message}")


def test_prometheus_scrapes_the_given_addresses_and_nothing_by_name() -> None:
    plan = small_plan(monitoring={"gpuExporter": "dcgm.gpus.svc:9400"})
    engines = {plan.models[0].slug: ["127.0.0.1:1", "127.0.0.1:2"]}
    own, model = yaml.safe_load(prometheus_yml(plan, port=9999, engines=engines))["scrape_configs"]
    assert own["static_configs"] == [{"targets": ["localhost:9999"]}]
    assert model["static_configs"] == [{"targets": ["127.0.0.1:1", "127.0.0.1:2"]}]
    deployed = yaml.safe_load(prometheus_yml(plan))["scrape_configs"]
    assert "dns_sd_configs" in deployed[1]
    assert [job["job_name"] for job in deployed] == [own["job_name"], model["job_name"], "gpu", "node"]


GUARDED = """
import subprocess, sys, time
from tierup.local.dev.guard import Guard
guard = Guard()
children = [subprocess.Popen(["sleep", "600"], start_new_session=True) for _ in range(3)]
guard.watch(child.pid for child in children)
guard.watch(child.pid for child in children[1:])
if sys.argv[1] == "release":
    guard.release()
print(*(child.pid for child in children), flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("order", "ended"), [("keep", [False, True, True]), ("release", [False, False, False])]
)
def test_the_guard_ends_the_processes_of_the_last_message_when_its_owner_is_killed(
    order: str, ended: list[bool]
) -> None:
    command = [sys.executable, "-c", GUARDED, order]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        assert owner.stdout is not None
        pids = [int(word) for word in owner.stdout.readline().split()]
        owner.kill()
    try:
        until(lambda: [not runs(pid) for pid in pids] == ended, "the guard has done its work")
    finally:
        for pid, gone in zip(pids, ended, strict=True):
            if not gone:
                os.kill(pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    """A zombie does not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False
