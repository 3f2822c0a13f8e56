"""The fetch of model files with the hub's real client, from a fake hub with TLS and an authority of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from polling import until

from tierup.local.cluster import hub_server
from tierup.local.cluster.certs import Authority
from tierup.local.machine.ports import free_port
from tierup.templates import ROOT

SCRIPT = ROOT / "templates" / "fetch_model.py"
REPOSITORY, OLD, NEW = "acme/tiny", "a" * 40, "b" * 40
WEIGHTS = 32 << 20  # the client writes 10 MB at a time


@dataclass
class FakeHub:
    """A running fake hub: two revisions of one repository."""

    folder: Path
    port: int
    log: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """How a pod's fetch finds it."""
        bundle = (self.folder / "ca.crt").read_text()
        return {
            "HF_ENDPOINT": f"https://127.0.0.1:{self.port}",
            "CA_BUNDLE": bundle,
            "HF_HUB_DISABLE_XET": "1",
        }

    def requests(self, name: str) -> int:
        """How often a file of the old revision was asked for."""
        return self.log.read_text().count(f'"GET /{REPOSITORY}/resolve/{OLD}/{name} ')

    def file(self, revision: str, name: str) -> Path:
        return self.folder / "models" / REPOSITORY / revision / name


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    folder, port = tmp_path / "hub", free_port()
    folder.mkdir()
    Authority(folder, "ca").issue("hub", "hub")
    for revision in (OLD, NEW):
        root = folder / "models" / REPOSITORY / revision
        root.mkdir(parents=True)
        (root / "config.json").write_text(json.dumps({"revision": revision}))
        (root / "model.safetensors").write_bytes(os.urandom(WEIGHTS))
        (root / "weights.pth").write_text("the same weights once more")
    files = [str(folder / "models"), "127.0.0.1", str(port), str(folder / "hub.crt"), str(folder / "hub.key")]
    log = tmp_path / "hub.log"
    speed = str(WEIGHTS / 4)  # four seconds for the weights
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, hub_server.__file__, *files, speed], stderr=output)
    until(lambda: _listens(port), "the hub")
    yield FakeHub(folder, port, log, process)
    process.kill()
    process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@dataclass(frozen=True)
class Fetch:
    """Runs the script as a pod does, in a home of its own."""

    python: Path
    hub: FakeHub
    folder: Path

    def start(self, revision: str = OLD, **environment: str) -> "subprocess.Popen[str]":
        wanted = {"repo": REPOSITORY, "revision": revision, "folder": str(self.folder / revision)}
        model = wanted | {"files": None, "parts": 1, "tokenizer": None, "tokenizer_revision": None}
        home = {"HOME": str(self.folder), "HF_HOME": str(self.folder / "hf")}
        return subprocess.Popen(
            [self.python, SCRIPT],
            env={**home, **self.hub.environment, **environment, "MODELS": json.dumps([model])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, revision: str = OLD, **environment: str) -> tuple[int, str, str]:
        """Exit code, output, and the last line of the errors."""
        process = self.start(revision, **environment)
        output, errors = process.communicate(timeout=120)
        return process.returncode, output, errors.strip().rpartition("\n")[2]

    def partial(self, revision: str = OLD) -> int:
        """Bytes of the weights that have arrived."""
        parts = (self.folder / revision).rglob("*.incomplete")
        return max((part.stat().st_size for part in parts), default=0)


@pytest.fixture
def fetch(engine_python: Path, hub: FakeHub, tmp_path: Path) -> Fetch:
    folder = tmp_path / "models"
    folder.mkdir()
    return Fetch(engine_python, hub, folder)


def test_a_fetch_that_is_killed_goes_on_with_the_file_at_which_it_stopped(fetch: Fetch, hub: FakeHub) -> None:
    process = fetch.start()
    until(lambda: fetch.partial() > 0 and (fetch.folder / OLD / "config.json").exists(), "a part of it")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (fetch.folder / OLD / ".complete").exists()
    assert fetch.run()[0] == 0
    assert fetch.partial() == 0, "no part of the killed process fills the disk"
    weights = fetch.folder / OLD / "model.safetensors"
    assert weights.read_bytes() == hub.file(OLD, "model.safetensors").read_bytes()
    assert not (fetch.folder / OLD / "weights.pth").exists()
    assert hub.requests("config.json") == 1


def test_a_part_of_a_model_is_not_taken_for_all_of_it_when_the_hub_is_gone(
    fetch: Fetch, hub: FakeHub
) -> None:
    process = fetch.start()
    until(lambda: fetch.partial() > 0, "a part of the weights")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert fetch.run(HF_ENDPOINT="https://127.0.0.1:9")[0] == 1
    assert not (fetch.folder / OLD / ".complete").exists()


def test_a_file_with_a_wrong_checksum_is_refused_and_fetched_again(fetch: Fetch, hub: FakeHub) -> None:
    assert fetch.run()[0] == 0  # and the hub has computed its checksums
    right = hub.file(NEW, "model.safetensors").read_bytes()
    listing = fetch.start(NEW)
    until(lambda: fetch.partial(NEW) > 0, "the checksum")
    listing.kill()
    listing.communicate()
    for part in (fetch.folder / NEW).rglob("*.incomplete"):
        part.unlink()
    hub.file(NEW, "model.safetensors").write_bytes(bytes(WEIGHTS))
    code, _, reason = fetch.run(NEW)
    assert code == 1
    assert reason == (
        f"{REPOSITORY} at {NEW}: model.safetensors of {REPOSITORY} differ from the hub's checksum"
    )
    assert not (fetch.folder / NEW / ".complete").exists()
    assert (fetch.folder / OLD / ".complete").exists(), "the revision that is served stays"
    hub.file(NEW, "model.safetensors").write_bytes(right)
    assert fetch.run(NEW)[0] == 0


@pytest.mark.parametrize(
    ("revision", "environment", "reason"),
    [
        ("c" * 40, {}, "404"),
        (OLD, {"CA_BUNDLE": ""}, "CERTIFICATE_VERIFY_FAILED"),
    ],
    ids=["unknown revision", "unknown authority"],
)
def test_a_failed_fetch_says_why(
    fetch: Fetch, revision: str, environment: dict[str, str], reason: str
) -> None:
    process = fetch.start(revision, **environment)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.strip().splitlines()[-1] != ""
    assert f"{REPOSITORY} at {revision}: " in errors
    assert reason in errors
    assert "Traceback" not in errors
