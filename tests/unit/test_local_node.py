"""The parts of a local node that need no root: its images, its network, and why it cannot run."""

import json
from pathlib import Path
from typing import Any

import pytest

from tierup.local.cluster.cluster import Cluster, LocalClusterError
from tierup.local.node import NodeSpec, namespaces, problems, too_long


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
    assert problems()[0].startswith("it needs root - ")
    monkeypatch.setattr("tierup.local.cluster.cluster.tool", lambda name: name)
    with pytest.raises(LocalClusterError, match="a real node cannot run here:\nit needs root"):
        Cluster.up("real", root=tmp_path, real_nodes=[NodeSpec("real-node")])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_path_is_too_long_for_kubelet_s_sockets_is_refused() -> None:
    """Linux takes 107 bytes; kubelet itself only says `invalid argument`, in its log."""
    assert too_long(Path("/home/user/.local/state/tierup/local/standard")) is None
    assert too_long(Path("/" + "x" * 66)) is None
    reason = too_long(Path("/" + "x" * 67))
    assert reason is not None
    assert "(got 68 bytes; allowed 67) - set XDG_STATE_HOME" in reason
