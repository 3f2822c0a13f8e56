"""What callers used by month, from the gateway's log, and their part of the cost.

Only sums are kept: the memory does not grow with the log.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from tierup.cost import TokenCost

MOST_LINE = 65_536  # bytes; the gateway's own lines are below 4 kB
MOST_GROUPS = 10_000  # callers, months and models together
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-[0-9]{2}T")
_MILLION = Decimal(1_000_000)
_COUNT = re.compile(r"[0-9]{1,15}")
_FIELDS = ("prompt_tokens", "cached_tokens", "answer_tokens")


class Group(NamedTuple):
    """What is summed up on its own; `model` is the slug of the log."""

    month: str
    caller: str
    model: str


@dataclass(slots=True)
class Tokens:
    """Sums of requests that used tokens. `estimated`: how many of them were cut off, so that no engine said them."""

    requests: int = 0
    prompt: int = 0
    cached: int = 0
    answer: int = 0
    estimated: int = 0

    def add(self, other: "Tokens") -> None:
        self.requests += other.requests
        self.prompt += other.prompt
        self.cached += other.cached
        self.answer += other.answer
        self.estimated += other.estimated


@dataclass(slots=True)
class Usage:
    """All lines. `unused`: of requests that used none; `unmetered`: written without `gateway.meterTokens`.

    `unknown`: no lines of the gateway's access log, or of groups beyond the limit.
    """

    groups: dict[Group, Tokens] = field(default_factory=dict)
    lines: int = 0
    unused: int = 0
    unmetered: int = 0
    unknown: int = 0

    def read(self, lines: Iterable[bytes]) -> None:
        """Add lines, as Nginx writes them, or as `kubectl logs` does with `--prefix` or `--timestamps`."""
        for line in lines:
            if not line.strip():
                continue
            self.lines += 1
            entry = _entry(line)
            if entry is None:
                self.unknown += 1
            elif not all(name in entry for name in _FIELDS):
                self.unmetered += 1
            else:
                self._add(entry)

    def _add(self, entry: Mapping[str, Any]) -> None:
        """One metered line."""
        numbers = [entry[name] for name in _FIELDS]
        if not all(isinstance(text, str) and _COUNT.fullmatch(text) for text in numbers):
            self.unknown += 1
            return
        prompt, cached, answer = map(int, numbers)
        source = entry.get("tokens_from")
        if not prompt and not answer:
            self.unused += 1
            return
        group = Group(entry["time"][:7], entry["key"], entry["model"])
        if group not in self.groups and len(self.groups) >= MOST_GROUPS:
            self.unknown += 1
            return
        self.groups.setdefault(group, Tokens()).add(Tokens(1, prompt, cached, answer, int(source != "usage")))


def _entry(line: bytes) -> Mapping[str, Any] | None:
    """The access log's entry in a line; None: it is another line."""
    begins = line.find(b"{")
    if begins < 0 or len(line) > MOST_LINE:
        return None
    try:
        entry = json.loads(line[begins:])
    except (ValueError, RecursionError):
        return None
    texts = ("time", "key", "model", "class", "status", "request_id")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in texts):
        return None
    return entry if _MONTH.match(entry["time"]) else None


@dataclass(frozen=True, slots=True)
class Used:
    """One row of the bill; `usd` is None where the cost of a token of the model is unknown."""

    group: Group
    tokens: Tokens
    usd: Decimal | None


def usage_bill(usage: Usage, costs: Mapping[str, TokenCost | None]) -> list[Used]:
    """By month, caller and model, with the cost of what was used; `costs` by the slug of the model.

    A token of a prompt costs the same from the cache as computed: the cost per token is that of the plan's mix.
    """
    return [
        Used(group, tokens, _usd(tokens, costs.get(group.model)))
        for group, tokens in sorted(usage.groups.items())
    ]


def _usd(tokens: Tokens, cost: TokenCost | None) -> Decimal | None:
    if cost is None:
        return None
    each = cost.allocation_based
    return (tokens.prompt * each.tokens_in.value + tokens.answer * each.tokens_out.value) / _MILLION
