"""The blocks of docs/clients.md, as a user copies them: address, key and model's name are all that is replaced."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from documented import Block, blocks
from fake_backend import FakeBackend
from gateway_stack import GatewayStack, running

from tierup.local.cluster.certs import Authority
from tierup.plan.model import Plan
from tierup.templates import ROOT

pytestmark = pytest.mark.xdist_group("engines")

ADDRESS, KEY = "https://llm.example.com", "my-key"
PAGE = blocks(ROOT / "docs" / "clients.md")
PYTHON, SHELL = (
    [block for block in PAGE if (block.language, block.needs) == (language, "gateway")]
    for language in ("python", "sh")
)


def filled(block: Block, gateway: GatewayStack) -> str:
    """The block for this gateway; it must name its address and key as the page says."""
    assert ADDRESS in block.body
    assert KEY in block.body
    return block.body.replace(ADDRESS, gateway.url).replace(KEY, "key-of-web")


def imported(block: Block) -> str:
    return block.body.split("from ")[1].split()[0]


@pytest.mark.parametrize("block", PYTHON, ids=imported)
def test_a_python_block_prints_an_answer(
    served: GatewayStack, block: Block, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):  # by chance the noise is empty
        exec(compile(filled(block, served), block.page, "exec"), {"__name__": "__main__"})
        if printed := capsys.readouterr().out.strip():
            break
    assert printed


@pytest.mark.parametrize("block", SHELL, ids=["one answer", "stream"])
def test_a_curl_block_prints_an_answer(served: GatewayStack, block: Block) -> None:
    command = ["bash", "-euo", "pipefail", "-c", filled(block, served)]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert ended.returncode == 0, ended.stderr
    assert '"qwen2.5-7b"' in ended.stdout
    assert ("data: [DONE]" in ended.stdout) == ("--no-buffer" in block.body)


def test_the_page_has_blocks_of_each_kind() -> None:
    assert {imported(block) for block in PYTHON} == {"openai", "agents", "anthropic"}
    assert len(SHELL) == 2


@pytest.fixture
def private(backend: FakeBackend, make_tier: Callable[..., Plan], tmp_path: Path) -> Iterator[GatewayStack]:
    """A gateway whose certificate only an authority of its own has signed: tls/ca.crt in its folder."""
    plan = make_tier(gateway={"tls": True}, secrets=frozenset({"tls-certificate", "tls-key"}))
    certificates = tmp_path / "gateway" / "tls"
    certificates.mkdir(parents=True)
    Authority(certificates, "ca").issue("tls", "gateway")
    with running(GatewayStack(plan, tmp_path / "gateway", {plan.models[0].slug: [backend.address]})) as stack:
        yield stack


@pytest.mark.parametrize("package", [openai, anthropic], ids=["openai", "anthropic"])
def test_clients_trust_the_authority_of_ssl_cert_file_and_no_other(
    private: GatewayStack, package: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> Any:
        if package is openai:
            return openai.OpenAI(base_url=f"{private.url}/v1", api_key="x", max_retries=0).models.list()
        client = anthropic.Anthropic(base_url=private.url, api_key="x", max_retries=0)
        return client.models.list()

    with pytest.raises(package.APIConnectionError):
        ask()
    monkeypatch.setenv("SSL_CERT_FILE", str(private.folder / "tls" / "ca.crt"))
    assert [model.id for model in ask()] == ["qwen2.5-7b"]
