"""`tierup render` writes what kubectl can apply; secrets and nodes are named with what takes their place."""

from pathlib import Path

import pytest
import yaml
from command import Command

from tierup.templates import ROOT

KEYS = "  tierup:gateway:\n    keys: {web: {}}\n    tls: true\n  tierup:secret-key-web:\n    secure: v1:a:b\n"
SECRETS = "".join(
    f"  tierup:secret-{name}:\n    secure: v1:a:b\n"
    for name in ("hub-token", "grafana-admin", "tls-certificate", "tls-key")
)
MINIMAL = """config:
  tierup:workload: {users: 20}
  tierup:nodes: {server: standard-2x-a100-80g-pcie}
  tierup:models: [{id: qwen2.5-7b}]
"""


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(ROOT)
    return Command(monkeypatch, capsys)


@pytest.fixture
def stack(tmp_path: Path) -> str:
    """A stack with every kind of secret."""
    file = tmp_path / "Pulumi.team.yaml"
    file.write_text(MINIMAL + KEYS + SECRETS)
    return str(file)


def kinds(text: str) -> list[str]:
    return [document["kind"] for document in yaml.safe_load_all(text)]


def test_what_kubectl_would_store_wrongly_is_left_out_and_named(tierup: Command, stack: str) -> None:
    result = tierup("render", "--stack", stack)
    assert result.code == 0
    assert not {"Secret", "Node"} & set(kinds(result.out))
    assert "${tierup:" not in result.out
    lines = result.err.splitlines()
    assert all(line.startswith("left out: ") for line in lines)
    assert [line.split()[3] for line in lines if " secret " in line] == [
        f"tierup-team/{name}" for name in ("hub-token", "gateway-keys", "gateway-tls", "grafana-admin")
    ]
    assert "kubectl label node team-gpu-1 tierup/stack=team tierup/role=serving" in result.err


def test_both_can_be_included(tierup: Command, stack: str, tmp_path: Path) -> None:
    whole = kinds(tierup("render", "--stack", stack, "--include", "secrets", "--include", "nodes").out)
    without = kinds(tierup("render", "--stack", stack).out)
    secrets = kinds(tierup("render", "--stack", stack, "--include", "secrets").out)
    assert sorted(whole) == sorted([*secrets, *["Node"] * whole.count("Node")])
    assert sorted(secrets) == sorted([*without, *["Secret"] * 4])
    assert whole.count("Node") > 0
    file = tmp_path / "objects.yaml"
    result = tierup("render", "--stack", stack, "--out", str(file))
    assert result.err.splitlines()[0] == f"{file}: {len(without)} objects"
    assert kinds(file.read_text()) == without
