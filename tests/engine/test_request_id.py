"""A request is known by the same id on both sides of the engine."""

import re

import pytest
from served import Served

from tierup.manifests.engines.vllm import MAX_ANSWERS


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_id_comes_back_and_names_the_answer(standard: Served, stream: bool) -> None:
    answer = standard.server.chat("hello", headers={"X-Request-Id": "gateway-7f3a"}, stream=stream)
    assert answer.headers["X-Request-Id"] == "gateway-7f3a"
    assert set(re.findall(r'"id": ?"(chatcmpl-[^"]+)"', answer.text)) == {"chatcmpl-gateway-7f3a"}


def test_a_request_without_an_id_gets_one(standard: Served) -> None:
    first, second = (standard.server.chat("hello").headers["X-Request-Id"] for _ in range(2))
    assert first != second
    assert len(first) >= 32


def test_a_refused_request_has_its_id_too(standard: Served) -> None:
    answer = standard.server.chat("hello", headers={"X-Request-Id": "gateway-0001"}, n=MAX_ANSWERS + 1)
    assert answer.status_code == 400
    assert answer.headers["X-Request-Id"] == "gateway-0001"
