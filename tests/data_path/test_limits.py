"""What a class may write holds for bodies that say nothing, say it in odd ways, or say it twice.

The real Nginx; the engine behind it records what arrives, and vLLM's own request models then say what they would do.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_program import run_in_engine
from engine_server import find_engine
from fake_backend import FakeBackend, ReceivedRequest
from gateway_stack import CHAT, COMPLETIONS, GatewayStack, running
from hostile_bodies import HELLO, MODEL, hostile_bodies

from tierup.plan.model import Plan
from tierup.plan.read_timeout import covered_tokens

CONTEXT = 32_768
MOST_OF_CHAT = 547  # below the border between answers of 200 and 1500 tokens
RESPONSES = "/v1/responses"
CALLERS = {"web": {"classes": ["chat"]}, "ops": {}, "batch": {"classes": ["longform"]}}

# The tokens that vLLM may write for each body: all answers of it at their longest; 0 where it refuses the body.
ORACLE = """
import json, sys
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.entrypoints.serve.utils.api_utils import get_max_tokens
from vllm.exceptions import VLLMValidationError

GIVEN, PROMPT = json.load(sys.stdin), 10


def limit(said):
    return get_max_tokens(GIVEN["context"], said, PROMPT, {})


def chat(body):
    request = ChatCompletionRequest(**body)
    said = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    return 1, request, request.to_sampling_params, limit(said)


def completions(body):
    request = CompletionRequest(**body)
    one = isinstance(request.prompt, str) or all(isinstance(item, int) for item in request.prompt)
    embeds = request.prompt_embeds
    more = len(embeds) if isinstance(embeds, list) else int(embeds is not None)
    return (1 if one else len(request.prompt)) + more, request, request.to_sampling_params, limit(request.max_tokens)


def responses(body):
    request = ResponsesRequest(**body)
    return 1, request, request.to_sampling_params, limit(request.max_output_tokens)


READ = {"/v1/chat/completions": chat, "/v1/completions": completions, "/v1/responses": responses}


def most(path, text):
    try:
        body = json.loads(text)
        prompts, request, to_params, tokens = READ[path](body)
        if getattr(request, "use_beam_search", False):
            return prompts * (request.n or 1) * tokens
        params = to_params(tokens, {})
        return prompts * params.n * max(params.max_tokens, params.min_tokens)
    except (ValueError, VLLMValidationError):
        return 0


print(json.dumps([most(path, text) for path, text in GIVEN["bodies"]]))
"""


@pytest.fixture(scope="module")
def gateway(
    backend: FakeBackend, make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayStack]:
    plan = make_plan(
        models=[{"id": MODEL, "replicas": 1, "context": CONTEXT}],
        gateway={"keys": CALLERS, "replicas": 1},
        secrets=frozenset(f"key-{name}" for name in CALLERS),
    )
    keys = {name: [f"key-of-{name}"] for name in CALLERS}
    folder = tmp_path_factory.mktemp("gateway")
    with running(GatewayStack(plan, folder, {plan.models[0].slug: [backend.address]}, keys)) as stack:
        yield stack


@pytest.fixture
def send(gateway: GatewayStack, backend: FakeBackend) -> Callable[..., tuple[int, ReceivedRequest | None]]:
    """Sends a body; its status, and the request as the engine received it."""

    def sent(path: str, body: object, caller: str = "web") -> tuple[int, ReceivedRequest | None]:
        before = len(backend.received)
        status = gateway.ask(path, body, f"key-of-{caller}").status
        arrived = backend.received[before:]
        assert len(arrived) == (status == 200), (body, status, arrived)
        return status, arrived[0] if arrived else None

    return sent


def body_for(path: str, **fields: object) -> dict[str, Any]:
    prompt: dict[str, dict[str, Any]] = {
        CHAT: {"messages": HELLO},
        COMPLETIONS: {"prompt": "x"},
        RESPONSES: {"input": "x"},
    }
    return {"model": MODEL, **prompt[path], **fields}


@pytest.mark.parametrize(
    ("path", "fields", "limit"),
    [
        (CHAT, {}, {"max_tokens": MOST_OF_CHAT}),
        (CHAT, {"max_tokens": None}, {"max_tokens": MOST_OF_CHAT}),
        (CHAT, {"max_completion_tokens": None}, {"max_tokens": MOST_OF_CHAT}),
        (CHAT, {"max_output_tokens": 5}, {"max_output_tokens": 5, "max_tokens": MOST_OF_CHAT}),
        (CHAT, {"max_completion_tokens": None, "max_tokens": 100}, {"max_tokens": 100}),
        (CHAT, {"max_tokens": 100}, {"max_tokens": 100}),
        (CHAT, {"max_tokens": "100"}, {"max_tokens": "100"}),
        (CHAT, {"max_completion_tokens": 100}, {"max_completion_tokens": 100}),
        (CHAT, {"n": 2}, {"n": 2, "max_tokens": MOST_OF_CHAT // 2}),
        (CHAT, {"min_tokens": 400}, {"min_tokens": 400, "max_tokens": MOST_OF_CHAT}),
        (COMPLETIONS, {}, {"max_tokens": 16}),
        (COMPLETIONS, {"max_tokens": 0, "echo": True}, {"max_tokens": 0, "echo": True}),
        (RESPONSES, {}, {"max_output_tokens": MOST_OF_CHAT}),
        (RESPONSES, {"max_tokens": 5}, {"max_tokens": 5, "max_output_tokens": MOST_OF_CHAT}),
    ],
    ids=str,
)
def test_a_key_for_short_answers_gets_short_answers(
    send: Callable[..., tuple[int, ReceivedRequest | None]],
    path: str,
    fields: dict[str, object],
    limit: dict[str, object],
) -> None:
    status, received = send(path, body_for(path, **fields))
    assert status == 200
    assert received is not None
    assert received.json == body_for(path, **limit) | {"priority": -30}


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        (CHAT, {"max_tokens": 548}, 403),
        (CHAT, {"max_tokens": "8000"}, 403),
        (CHAT, {"max_tokens": 8000.0}, 403),
        (CHAT, {"max_completion_tokens": 8000, "max_tokens": 5}, 403),
        (COMPLETIONS, {"max_tokens": 8000, "max_completion_tokens": 5}, 403),
        (RESPONSES, {"max_output_tokens": 8000, "max_tokens": 5}, 403),
        (CHAT, {"min_tokens": 8000}, 403),
        (CHAT, {"n": "6"}, 403),
        (COMPLETIONS, {"prompt": ["x"] * 60}, 403),
        (CHAT, {"max_tokens": 0}, 400),
        (CHAT, {"max_tokens": -1}, 400),
        (CHAT, {"max_tokens": 0.5}, 400),
        (CHAT, {"max_tokens": "8_000"}, 400),
        (CHAT, {"max_tokens": True}, 400),
        (CHAT, {"n": 0}, 400),
    ],
    ids=str,
)
def test_a_body_that_asks_for_more_is_refused(
    send: Callable[..., tuple[int, ReceivedRequest | None]],
    path: str,
    fields: dict[str, object],
    status: int,
) -> None:
    assert send(path, body_for(path, **fields)) == (status, None)


def test_a_caller_without_such_a_bound_may_ask_for_long_answers(
    send: Callable[..., tuple[int, ReceivedRequest | None]],
) -> None:
    """A request that says nothing is a chat for all who may send chats; a class without a bound writes nothing."""
    assert [received.json for _, received in _all(send, "ops", {"max_tokens": 8000}, {})] == [
        body_for(CHAT, max_tokens=8000, priority=30),
        body_for(CHAT, max_tokens=MOST_OF_CHAT, priority=-30),
    ]
    assert [received.json for _, received in _all(send, "batch", {"max_tokens": 5}, {})] == [
        body_for(CHAT, max_tokens=5, priority=30),
        body_for(CHAT, priority=30),
    ]


def _all(
    send: Callable[..., tuple[int, ReceivedRequest | None]], caller: str, *bodies: dict[str, object]
) -> list[tuple[int, ReceivedRequest]]:
    answers = [send(CHAT, body_for(CHAT, **body), caller) for body in bodies]
    return [(status, received) for status, received in answers if received is not None]


def test_no_body_gets_more_than_its_class_allows(
    send: Callable[..., tuple[int, ReceivedRequest | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each hostile body through the gateway, then through vLLM's own request models."""
    python = find_engine()
    passed = []
    statuses = Counter[int]()
    for path, text in hostile_bodies():
        status, received = send(path, text)
        statuses[status] += 1
        if received is not None:
            passed.append([received.path, received.text])
    assert statuses.keys() == {200, 400, 403}
    assert min(statuses.values()) > 20, statuses
    bodies = [[path, text] for path, text in hostile_bodies()]
    folder = tmp_path_factory.mktemp("oracle")
    most = run_in_engine(python, folder, ORACLE, {"context": CONTEXT, "bodies": passed + bodies})
    assert isinstance(most, list)
    longer = [(tokens, *body) for tokens, body in zip(most, passed, strict=False) if tokens > MOST_OF_CHAT]
    assert longer == []
    assert sum(tokens > MOST_OF_CHAT for tokens in most[len(passed) :]) > 50, "without the gateway they would"


@pytest.fixture(scope="module")
def impatient(
    backend: FakeBackend, make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayStack]:
    """A gateway that does not wait for a whole context in one piece."""
    plan = make_plan(
        models=[{"id": MODEL, "replicas": 1, "context": CONTEXT}],
        gateway={"replicas": 1, "readTimeoutSeconds": 600},
    )
    folder = tmp_path_factory.mktemp("impatient")
    with running(GatewayStack(plan, folder, {plan.models[0].slug: [backend.address]})) as stack:
        yield stack


def test_an_answer_in_one_piece_is_no_longer_than_the_gateway_waits(
    impatient: GatewayStack, backend: FakeBackend
) -> None:
    """A longer one would be cut at the read timeout, after its tokens were computed; a stream may have any length."""
    model = impatient.plan.models[0]
    most = covered_tokens(impatient.plan, model)
    assert MOST_OF_CHAT < most < CONTEXT
    assert impatient.ask(CHAT, body_for(CHAT, max_tokens=most)).status == 200
    before = len(backend.received)
    refused = impatient.ask(CHAT, body_for(CHAT, max_tokens=most + 1))
    assert (refused.status, refused.error["param"]) == (400, "stream")
    assert f"up to {most} tokens" in refused.error["message"]
    assert impatient.ask(CHAT, body_for(CHAT, min_tokens=most + 1)).status == 400
    prompts = ["x"] * (model.slots + 1)  # the last waits for a slot
    assert impatient.ask(COMPLETIONS, body_for(COMPLETIONS, max_tokens=most, prompt=prompts)).status == 400
    assert len(backend.received) == before
    assert impatient.ask(CHAT, body_for(CHAT, max_tokens=most + 1, stream=True)).status == 200
    assert backend.received[-1].json["max_tokens"] == most + 1


def test_numbers_keep_their_digits_where_a_limit_is_added(
    gateway: GatewayStack, backend: FakeBackend
) -> None:
    text = json.dumps(body_for(CHAT, seed=12345678901234567890))
    assert gateway.ask(CHAT, text, "key-of-web").status == 200
    assert backend.received[-1].text == text[:-1] + f',"max_tokens":{MOST_OF_CHAT},"priority":-30}}'
