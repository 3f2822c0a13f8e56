"""Decides what a streamed answer says: when its text came, how many tokens it was, or what is wrong with it."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

_DATA = b"data:"
_TEXT = ("content", "reasoning_content", "reasoning", "tool_calls")


class BadAnswer(Exception):
    """The answer is not what was asked for; its message is the reason, the same for all of a kind."""


@dataclass(slots=True)
class Answer:
    """The moments at which text came, and the server's count of tokens (0: it gave none)."""

    chunks: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    answer_tokens: int = 0


def read(lines: Iterable[bytes], clock: Callable[[], float], answer: Answer) -> None:
    """Read a chat completion's server-sent events into `answer`, to the closing mark.

    Raises:
        BadAnswer: an error inside the stream, something that is no event, or no end.
    """
    for line in lines:
        if not line.startswith(_DATA):
            if line.strip() and not line.startswith((b":", b"event:", b"id:", b"retry:")):
                raise BadAnswer("a line of the stream is no event")
            continue
        payload = line.removeprefix(_DATA).strip()
        if payload == b"[DONE]":
            return
        _event(payload, clock, answer)
    raise BadAnswer("the stream ended before its closing mark")


def _event(payload: bytes, clock: Callable[[], float], answer: Answer) -> None:
    try:
        event: Any = json.loads(payload)
    except ValueError as error:
        raise BadAnswer("an event of the stream is no JSON") from error
    if not isinstance(event, dict):
        raise BadAnswer("an event of the stream is no JSON object")
    if event.get("error"):
        raise BadAnswer(f"an error inside the stream: {error_of(event)}")
    if any(_has_text(choice.get("delta", {})) for choice in event.get("choices", [])):
        answer.chunks.append(clock())
    usage = event.get("usage")
    if usage:
        answer.prompt_tokens, answer.answer_tokens = usage["prompt_tokens"], usage["completion_tokens"]


def _has_text(delta: dict[str, Any]) -> bool:
    return any(delta.get(key) for key in _TEXT)


def error_of(tree: Any) -> str:
    """Code and type of an error in OpenAI's shape, without its text, which may quote the prompt."""
    error = tree.get("error") if isinstance(tree, dict) else None
    said = [error.get(key) for key in ("code", "type")] if isinstance(error, dict) else []
    return " ".join(dict.fromkeys(str(word)[:60] for word in said if word is not None)) or "unknown error"
