"""What the pinned version of an engine takes: its options, variables and parsers, as its own parser and registries say.

tests/support/engine_options.py writes the files, and tests/engine compares them with the real engine.
"""

import functools
import re
from typing import Annotated, Literal

from pydantic import Field

from tierup.catalog import Count, Text, _Strict, text_of

Kind = Literal["switch", "flag", "integer", "number", "size", "text", "json", "json or text"]
Names = Annotated[tuple[Text, ...], Field(strict=False)]


class Option(_Strict):
    """One option of the command line.

    A `switch` has `--no-x` beside `--x`, a `flag` has not. A `size` is a whole number, or one with a unit ("16k").
    `choices` are the values that it allows; empty: any of its kind. `several`: it takes a list.
    """

    kind: Kind
    choices: Annotated[tuple[str | int, ...], Field(strict=False)] = ()
    several: bool = False


class EngineOptions(_Strict):
    """What one version of an engine takes. `environment` are its own variables."""

    version: Text
    tool_call_parsers: Names
    reasoning_parsers: Names
    lora_ranks: Annotated[tuple[Count, ...], Field(strict=False)]
    environment: Names
    options: dict[str, Option]


_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmgt])|([0-9]+)([KMGT]?)")
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


def size_of(value: object) -> int | None:
    """The number of a `size`: 16k is 16,000 and 16K is 16,384, as vLLM reads them; None if it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    decimal, small, whole, large = match.groups()
    if decimal is not None:
        return int(float(decimal) * 10.0 ** (3 * _POWERS[small]))
    unit: int = 1024 ** _POWERS.get(large.lower(), 0)
    return int(whole) * unit


def rendered_rank(options: EngineOptions | None, rank: int) -> int:
    """The smallest rank that the engine allows for adapters of this one; the rank itself if none is large enough."""
    allowed = options.lora_ranks if options is not None else ()
    return min((item for item in allowed if item >= rank), default=rank) if rank else 0


@functools.cache
def load_options(file: str) -> EngineOptions:
    """What an engine takes, from a file of this folder."""
    return EngineOptions.model_validate_json(text_of(file))
