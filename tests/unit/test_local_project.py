"""The scratch copy of a project: the files beside its stack file, and a lock that Pulumi left behind."""

import datetime
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tierup.catalog import load_catalog
from tierup.findings.model import FindingsError
from tierup.io.stack.read import read_stack
from tierup.local.cluster.existing import ExistingCluster
from tierup.local.cluster.folders import LocalClusterError
from tierup.local.cluster.project import LocalProject
from tierup.rules.preflight import make_plan, plan_with_secrets
from tierup.stack.parse import parse
from tierup.templates import ROOT


@pytest.fixture
def pulumi_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The calls of pulumi, which do nothing."""
    calls: list[tuple[str, ...]] = []

    def pulumi(_project: object, *arguments: str, quiet: bool = False) -> str:
        calls.append(arguments)
        return ""

    monkeypatch.setattr(LocalProject, "pulumi", pulumi)
    return calls


def on_existing(folder: Path) -> ExistingCluster:
    return ExistingCluster("entry", folder, folder / "kubeconfig", "mine", "https://192.0.2.1:6443", ROOT)


def locked(folder: Path, pid: int, hours_ago: int = 0) -> LocalProject[ExistingCluster]:
    """A project whose state a process of this machine has locked."""
    since = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=hours_ago)
    locks = folder / "pulumi/.pulumi/locks/organization/tierup/entry"
    locks.mkdir(parents=True)
    held = {"pid": pid, "hostname": socket.gethostname(), "timestamp": since.isoformat()}
    (locks / "1.json").write_text(json.dumps(held))
    return LocalProject(folder, "entry", on_existing(folder))


def test_the_lock_of_a_process_that_runs_is_an_error(
    tmp_path: Path, pulumi_calls: list[tuple[str, ...]]
) -> None:
    project = locked(tmp_path, os.getpid())
    with pytest.raises(LocalClusterError, match=f"is being updated by process {os.getpid()} on "):
        project.clear_dead_lock(pytest.fail)
    assert pulumi_calls == []


def test_the_lock_of_an_exited_process_is_cancelled(
    tmp_path: Path, pulumi_calls: list[tuple[str, ...]]
) -> None:
    messages: list[str] = []
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    locked(tmp_path, gone.pid).clear_dead_lock(messages.append)
    assert messages == [f"cancelling an earlier update: its process {gone.pid} died"]
    assert pulumi_calls == [("cancel", "--yes")]


def test_a_zombie_process_holds_no_lock(tmp_path: Path, pulumi_calls: list[tuple[str, ...]]) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as zombie:
        assert zombie.stdout is not None
        assert zombie.stdout.read() == b""  # it has ended
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        locked(tmp_path, zombie.pid).clear_dead_lock(lambda line: None)
    assert pulumi_calls == [("cancel", "--yes")]


def test_a_later_process_with_the_same_pid_does_not_hold_the_lock(
    tmp_path: Path, pulumi_calls: list[tuple[str, ...]]
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as later:
        locked(tmp_path, later.pid, hours_ago=1).clear_dead_lock(lambda line: None)
    assert pulumi_calls == [("cancel", "--yes")]


def test_the_copy_of_a_stack_file_has_the_files_that_it_names_beside_it(tmp_path: Path) -> None:
    source, work = tmp_path / "source", tmp_path / "work"
    (source / "stacks" / "templates").mkdir(parents=True)
    (source / "stacks" / "templates" / "chat.jinja").write_text("{{ messages }}")
    (work / "project").mkdir(parents=True)
    for folder in (source, work / "project"):
        shutil.copy(ROOT / "Pulumi.yaml", folder)
    models = "[{id: qwen2.5-7b, chatTemplate: templates/chat.jinja}, {id: x, chatTemplate: none}]"
    stack = f"config:\n  tierup:models: {models}\n"
    (source / "stacks" / "Pulumi.entry.yaml").write_text(stack)
    LocalProject(source, "entry", on_existing(work), work)._write_stack_file()
    copy = work / "project" / "stacks" / "templates" / "chat.jinja"
    assert copy.read_text() == "{{ messages }}"


def test_the_copy_gets_values_for_the_secrets_that_nobody_has_set(
    tmp_path: Path, pulumi_calls: list[tuple[str, ...]]
) -> None:
    """The committed stack for one machine names two callers and has no keys."""
    parsed = parse(read_stack(ROOT / "stacks" / "Pulumi.local.yaml"))
    with pytest.raises(FindingsError, match="the secret key-web is not set"):
        make_plan(parsed, load_catalog())
    plan = plan_with_secrets(parsed, load_catalog())
    assert plan.secrets == {"key-web", "key-batch"}
    LocalProject(ROOT, "local", on_existing(tmp_path), secrets=plan.secrets).prepare()
    values = {call[3]: call[5] for call in pulumi_calls if call[:3] == ("config", "set", "--secret")}
    assert set(values) == {"tierup:secret-key-web", "tierup:secret-key-batch"}
    assert len(set(values.values())) == 2, "each its own"
