"""Reads a streamed answer: when its text arrived, its token counts, and what is wrong with it."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

_DATA = b"data:"
_TEXT = ("content", "reasoning_content", "reasoning", "tool_calls")


class BadAnswer(Exception):
    """An invalid answer; the message is the reason, with the same text for all failures of a kind."""


@dataclass(slots=True)
class Answer:
    """The times at which text arrived, and the server's token counts (0 if it sent none)."""

    chunks: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    answer_tokens: int = 0


def read(lines: Iterable[bytes], clock: Callable[[], float], answer: Answer) -> None:
    """Read the server-sent events of a chat completion into `answer`, up to `[DONE]`.

    Raises:
        BadAnswer: the stream contains an error or an invalid event, or ends without `[DONE]`.
    """
    for line in lines:
        if not line.startswith(_DATA):
            if line.strip() and not line.startswith((b":", b"event:", b"id:", b"retry:")):
                raise BadAnswer("the stream has a line that is not an event")
            continue
        payload = line.removeprefix(_DATA).strip()
        if payload == b"[DONE]":
            return
        _event(payload, clock, answer)
    raise BadAnswer("the stream ended before [DONE]")


def _event(payload: bytes, clock: Callable[[], float], answer: Answer) -> None:
    try:
        event: Any = json.loads(payload)
    except ValueError as error:
        raise BadAnswer("the stream has an event that is not JSON") from error
    if not isinstance(event, dict):
        raise BadAnswer("the stream has an event that is not a JSON object")
    if event.get("error"):
        raise BadAnswer(f"an error in the stream: {error_of(event)}")
    if any(_has_text(choice.get("delta", {})) for choice in event.get("choices", [])):
        answer.chunks.append(clock())
    usage = event.get("usage")
    if usage:
        answer.prompt_tokens, answer.answer_tokens = usage["prompt_tokens"], usage["completion_tokens"]


def _has_text(delta: dict[str, Any]) -> bool:
    return any(delta.get(key) for key in _TEXT)


def error_of(tree: Any) -> str:
    """Code and type of an error in OpenAI's format; not its text, which may quote the prompt."""
    error = tree.get("error") if isinstance(tree, dict) else None
    values = [error.get(key) for key in ("code", "type")] if isinstance(error, dict) else []
    return " ".join(dict.fromkeys(str(word)[:60] for word in values if word is not None)) or "unknown error"
