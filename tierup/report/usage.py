"""What callers used, as JSON and as the rows of a table; docs/usage-json.md documents the keys."""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal

from tierup.usage import Usage, Used

VERSION = 1  # of the shape: keys may be added, none is renamed or changes its meaning
COLUMNS = ("month", "caller", "model", "requests", "prompt", "cached", "answer", "estimated", "USD")


def as_json(stack: str | None, usage: Usage, used: Iterable[Used], names: Mapping[str, str]) -> str:
    """One object; `names` are the models' names by slug."""
    rows = [
        {
            "month": item.group.month,
            "caller": item.group.caller,
            "model": names.get(item.group.model, item.group.model),
            "requests": item.tokens.requests,
            "promptTokens": item.tokens.prompt,
            "cachedTokens": item.tokens.cached,
            "answerTokens": item.tokens.answer,
            "estimatedRequests": item.tokens.estimated,
            "usd": None if item.usd is None else str(_cents(item.usd)),
        }
        for item in used
    ]
    lines = {name: getattr(usage, name) for name in ("unused", "unmetered", "unknown")}
    tree = {"version": VERSION, "stack": stack, "usage": rows, "lines": {"read": usage.lines, **lines}}
    return json.dumps(tree, indent=2, ensure_ascii=False)


def as_rows(used: Iterable[Used], names: Mapping[str, str]) -> list[list[str]]:
    """The cells under `COLUMNS`."""
    return [
        [
            item.group.month,
            item.group.caller or "(no key)",
            names.get(item.group.model, item.group.model),
            *(f"{count:,}" for count in _counts(item)),
            "unknown" if item.usd is None else f"{_cents(item.usd):,f}",
        ]
        for item in used
    ]


def _counts(item: Used) -> tuple[int, ...]:
    tokens = item.tokens
    return tokens.requests, tokens.prompt, tokens.cached, tokens.answer, tokens.estimated


def _cents(usd: Decimal) -> Decimal:
    """Hundredths of a cent: a short answer costs less than a cent."""
    return usd.quantize(Decimal("0.0001"))
