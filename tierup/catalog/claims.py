"""Single figures that the hardware guide claims for its cards, and the setting to compare each in."""

import functools
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from tierup.catalog import Amount, CatalogError, Count, PrecisionKey, Sourced, Text, _Strict, parse_table


class Figure(StrEnum):
    """The kind of a claim; units are in the head of claims.yaml.

    `weights`: GB on one card. `output_rate`: tokens/s of all cards. `in_flight`: requests at once within a
    latency. `speedup`: factor over one card. `first_token`: ms.
    """

    WEIGHTS = "weights"
    OUTPUT_RATE = "output_rate"
    IN_FLIGHT = "in_flight"
    SPEEDUP = "speedup"
    FIRST_TOKEN = "first_token"


class Setting(_Strict):
    """The cards, the model on them and its load; `tensor` x `pipeline` cards hold one replica."""

    model: Text
    gpu: Text
    precision: PrecisionKey
    tensor: Count = 1
    pipeline: Count = 1
    prompt: Count
    answer: Count
    in_flight: Count = 1
    base_in_flight: Count | None = None
    latency_ms: Amount | None = None


class GuideClaim(_Strict):
    """One figure of the guide; `reading` says what we had to assume to compute it."""

    what: Text
    claimed: Sourced[Amount]
    figure: Annotated[Figure, Field(strict=False)]
    reading: Text
    setting: Setting

    @model_validator(mode="after")
    def _setting_answers_the_figure(self) -> Self:
        required = {Figure.SPEEDUP: "base_in_flight", Figure.IN_FLIGHT: "latency_ms"}
        for figure, key in required.items():
            if (self.figure is figure) != (getattr(self.setting, key) is not None):
                raise ValueError(f"figure {figure} needs setting.{key}, other figures must not have it")
        return self


@functools.cache
def load_claims() -> Mapping[str, GuideClaim]:
    """The claims of claims.yaml, by id."""
    return parse_claims(Path(__file__).with_name("claims.yaml").read_text(encoding="utf-8"))


def parse_claims(text: str) -> Mapping[str, GuideClaim]:
    """The claims from the file's text.

    Raises:
        CatalogError: naming entry and field of every problem.
    """
    problems: list[str] = []
    claims = parse_table("claims", GuideClaim, text, problems)
    if problems:
        raise CatalogError(problems)
    return claims
