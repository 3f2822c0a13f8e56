"""The parts of a local node that need no root: its images, its network, and why it cannot run."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tierup.local.cluster.cluster import Cluster, LocalClusterError
from tierup.local.node import NodeSpec, namespaces, node
from tierup.local.node.images import Image, archive

IMAGE = Image("tierup.local/test:1", {"bin/tool": b"#!/bin/sh\n"}, {"bin/alias": "tool"}, ("/bin/tool",))


def blobs(data: bytes) -> dict[str, bytes]:
    """The files of an archive by path."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {item.name: file.read() for item in tar if (file := tar.extractfile(item)) is not None}


def test_an_image_is_an_oci_archive_whose_digests_are_right() -> None:
    files = blobs(archive(IMAGE))
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == IMAGE.name

    def blob(descriptor: dict[str, str | int]) -> bytes:
        algorithm, digest = str(descriptor["digest"]).split(":")
        content = files[f"blobs/{algorithm}/{digest}"]
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, descriptor["size"])
        return content

    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    assert config["config"]["User"] == "65534:65534"
    with tarfile.open(fileobj=io.BytesIO(blob(layer))) as tar:
        members = {item.name: (item.type, item.mode, item.linkname) for item in tar}
    assert members["bin"] == (tarfile.DIRTYPE, 0o755, ""), "a folder without an entry is open to root only"
    assert members["bin/alias"][::2] == (tarfile.SYMTYPE, "tool")
    assert archive(IMAGE) == archive(IMAGE)


def test_a_node_s_network_overlaps_none_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[dict[str, Any]] = [
        {"addr_info": [{"local": "198.18.0.1", "prefixlen": 16}]},
        {"addr_info": []},
    ]
    monkeypatch.setattr(namespaces, "_run", lambda *_: json.dumps(used))
    for _ in range(50):
        machine, of_node = namespaces.hosts(namespaces.free_network())
        assert machine.startswith("198.19.")
        assert machine.rpartition(".")[0] == of_node.rpartition(".")[0]
    used[0]["addr_info"][0]["prefixlen"] = 15
    with pytest.raises(OSError, match="no free network"):
        namespaces.free_network()


def test_without_root_a_real_node_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert node.problems()[0].startswith("it needs root - ")
    monkeypatch.setattr("tierup.local.cluster.cluster.tool", lambda name: name)
    with pytest.raises(LocalClusterError, match="a real node cannot run here:\nit needs root"):
        Cluster.up("real", root=tmp_path, real_node=NodeSpec("real-node"))
    assert list(tmp_path.iterdir()) == []
