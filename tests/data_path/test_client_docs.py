"""The blocks of docs/clients.md, as a user copies them: address, key and model's name are all that is replaced."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from client_programs import ask, shell
from documented import Block, blocks
from engine_pair import EnginePair
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

CURL = [block for block in SHELL if block.body.startswith("curl")]
PACKAGES = ("agents", "anthropic", "langchain_openai", "litellm", "openai")
ELSEWHERE = ("langchain_openai", "litellm")  # not in the development environment


def filled(block: Block, gateway: GatewayStack) -> str:
    """The block for this gateway; it must name its address and key as the page says."""
    assert ADDRESS in block.body
    assert KEY in block.body
    return block.body.replace(ADDRESS, gateway.url).replace(KEY, "key-of-web")


def client_of(block: Block) -> str:
    """The package that the block is for."""
    return next(name for name in PACKAGES if re.search(rf"^(from|import) {name}\b", block.body, re.MULTILINE))


@pytest.mark.parametrize(
    "block", [block for block in PYTHON if client_of(block) not in ELSEWHERE], ids=client_of
)
def test_a_python_block_prints_an_answer(
    served: GatewayStack, block: Block, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):  # by chance the noise is empty
        exec(compile(filled(block, served), block.page, "exec"), {"__name__": "__main__"})
        if printed := capsys.readouterr().out.strip():
            break
    assert printed


@pytest.mark.parametrize("block", [block for block in PYTHON if client_of(block) in ELSEWHERE], ids=client_of)
def test_a_python_block_of_another_environment_prints_an_answer(
    served: GatewayStack, block: Block, tmp_path: Path
) -> None:
    printed = ask(filled(block, served), tmp_path).strip()
    assert printed
    if client_of(block) == "langchain_openai":
        assert "'name': 'weather'" in printed
        assert re.search(r"color='(blue|grey)'", printed)


def test_guidellm_s_block_writes_a_report_without_errors(
    served: GatewayStack, engines: EnginePair, tmp_path: Path
) -> None:
    """Its time is shortened, and the tokenizer is that of the tiny model: nothing is taken from a hub."""
    (block,) = (block for block in SHELL if block.body.startswith("guidellm"))
    text = filled(block, served)
    for written, here in {
        "Qwen/Qwen2.5-7B-Instruct": str(engines.servers[0].model),
        "seconds=60": "seconds=5",
    }.items():
        assert written in text
        text = text.replace(written, here)
    shell(text, tmp_path)
    (benchmark,) = json.loads((tmp_path / "report.json").read_text())["benchmarks"]
    totals = benchmark["metrics"]["request_totals"]
    assert totals["errored"] == 0
    assert totals["successful"] > 4
    assert {item["output_tokens"] for item in benchmark["requests"]["successful"]} == {64}


@pytest.mark.parametrize("block", CURL, ids=["one answer", "stream"])
def test_a_curl_block_prints_an_answer(served: GatewayStack, block: Block) -> None:
    command = ["bash", "-euo", "pipefail", "-c", filled(block, served)]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert ended.returncode == 0, ended.stderr
    assert '"qwen2.5-7b"' in ended.stdout
    assert ("data: [DONE]" in ended.stdout) == ("--no-buffer" in block.body)


def test_the_page_has_blocks_of_each_kind() -> None:
    assert {client_of(block) for block in PYTHON} == set(PACKAGES)
    assert len(CURL) == 2
    assert len(SHELL) == 3


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
