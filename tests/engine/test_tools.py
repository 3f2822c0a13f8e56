"""Requests with tools, reasoning and a template of one's own, on servers started with the rendered arguments."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_server import EngineServer
from served import Served, serve

from tierup.catalog import load_catalog
from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.io.stack.read import read_stack
from tierup.local.tiny_model import make_tiny_model
from tierup.plan.model import Plan
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
SHAPE = {"layers": 2, "hidden": 64, "q_heads": 2, "kv_heads": 1}
TEMPLATE = (
    "{% for tool in tools or [] %}TOOL {{ tool.function.name }}\n{% endfor %}{{ messages[-1].content }}\n"
)
# Run by the engine's interpreter: what its parsers make of a text, with the tokenizer of a tiny model.
READ = """
import json, sys
from transformers import AutoTokenizer
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager
model, tools, texts, reasoning, thought = json.load(sys.stdin)
tokenizer = AutoTokenizer.from_pretrained(model)
request = ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "hi"}], tools=tools)
found = {}
for name, text in texts.items():
    parser = ToolParserManager.get_tool_parser(name)(tokenizer, request.tools)
    calls = parser.extract_tool_calls(text, request).tool_calls
    found[name] = [[call.function.name, json.loads(call.function.arguments)] for call in calls]
split = {}
for name in reasoning:
    parser = ReasoningParserManager.get_reasoning_parser(name)(tokenizer)
    split[name] = parser.extract_reasoning(thought, request)
print()
print(json.dumps([found, split]))
"""
# How each family writes a call of `weather`: from the parsers' own examples.
CALLS = {
    "hermes": '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>',
    "llama3_json": '{"name": "weather", "parameters": {"city": "Rome"}}',
    "mistral": '[TOOL_CALLS][{"name": "weather", "arguments": {"city": "Rome"}}]',
    "qwen3_coder": "<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>",
}
# They only mark where an answer begins: vLLM reads GPT-OSS with openai-harmony, whose vocabulary is not here.
BY_HARMONY = {"openai", "openai_gptoss"}


@pytest.fixture(scope="module")
def thinker(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of Qwen3's settings, with a template from a file beside the stack file."""
    folder = tmp_path_factory.mktemp("thinker")
    (folder / "chat.jinja").write_text(TEMPLATE)
    stack = folder / "Pulumi.thinker.yaml"
    stack.write_text(
        "config:\n"
        "  tierup:workload: {users: 4}\n"
        "  tierup:nodes: {server: entry-2x-rtx-4090}\n"
        "  tierup:models: [{id: qwen3-8b, chatTemplate: chat.jinja}]\n"
    )
    plan = make_plan(parse(read_stack(stack)), load_catalog())
    with serve(plan, SHAPE, engine_python, folder / "run") as served:
        yield served


def asked(server: EngineServer, **more: Any) -> dict[str, Any]:
    answer = server.chat("What is the weather?", tools=[WEATHER], **more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_request_with_tools_is_accepted_by_default(standard: Served) -> None:
    args = standard.container["args"]
    assert args[args.index("--tool-call-parser") + 1] == "hermes"
    assert asked(standard.server, tool_choice="auto")["choices"][0]["message"]["role"] == "assistant"
    assert (
        asked(standard.server)["usage"]["completion_tokens"] > 0
    )  # `auto` is what OpenAI's clients leave out


def test_with_the_parser_off_the_same_request_is_refused(
    engine_python: Path, make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = make_plan(models=[{"id": "qwen2.5-7b", "toolCallParser": "none"}])
    with serve(plan, SHAPE, engine_python, tmp_path_factory.mktemp("off")) as served:
        assert "--enable-auto-tool-choice" not in served.container["args"]
        refused = served.server.chat("hello", tools=[WEATHER], tool_choice="auto")
        assert refused.status_code == 400
        assert "--enable-auto-tool-choice" in refused.text
        assert served.server.chat("hello").ok


def test_a_demanded_call_comes_back_as_a_call(standard: Served) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    message = asked(standard.server, tool_choice=named, max_tokens=200)["choices"][0]["message"]
    assert "tool_calls" in message, message
    called = [call["function"] for call in message["tool_calls"]]
    assert {call["name"] for call in called} == {"weather"}  # random weights say nothing of use in it


def test_a_reasoning_model_thinks_apart_and_takes_tools(thinker: Served) -> None:
    answer = asked(thinker.server, tool_choice="auto")
    message = answer["choices"][0]["message"]
    # Random weights never end their thought, so that all of the answer is reasoning.
    assert message["reasoning"]
    assert not message["content"]


def test_the_template_of_the_file_makes_the_prompt(thinker: Served) -> None:
    args = thinker.container["args"]
    assert args[args.index("--chat-template") + 1] == "/etc/engine/chat-template.jinja"
    without, with_tool = thinker.server.chat("hello").json(), asked(thinker.server)
    assert without["usage"]["prompt_tokens"] == len("hello")
    assert with_tool["usage"]["prompt_tokens"] == len("TOOL weather\nWhat is the weather?")


def test_every_default_parser_reads_the_calls_of_its_family(
    run_in_engine: Callable[..., Any], tmp_path: Path
) -> None:
    specs = load_catalog().models.values()
    tools = {name for spec in specs if (name := spec.tool_call_parser.value) is not None}
    reasoning = {name for spec in specs if (name := spec.reasoning_parser.value) is not None}
    assert tools - BY_HARMONY == CALLS.keys()
    options = engine_facts(DEFAULT_ENGINE).options
    assert options is not None
    assert tools <= {*options.tool_call_parsers}
    assert reasoning <= {*options.reasoning_parsers}
    model = make_tiny_model(tmp_path / "model", **SHAPE)
    thought = "<think>It is asked for Rome.</think>Sunny."
    given = [str(model), [WEATHER], CALLS, sorted(reasoning - BY_HARMONY), thought]
    calls, split = run_in_engine(READ, given)
    assert calls == {name: [["weather", {"city": "Rome"}]] for name in CALLS}
    assert split == {name: ["It is asked for Rome.", "Sunny."] for name in reasoning - BY_HARMONY}
