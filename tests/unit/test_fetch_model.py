"""The fetch script as its own process against a fake huggingface_hub: once, complete, or not at all."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Wanted = dict[str, str | int | None]
SCRIPT = Path(__file__).parents[2] / "templates" / "fetch_model.py"
DEADLINE_SECONDS = 20
# Only the calls that the script may make; anything else is a TypeError or an AssertionError, and the script fails.
FAKE_HUB = '''
"""A fake huggingface_hub: records each download, fails on unknown arguments and repositories."""
import hashlib, os, time
from pathlib import Path
from types import SimpleNamespace

FILES = {
    "acme/plain": ["config.json", "model.safetensors"],
    "acme/split": ["q5-00002-of-00002.gguf", "q5-00001-of-00002.gguf", "q8.gguf"],
    "acme/tokens": ["tokenizer.json"],
}
HERE = Path(os.environ["FAKE_HUB"])

def snapshot_download(repo_id, *, revision, local_dir, allow_patterns=None, ignore_patterns=None):
    assert repo_id in FILES, f"unknown repository {repo_id}"
    assert len(revision) == 40, f"not pinned: {revision}"
    assert ignore_patterns is None or "*.pth" in ignore_patterns
    with (HERE / "downloads").open("a") as log:
        log.write(f"{repo_id} {allow_patterns}\\n")
    local_dir = Path(local_dir)
    local_dir.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(FILES[repo_id]):
        if (HERE / "broken").exists() and index == 1:
            raise ConnectionError("the line went dead")
        corrupt = HERE / "corrupt"
        (local_dir / name).write_text("?" if corrupt.exists() and corrupt.read_text() == name else name)
    while (HERE / "slow").exists():
        time.sleep(0.01)

class HfApi:
    def list_repo_tree(self, repo_id, *, revision, recursive):
        assert repo_id in FILES, f"unknown repository {repo_id}"
        assert recursive and len(revision) == 40
        return [listed(name) for name in FILES[repo_id]]

class RepoFile(SimpleNamespace):
    """A file as the hub lists it: its path, and its checksum."""

def listed(name):
    """A file as the hub lists it: each has its own name as content."""
    if name.endswith((".safetensors", ".gguf")):
        lfs = SimpleNamespace(sha256=hashlib.sha256(name.encode()).hexdigest())
        return RepoFile(path=name, blob_id=None, lfs=lfs)
    blob = hashlib.sha1(f"blob {len(name)}\\0{name}".encode()).hexdigest()
    return RepoFile(path=name, blob_id=blob, lfs=None)
'''
FAKE_UTILS = """
from fnmatch import fnmatch

def filter_repo_objects(items, *, allow_patterns, ignore_patterns, key):
    for item in items:
        allowed = allow_patterns is None or any(fnmatch(key(item), pattern) for pattern in allow_patterns)
        if allowed and not any(fnmatch(key(item), pattern) for pattern in ignore_patterns or ()):
            yield item
"""


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    package = folder / "huggingface_hub"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(FAKE_HUB)
    (package / "utils.py").write_text(FAKE_UTILS)
    (package / "hf_api.py").write_text("from huggingface_hub import RepoFile")
    return folder


@pytest.fixture
def start(hub: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts the script as a pod does; what is still running at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def run(*configs: Wanted, stay: bool = False) -> "subprocess.Popen[str]":
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(hub), "FAKE_HUB": str(hub)}
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *(["--stay"] if stay else [])],
            env={**env, "MODELS": json.dumps(configs)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def result_of(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    return process.returncode, out


def model_config(folder: Path, repo: str = "acme/plain", **more: str | int | None) -> Wanted:
    plain: Wanted = {"files": None, "parts": 1, "tokenizer": None, "tokenizer_revision": None}
    return {"repo": repo, "revision": "a" * 40, "folder": str(folder), **plain, **more}


def downloads(hub: Path) -> list[str]:
    log = hub / "downloads"
    return log.read_text().splitlines() if log.exists() else []


def eventually(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


Start = Callable[..., "subprocess.Popen[str]"]


def test_files_are_fetched_and_marked_complete(hub: Path, start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "deep" / "acme"
    code, out = result_of(start(model_config(folder)))
    assert (code, out) == (0, f"{folder}: complete\n")
    assert (folder / ".complete").is_file()
    assert (folder / "model.safetensors").read_text() == "model.safetensors"
    assert downloads(hub) == ["acme/plain None"]


def test_a_complete_folder_is_left_alone(hub: Path, start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        code, out = result_of(start(model_config(tmp_path / "m")))
        assert code == 0
    assert out == f"{tmp_path / 'm'}: complete already\n"
    assert len(downloads(hub)) == 1


def test_several_models_each_get_their_folder(hub: Path, start: Start, tmp_path: Path) -> None:
    models = [model_config(tmp_path / "a"), model_config(tmp_path / "b", "acme/tokens")]
    assert result_of(start(*models))[0] == 0
    assert downloads(hub) == ["acme/plain None", "acme/tokens None"]
    assert (tmp_path / "a/.complete").exists()
    assert (tmp_path / "b/.complete").exists()


def test_a_failed_download_leaves_no_marker_and_is_retried(hub: Path, start: Start, tmp_path: Path) -> None:
    (hub / "broken").touch()
    code, out = result_of(start(model_config(tmp_path / "m")))
    assert code != 0
    assert "the line went dead" in out
    assert (tmp_path / "m/config.json").exists()
    assert not (tmp_path / "m/.complete").exists()
    (hub / "broken").unlink()
    assert result_of(start(model_config(tmp_path / "m")))[0] == 0
    assert (tmp_path / "m/.complete").exists()
    assert len(downloads(hub)) == 2


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_file_that_differs_from_the_hub_s_checksum_is_fetched_again(
    hub: Path, start: Start, tmp_path: Path, name: str
) -> None:
    (hub / "corrupt").write_text(name)
    code, out = result_of(start(model_config(tmp_path / "m")))
    assert (code, out) == (
        1,
        f"acme/plain at {'a' * 40}: {name} of acme/plain differ from the hub's checksum\n",
    )
    assert not (tmp_path / "m" / name).exists()
    assert not (tmp_path / "m/.complete").exists()
    (hub / "corrupt").unlink()
    assert result_of(start(model_config(tmp_path / "m")))[0] == 0


def test_two_fetches_that_meet_on_one_folder_download_once(hub: Path, start: Start, tmp_path: Path) -> None:
    (hub / "slow").touch()
    first = start(model_config(tmp_path / "m"))
    eventually(lambda: len(downloads(hub)) == 1, first)
    second = start(model_config(tmp_path / "m"))
    eventually(lambda: waits_for_a_lock(second.pid), second)
    assert downloads(hub) == ["acme/plain None"]
    (hub / "slow").unlink()
    assert result_of(first) == (0, f"{tmp_path / 'm'}: complete\n")
    assert result_of(second) == (0, f"{tmp_path / 'm'}: complete already\n")
    assert len(downloads(hub)) == 1


def waits_for_a_lock(pid: int) -> bool:
    """Whether the kernel lists the process among those that wait for a file lock (`->` in /proc/locks)."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and str(pid) in line.split() for line in lines)


def test_a_fetch_killed_in_the_middle_frees_the_folder_for_the_next(
    hub: Path, start: Start, tmp_path: Path
) -> None:
    (hub / "slow").touch()
    first = start(model_config(tmp_path / "m"))
    eventually(lambda: len(downloads(hub)) == 1, first)
    first.kill()
    first.wait(DEADLINE_SECONDS)
    assert not (tmp_path / "m/.complete").exists()
    (hub / "slow").unlink()
    assert result_of(start(model_config(tmp_path / "m")))[0] == 0
    assert len(downloads(hub)) == 2


def test_the_parts_of_a_gguf_model_get_the_names_that_the_engine_expects(
    hub: Path, start: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    base = {"tokenizer": "acme/tokens", "tokenizer_revision": "b" * 40}
    assert result_of(start(model_config(folder, "acme/split", files="q5*.gguf", parts=2, **base)))[0] == 0
    for part in ("00001-of-00002", "00002-of-00002"):
        link = folder / f"model-{part}.gguf"
        assert link.read_text() == f"q5-{part}.gguf"
        assert link.readlink() == Path(f"q5-{part}.gguf")  # right wherever it is mounted
    assert (folder / "tokenizer/tokenizer.json").exists()
    assert downloads(hub) == [
        "acme/split ['q5*.gguf']",
        "acme/tokens ['*.json', '*.txt', '*.model']",
    ]


def test_a_gguf_model_without_all_its_parts_is_not_complete(start: Start, tmp_path: Path) -> None:
    code, out = result_of(start(model_config(tmp_path / "m", "acme/split", files="q5*.gguf", parts=3)))
    assert code != 0
    assert f"2 files match q5*.gguf in {tmp_path}/m, where there must be 3" in out
    assert not (tmp_path / "m/.complete").exists()


def test_a_failed_tokenizer_download_leaves_no_marker(hub: Path, start: Start, tmp_path: Path) -> None:
    gguf = model_config(
        tmp_path / "m", "acme/split", files="q8*.gguf", tokenizer="acme/gone", tokenizer_revision="b" * 40
    )
    code, out = result_of(start(gguf))
    assert code != 0
    assert "unknown repository acme/gone" in out
    assert not (tmp_path / "m/.complete").exists()
    again = {**gguf, "tokenizer": "acme/tokens"}
    assert result_of(start(again))[0] == 0  # the link of the first attempt does not block the next
    assert (tmp_path / "m/model.gguf").read_text() == "q8.gguf"


def test_a_pattern_that_matches_nothing_is_an_error(start: Start, tmp_path: Path) -> None:
    code, out = result_of(start(model_config(tmp_path / "m", "acme/split", files="q4*.gguf")))
    assert code != 0
    assert "0 files match q4*.gguf" in out
    assert not (tmp_path / "m/.complete").exists()


def test_with_stay_the_pod_runs_until_sigterm(start: Start, tmp_path: Path) -> None:
    process = start(model_config(tmp_path / "m"), stay=True)
    output = lines(process, 2)
    assert output[-1] == "this node has its models\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)  # it keeps running: no event shows this earlier
    process.send_signal(signal.SIGTERM)
    # By its own exit and not by the signal, which the first process of a container does not get.
    assert process.wait(DEADLINE_SECONDS) == 0


def lines(process: "subprocess.Popen[str]", count: int) -> list[str]:
    assert process.stdout is not None
    found = []
    for _ in range(count):
        ready, _, _ = select.select([process.stdout], [], [], DEADLINE_SECONDS)
        assert ready, "no output"
        found.append(os.read(process.stdout.fileno(), 4096).decode())
        if "".join(found).count("\n") >= count:
            break
    return "".join(found).splitlines(keepends=True)


def test_sigterm_ends_a_download_without_a_marker(hub: Path, start: Start, tmp_path: Path) -> None:
    (hub / "slow").touch()
    process = start(model_config(tmp_path / "m"))
    eventually(lambda: len(downloads(hub)) == 1, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_SECONDS) == 143
    assert not (tmp_path / "m/.complete").exists()
