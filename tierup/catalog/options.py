"""What the pinned version of an engine takes: its options, variables and parsers, as its own parser and registries say.

tests/support/engine_options.py writes the files, and tests/engine compares them with the real engine.
"""

import functools
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


@functools.cache
def load_options(file: str) -> EngineOptions:
    """What an engine takes, from a file of this folder."""
    return EngineOptions.model_validate_json(text_of(file))
