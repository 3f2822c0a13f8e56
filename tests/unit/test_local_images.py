"""The format of local images: archives that a container runtime accepts, layers that depend on their input only."""

import ctypes
import hashlib
import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from tier_plans import plan_of

from tierup.catalog import WeightFormat
from tierup.local.images import LocalImage, LocalImageError, canonical, for_plan, of_plan, stub
from tierup.local.images.oci import Blob, Files, Folder, Link, write_layer
from tierup.local.images.shared_object import Symbol, read
from tierup.local.images.store import Layer, finish
from tierup.stack.sections import Balance, Engine

LABELS = {"tierup/stand-in-for": "docker.io/library/test:1"}


def layer(folder: Path, name: str, files: Files) -> Blob:
    return write_layer(folder / name, files)


def image(*layers: Blob) -> LocalImage:
    return LocalImage("docker.io/library/test:1", "test", layers, {"User": "101:101"}, LABELS)


def archive(of: LocalImage) -> bytes:
    out = io.BytesIO()
    of.write(out)
    return out.getvalue()


def members(tar: bytes | Path) -> dict[str, tarfile.TarInfo]:
    data = tar if isinstance(tar, bytes) else tar.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        return {item.name: item for item in opened}


def content(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return {item.name: file.read() for item in opened if (file := opened.extractfile(item)) is not None}


def test_an_image_is_an_oci_archive_whose_digests_are_right(tmp_path: Path) -> None:
    lower = layer(tmp_path, "lower", {"bin/tool": b"#!/bin/sh\n"})
    upper = layer(tmp_path, "upper", {"etc/conf": b"x"})
    files = content(archive(image(lower, upper)))
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/test:1"

    def blob(descriptor: dict[str, str | int]) -> bytes:
        algorithm, digest = str(descriptor["digest"]).split(":")
        data = files[f"blobs/{algorithm}/{digest}"]
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (digest, descriptor["size"])
        return data

    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    assert manifest["annotations"] == LABELS
    assert config["config"] == {"User": "101:101"}
    assert config["rootfs"]["diff_ids"] == [item["digest"] for item in manifest["layers"]]
    assert [list(members(blob(item))) for item in manifest["layers"]] == [
        ["bin", "bin/tool"],
        ["etc", "etc/conf"],
    ]


def test_a_layer_keeps_modes_links_and_contents_and_nothing_else_of_the_machine(tmp_path: Path) -> None:
    program, text = tmp_path / "program", tmp_path / "text"
    program.write_bytes(b"\x7fELF...")
    program.chmod(0o700)
    text.write_text("words")
    text.chmod(0o600)
    made = layer(
        tmp_path,
        "layer.tar",
        {"usr/bin/p": program, "usr/t": text, "bin": Link("usr/bin"), "tmp": Folder(0o1777), "s": b"#!/x"},
    )
    found = members(made.path)
    modes = {name: (item.type, item.mode, item.linkname) for name, item in found.items()}
    assert modes == {
        "bin": (tarfile.SYMTYPE, 0o777, "usr/bin"),
        "s": (tarfile.REGTYPE, 0o755, ""),
        "tmp": (tarfile.DIRTYPE, 0o1777, ""),
        "usr": (tarfile.DIRTYPE, 0o755, ""),  # without an entry, a folder is open to root only
        "usr/bin": (tarfile.DIRTYPE, 0o755, ""),
        "usr/bin/p": (tarfile.REGTYPE, 0o755, ""),
        "usr/t": (tarfile.REGTYPE, 0o644, ""),
    }
    assert {(item.uid, item.gid, item.uname, item.mtime) for item in found.values()} == {(0, 0, "", 0)}
    assert content(made.path.read_bytes())["usr/t"] == b"words"


def test_the_same_files_give_the_same_layer_in_any_order_and_at_any_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(3_000_000))  # more than is copied at a time
    first = layer(tmp_path, "first", {"a/b": file, "a-b": b"1", "long/" + "x" * 150: b"2"})
    os.utime(file, (1, 1))
    second = layer(tmp_path, "second", {"long/" + "x" * 150: b"2", "a-b": b"1", "a/b": file})
    assert (first.digest, first.size) == (second.digest, second.size)
    assert archive(image(first)) == archive(image(second))
    assert first.digest == f"sha256:{hashlib.sha256(first.path.read_bytes()).hexdigest()}"


def test_a_layer_is_made_once_for_its_inputs_and_a_failed_one_leaves_nothing(tmp_path: Path) -> None:
    made: list[str] = []

    def recipe(key: str) -> Layer:
        def files(scratch: Path) -> Files:
            assert scratch.is_dir()
            made.append(key)
            return {"file": key.encode()}

        return Layer("test", (key,), files)

    def broken(_: Path) -> Files:
        raise FileNotFoundError("no such library")

    first = finish(recipe("1"), print, tmp_path)
    assert finish(recipe("1"), print, tmp_path) == first
    assert made == ["1"]
    with pytest.raises(FileNotFoundError):
        finish(Layer("test", ("broken",), broken), print, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"lock", first.path.parent.name}
    later = [finish(recipe(key), print, tmp_path) for key in ("2", "3")]
    assert [blob.path.exists() for blob in (first, *later)] == [False, True, True], "two of a name are kept"


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("python:3.13.9-alpine", "docker.io/library/python:3.13.9-alpine"),
        ("prom/prometheus:v3.8.0", "docker.io/prom/prometheus:v3.8.0"),
        ("prom/prometheus", "docker.io/prom/prometheus:latest"),
        ("localhost/engine:1", "localhost/engine:1"),
        ("registry.example.com:5000/a/b", "registry.example.com:5000/a/b:latest"),
        ("registry.example.com/vllm:1@sha256:00", "registry.example.com/vllm@sha256:00"),
    ],
)
def test_an_image_has_the_name_by_which_a_runtime_looks_for_it(name: str, full: str) -> None:
    assert canonical(name) == full


def test_an_object_in_place_of_a_library_has_its_symbols_and_versions(tmp_path: Path) -> None:
    symbols = [
        Symbol("first", "LIB_1", True, False, 8),
        Symbol("second", "LIB_2", True, False, 8),
        Symbol("plain", "", True, False, 8),
        Symbol("table", "LIB_1", True, True, 4096),
    ]
    file = tmp_path / "libstub.so.1"
    file.write_bytes(stub.write("libstub.so.1", symbols))
    library = ctypes.CDLL(str(file))
    assert [getattr(library, name)() for name in ("first", "second", "plain")] == [0, 0, 0]
    assert bytes((ctypes.c_char * 4096).in_dll(library, "table")) == bytes(4096)
    versioned = ctypes.CDLL(None).dlvsym
    versioned.restype, versioned.argtypes = (
        ctypes.c_void_p,
        (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p),
    )
    at = versioned(library._handle, b"first", b"LIB_1")
    assert at == ctypes.cast(library.first, ctypes.c_void_p).value
    assert versioned(library._handle, b"first", b"LIB_2") is None


def test_the_symbols_of_a_library_are_read_with_their_versions() -> None:
    lines = Path("/proc/self/maps").read_text().splitlines()
    libc = next(Path(line.split()[-1]) for line in lines if line.endswith("/libc.so.6"))
    found = read(libc)
    assert found is not None
    assert found.soname == "libc.so.6"
    malloc = next(symbol for symbol in found.symbols if symbol.name == "malloc")
    assert (malloc.defined, malloc.data) == (True, False)
    assert malloc.version.startswith("GLIBC_2.")
    assert read(Path(__file__)) is None


def test_pods_without_a_current_nginx_refuse_what_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only it can count requests in flight for prefix balancing, and knows the directives of a certificate."""
    monkeypatch.setattr(of_plan, "has_current_nginx", lambda: False)
    plan = plan_of("standard")
    chosen = replace(plan, gateway=replace(plan.gateway, tls=True, balance=Balance.PREFIX))
    with pytest.raises(LocalImageError) as refusal:
        for_plan(chosen, print)
    get = "`make local-node` gets it from Debian 13"
    assert str(refusal.value).splitlines()[1:] == [
        f"gateway.tls: needs a current Nginx for its pods - {get}",
        f"gateway.balance: prefix needs a current Nginx for its pods - {get}, or use leastConnections",
    ]
    # Nothing is balanced where each model has one replica.
    alone = replace(chosen, models=tuple(replace(model, max_replicas=1) for model in plan.models))
    with pytest.raises(LocalImageError) as refusal:
        for_plan(alone, print)
    assert "gateway.balance" not in str(refusal.value)


def test_a_plan_that_no_local_image_can_run_is_refused_with_every_reason() -> None:
    plan = plan_of("standard")
    (model,) = plan.models
    gguf = replace(model, variant=model.variant.model_copy(update={"format": WeightFormat.GGUF}))
    with pytest.raises(LocalImageError) as refusal:
        for_plan(replace(plan, models=(replace(model, engine=Engine("tensorrt-llm")), gguf)), print)
    assert str(refusal.value).splitlines()[1:] == [
        "models[0].engine: there is no CPU build of tensorrt-llm - use vllm",
        "models[1].precision: the CPU build does not read GGUF - use another",
    ]
