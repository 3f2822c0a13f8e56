"""LangChain and LiteLLM, unchanged, against the gateway and two real vLLM servers."""

import json
from pathlib import Path
from typing import Any

import pytest
from client_programs import ask
from gateway_stack import GatewayStack

pytestmark = pytest.mark.xdist_group("engines")

KEY = "key-of-web"
LANGCHAIN = """
import json
from typing import Literal
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AuthenticationError
from pydantic import BaseModel

options = dict(model="qwen2.5-7b", base_url=URL, max_tokens=500, max_retries=0, timeout=120)
llm = ChatOpenAI(api_key=KEY, stream_usage=True, **options)

@tool
def weather(city: Literal["Rome"]) -> str:
    "The weather of a city."
    return "sunny"

class Report(BaseModel):
    "A report of the weather."
    city: Literal["Rome"]
    sky: Literal["sunny", "cloudy"]

def several(ask):
    # by chance the noise is empty or longer than allowed
    for _ in range(3):
        try:
            if found := ask():
                break
        except Exception as error:
            found = repr(error)
    return found

short = llm.bind(max_tokens=9, extra_body={"ignore_eos": True})
answer = short.invoke("Hello")
chunks = list(short.stream("Hello"))
bound = llm.bind_tools([weather], tool_choice="weather", strict=True)
called = bound.invoke("What is the weather in Rome?")
(call,) = called.tool_calls
result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
after = llm.bind_tools([weather]).bind(max_tokens=20).invoke(["What is the weather?", called, result])
try:
    ChatOpenAI(api_key="nobody-s", **options).invoke("Hello")
except AuthenticationError as error:
    refused = str(error)
report = several(lambda: llm.with_structured_output(Report, method="json_schema").invoke("Report."))
print(json.dumps({
    "answer": answer.usage_metadata, "streamed": sum((c.usage_metadata or {}).get("output_tokens", 0) for c in chunks),
    "chunks": len(chunks), "call": [call["name"], call["args"]], "after": after.usage_metadata,
    "report": report.model_dump() if isinstance(report, Report) else report, "refused": refused,
}))
"""
LITELLM = """
import asyncio, json
import litellm

options = dict(
    api_base=URL, api_key=KEY, max_tokens=9, timeout=120, num_retries=0,
    messages=[{"role": "user", "content": "Hello"}], extra_body={"ignore_eos": True},
)
found = {}
for provider in ("openai", "hosted_vllm"):
    model = provider + "/qwen2.5-7b"
    answer = litellm.completion(model=model, **options)
    chunks = list(litellm.completion(model=model, stream=True, stream_options={"include_usage": True}, **options))
    later = asyncio.run(litellm.acompletion(model=model, **options))
    try:
        litellm.completion(model=model, **(options | {"api_key": "nobody-s"}))
    except litellm.AuthenticationError as error:
        refused = error.status_code
    found[provider] = {
        "answer": answer.usage.completion_tokens, "later": later.usage.completion_tokens, "chunks": len(chunks),
        "streamed": sum(c.usage.completion_tokens for c in chunks if getattr(c, "usage", None)), "refused": refused,
    }
print(json.dumps(found))
"""


def answer_of(program: str, gateway: GatewayStack, folder: Path) -> Any:
    """The JSON in the last line that the program prints."""
    named = f"URL, KEY = {gateway.url + '/v1'!r}, {KEY!r}\n"
    return json.loads(ask(named + program, folder).splitlines()[-1])


def test_langchain_chats_streams_calls_a_tool_and_fills_a_schema(
    served: GatewayStack, tmp_path: Path
) -> None:
    found = answer_of(LANGCHAIN, served, tmp_path)
    assert found["answer"]["output_tokens"] == found["streamed"] == 9
    assert found["chunks"] > 3
    assert found["call"] == ["weather", {"city": "Rome"}]
    assert found["after"]["input_tokens"] > found["answer"]["input_tokens"]
    assert found["report"] in [{"city": "Rome", "sky": sky} for sky in ("sunny", "cloudy")]
    assert "no such API key" in found["refused"]


def test_litellm_completes_and_streams_through_each_of_its_providers(
    served: GatewayStack, tmp_path: Path
) -> None:
    found = answer_of(LITELLM, served, tmp_path)
    assert found.keys() == {"openai", "hosted_vllm"}
    for provider in found.values():
        assert provider["chunks"] > 3
        assert provider["answer"] == provider["later"] == provider["streamed"] == 9
        assert provider["refused"] == 401
