"""An agent of OpenAI's agents package, unchanged, calls a tool and goes on with its result, on real vLLM servers."""

import asyncio
from typing import Literal

import openai
import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from agents.items import MessageOutputItem, RunItem, ToolCallItem, ToolCallOutputItem
from agents.result import RunResult, RunResultStreaming
from gateway_stack import GatewayStack

pytestmark = pytest.mark.xdist_group("engines")

MODEL = "qwen2.5-7b"
WEATHER = "sunny, 31 degrees"
Api = type[OpenAIChatCompletionsModel] | type[OpenAIResponsesModel]


@pytest.fixture(autouse=True)
def nothing_is_sent_elsewhere() -> None:
    """Traces of a run go to OpenAI by default."""
    set_tracing_disabled(True)


async def run(
    served: GatewayStack, api: Api, cities: list[str], *, stream: bool
) -> RunResult | RunResultStreaming:
    """Ask an agent for the weather of Rome; `cities` are those for which its tool was called."""

    @function_tool
    def weather(city: Literal["Rome"]) -> str:
        """The weather of a city."""
        cities.append(city)
        return WEATHER

    # The first turn must call the tool, since random weights would not choose to; the package then sets it free.
    settings = ModelSettings(tool_choice="weather", max_tokens=500, include_usage=True)
    async with openai.AsyncOpenAI(
        base_url=f"{served.url}/v1", api_key="key-of-web", max_retries=0, timeout=120
    ) as client:
        agent = Agent(
            name="helper",
            instructions="Answer briefly.",
            tools=[weather],
            model=api(MODEL, client),
            model_settings=settings,
        )
        if not stream:
            return await Runner.run(agent, "What is the weather in Rome?")
        streamed = Runner.run_streamed(agent, "What is the weather in Rome?")
        async for _ in streamed.stream_events():
            pass
        return streamed


def kinds(items: list[RunItem]) -> list[type[RunItem]]:
    return [type(item) for item in items]


@pytest.mark.parametrize(
    ("api", "stream"),
    [
        (OpenAIChatCompletionsModel, False),
        (OpenAIChatCompletionsModel, True),
        (OpenAIResponsesModel, True),  # the package's own choice
    ],
    ids=["chat completions", "chat completions, streamed", "responses, streamed"],
)
def test_an_agent_calls_its_tool_and_answers_with_the_result(
    served: GatewayStack, api: Api, stream: bool
) -> None:
    for _ in range(3):  # by chance the noise is empty
        cities: list[str] = []
        result = asyncio.run(run(served, api, cities, stream=stream))
        if result.final_output:
            break
    assert cities == ["Rome"]
    assert kinds(result.new_items) == [ToolCallItem, ToolCallOutputItem, MessageOutputItem]
    assert result.final_output, "noise, but an answer"
    first, second = (response.usage.input_tokens for response in result.raw_responses)
    # The tiny model has a token for each letter: the second prompt has grown by the result.
    assert second >= first + len(WEATHER)
