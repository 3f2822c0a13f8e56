"""The fetch from ModelScope and from S3-compatible storage, as its own process against strict fakes of both."""

import datetime
import importlib.util
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_weights import COMMIT, IDENTITY, REGION, SECRET, TOKEN, FakeModelScope, FakeS3, Running, sha256

from tierup.templates import ROOT

SCRIPT = ROOT / "templates" / "fetch_model.py"
WEIGHTS = os.urandom(3 << 20)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "sub/vocab.txt": b"words", "old.pth": b"again"}
KEYS = {"AWS_ACCESS_KEY_ID": IDENTITY, "AWS_SECRET_ACCESS_KEY": SECRET}


@dataclass
class Source:
    """A running fake, and what the fetch is given for it."""

    fake: Running
    wanted: dict[str, Any]

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.wanted.get("url") or f"{self.wanted['repo']} at {self.wanted['revision']}"

    def transfers(self, name: str) -> list[str | None]:
        """The range of each request for a file."""
        return [given for asked, given in self.fake.kind.asked if asked == name]

    def fetch(self, folder: Path, **env: str) -> tuple[int, str]:
        wanted = json.dumps([{**self.wanted, "folder": str(folder)}])
        done = subprocess.run(
            [sys.executable, SCRIPT],
            env={"PATH": os.environ["PATH"], "MODELS": wanted, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def model_scope() -> Iterator[Source]:
    with Running(FakeModelScope, {**FILES, ".gitattributes": b"x"}) as fake:
        wanted = {"from": "modelScope", "repo": "acme/tiny", "revision": COMMIT, "endpoint": fake.url}
        yield Source(fake, wanted)


@pytest.fixture
def s3() -> Iterator[Source]:
    sums = "".join(f"{sha256(body)}  ./{name}\n" for name, body in FILES.items()).encode()
    with Running(FakeS3, {**FILES, "SHA256SUMS": sums, "unlisted.bin": b"?"}) as fake:
        place = {"url": "s3://bucket/pre", "sha256": sha256(sums), "path_style": True}
        yield Source(fake, {"from": "s3", **place, "region": REGION, "endpoint": fake.url})


@pytest.fixture(params=["model_scope", "s3"])
def source(request: pytest.FixtureRequest) -> Source:
    found: Source = request.getfixturevalue(request.param)
    return found


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_every_listed_file_is_fetched_and_checked_once(source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    assert source.fetch(folder) == (0, f"{folder}: complete\n")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    # The same weights in another format are left out, as at the hub.
    assert names(folder) == {"config.json", "model.safetensors", "sub/vocab.txt", ".lock", ".complete"}
    assert source.fetch(folder) == (0, f"{folder}: complete already\n")
    assert source.transfers("model.safetensors") == [None]


def test_a_broken_connection_goes_on_where_it_ended(source: Source, tmp_path: Path) -> None:
    source.fake.kind.cut = 1
    assert source.fetch(tmp_path / "m")[0] == 0
    assert source.transfers("model.safetensors") == [None, f"bytes={len(WEIGHTS) // 2}-"]
    assert (tmp_path / "m/model.safetensors").read_bytes() == WEIGHTS


def test_a_fetch_that_was_killed_goes_on_where_it_ended(source: Source, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/.model.safetensors.part").write_bytes(WEIGHTS[:1000])
    assert source.fetch(tmp_path / "m")[0] == 0
    assert source.transfers("model.safetensors") == ["bytes=1000-"]
    assert (tmp_path / "m/model.safetensors").read_bytes() == WEIGHTS


def test_a_part_that_is_the_whole_file_is_only_checked(source: Source, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m/.model.safetensors.part").write_bytes(WEIGHTS)
    assert source.fetch(tmp_path / "m")[0] == 0
    assert (tmp_path / "m/model.safetensors").read_bytes() == WEIGHTS


def test_a_damaged_file_is_refused_and_fetched_again(source: Source, tmp_path: Path) -> None:
    source.fake.kind.damaged = "model.safetensors"
    code, out = source.fetch(tmp_path / "m")
    assert (code, out) == (1, f"{source.name}: model.safetensors differs from its checksum\n")
    assert not {"model.safetensors", ".complete", ".model.safetensors.part"} & names(tmp_path / "m")
    source.fake.kind.damaged = None
    assert source.fetch(tmp_path / "m")[0] == 0


def test_private_files_need_the_credentials(source: Source, tmp_path: Path) -> None:
    source.fake.kind.private = True
    code, out = source.fetch(tmp_path / "m")
    assert (code, "HTTP 403" in out) == (1, True)
    assert source.fetch(tmp_path / "m", **KEYS, MODELSCOPE_API_TOKEN=TOKEN)[0] == 0


def test_another_secret_is_refused_by_the_storage(s3: Source, tmp_path: Path) -> None:
    s3.fake.kind.private = True
    code, out = s3.fetch(tmp_path / "m", **KEYS | {"AWS_SECRET_ACCESS_KEY": "other"})
    assert code == 1
    assert out == "s3://bucket/pre: SHA256SUMS: HTTP 403 SignatureDoesNotMatch no\n"


def test_a_list_that_the_stack_file_does_not_pin_is_refused(s3: Source, tmp_path: Path) -> None:
    s3.wanted["sha256"] = "0" * 64
    code, out = s3.fetch(tmp_path / "m")
    assert code == 1
    assert "SHA256SUMS has the SHA-256 " in out
    assert names(tmp_path / "m") == {".lock"}


def test_a_list_that_names_a_file_elsewhere_is_refused(s3: Source, tmp_path: Path) -> None:
    sums = f"{sha256(b'{}')}  ../config.json\n".encode()
    s3.fake.kind.files["SHA256SUMS"] = sums
    s3.wanted["sha256"] = sha256(sums)
    code, out = s3.fetch(tmp_path / "m")
    assert (code, "outside of its folder: ../config.json" in out) == (1, True)


def test_a_proxy_is_used_for_both(source: Source, tmp_path: Path) -> None:
    """The fake is the proxy: it is asked for the whole address of another host."""
    source.wanted["endpoint"] = "http://unreachable.invalid"
    source.fetch(tmp_path / "m", HTTP_PROXY=source.fake.url)
    assert source.fake.kind.paths[0].startswith("http://unreachable.invalid/")
    source.fake.kind.unknown.clear()


@pytest.mark.parametrize(
    ("place", "url"),
    [
        ({"endpoint": None, "path_style": False}, "https://models.s3.eu-west-1.amazonaws.com/a/b/c.json"),
        ({"endpoint": "http://minio:9000", "path_style": True}, "http://minio:9000/models/a/b/c.json"),
    ],
)
def test_the_bucket_is_in_the_host_or_in_the_path(place: dict[str, Any], url: str) -> None:
    wanted = {"url": "s3://models/a/b/", "region": "eu-west-1", **place}
    assert script().object_url(wanted, "c.json") == url


def test_the_signature_is_that_of_amazon_s_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first example of "Signature Calculations for the Authorization Header" in Amazon S3's API reference."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    asked = urllib.request.Request(
        "https://examplebucket.s3.amazonaws.com/test.txt", headers={"Range": "bytes=0-9"}
    )
    script().sign(asked, "us-east-1", datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC))
    expected = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    assert (asked.get_header("Authorization") or "").endswith(f"Signature={expected}")


def script() -> Any:
    spec = importlib.util.spec_from_file_location("fetch_http", SCRIPT.with_name("fetch_http.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
