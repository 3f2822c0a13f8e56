"""A model that embeds text: what its gateway serves, before a real vLLM server, and what docs/clients.md says of it."""

import math
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import openai
import pytest
from documented import blocks
from engine_server import EngineServer, find_engine
from gateway_stack import CHAT, GatewayStack, running
from small_nginx import find_nginx
from small_stack import small_stack, with_task

from tierup.local.dev.cpu_engine import container_of, stop_all
from tierup.local.machine.vllm_on_cpu import KV_BYTES
from tierup.local.tiny_model import SHAPE, make_tiny_model
from tierup.plan.resolve import resolve
from tierup.stack.parse import parse
from tierup.templates import ROOT

pytestmark = pytest.mark.xdist_group("embeddings")  # one engine for all

MODEL, KEY = "qwen2.5-7b", "key-of-web"
TEA, PRICE = "The price of tea", "What does tea cost?"


@dataclass(frozen=True)
class Embedder:
    """The gateway of one model that embeds text, and its engine."""

    gateway: GatewayStack
    engine: EngineServer


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    """A tiny decoder with random weights that embeds."""
    find_nginx()
    stack = small_stack(
        models=[{"id": MODEL, "replicas": 1, "maxNumSeqs": 4, "toolCallParser": "none"}],
        gateway={"replicas": 1, "meterTokens": True, "keys": {"web": {}}},
        secrets=frozenset({"key-web"}),
    )
    plan = resolve(parse(stack).config(), with_task("embed"))
    folder = tmp_path_factory.mktemp("embedder")
    weights = make_tiny_model(folder / "model", **SHAPE)
    server = EngineServer(
        find_engine(), container_of(plan, plan.models[0]), weights, KV_BYTES, folder / "engine"
    )
    try:
        server.wait_healthy()
        engines = {plan.models[0].slug: [server.address]}
        with running(GatewayStack(plan, folder / "gateway", engines, {"web": [KEY]})) as gateway:
            yield Embedder(gateway, server)
    finally:
        stop_all([server])


@pytest.fixture(scope="module")
def gateway(embedder: Embedder) -> GatewayStack:
    return embedder.gateway


def test_openai_s_client_gets_a_vector_for_each_text(gateway: GatewayStack) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0)
    answer = client.embeddings.create(model=MODEL, input=[TEA, PRICE, TEA])
    first, other, again = (item.embedding for item in answer.data)
    assert len(first) == SHAPE["hidden"]
    assert math.hypot(*first) == pytest.approx(1, abs=0.01)
    assert first == pytest.approx(again, abs=0.01)
    assert math.dist(first, other) > 0.1
    assert answer.usage.prompt_tokens == 2 * len(TEA) + len(PRICE)


def test_documents_are_ranked_by_their_likeness_to_the_query(gateway: GatewayStack) -> None:
    body = {"model": MODEL, "query": TEA, "documents": [PRICE, TEA]}
    best, second = gateway.ask("/v1/rerank", body, KEY).json["results"]
    assert (best["index"], second["index"]) == (1, 0)
    assert best["relevance_score"] == pytest.approx(1, abs=0.01)
    scored = gateway.ask("/v1/score", {"model": MODEL, "text_1": TEA, "text_2": [PRICE, TEA]}, KEY)
    assert [item["score"] for item in scored.json["data"]] == pytest.approx(
        [second["relevance_score"], best["relevance_score"]], abs=0.01
    )


BODIES: dict[str, dict[str, object]] = {
    "/v1/embeddings": {"input": [TEA, PRICE]},
    "/v1/rerank": {"query": TEA, "documents": [PRICE, TEA]},
    "/v1/score": {"text_1": TEA, "text_2": [PRICE, TEA]},
}


@pytest.mark.parametrize("path", list(BODIES))
def test_a_caller_pays_for_the_tokens_that_the_engine_has_read(embedder: Embedder, path: str) -> None:
    """The tiny model has a token for each letter; the query is read once, however many documents there are."""
    before = embedder.engine.counts("vllm:prompt_tokens_total")
    answer = embedder.gateway.ask(path, {"model": MODEL, **BODIES[path]}, KEY)
    assert answer.status == 200, answer
    line = embedder.gateway.logged(answer)
    read = embedder.engine.counts("vllm:prompt_tokens_total") - before
    assert (line["key"], line["tokens_from"], line["answer_tokens"]) == ("web", "usage", "0")
    assert int(line["prompt_tokens"]) == answer.json["usage"]["total_tokens"] == read
    assert read == len(TEA) + len(PRICE) + (len(TEA) if path != "/v1/embeddings" else 0)


def test_it_writes_no_answers_and_the_gateway_says_what_it_does(gateway: GatewayStack) -> None:
    refused = gateway.ask(CHAT, {"model": MODEL, "messages": []}, KEY)
    assert refused.status == 404
    assert "no model here serves /v1/chat/completions; there are /v1/embeddings" in refused.error["message"]


def test_the_block_of_the_page_runs(gateway: GatewayStack) -> None:
    (block,) = (item for item in blocks(ROOT / "docs" / "clients.md") if item.needs == "embedder")
    text = block.body
    for written, real in {
        "https://llm.example.com": gateway.url,
        "my-key": KEY,
        "my-embedder": MODEL,
    }.items():
        assert written in text
        text = text.replace(written, real)
    command = ["bash", "-euo", "pipefail", "-c", text]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count('"object":"embedding"') == 2
    assert ended.stdout.count('"relevance_score"') == 2
