"""Decides the shape of an outlook as a program reads it, beside the rest of a stack's cost."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tierup.cost.report.schema import CostReport


class _Out(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class SpanOut(_Out):
    """A figure and the range it is believed to lie in."""

    value: Decimal
    low: Decimal
    high: Decimal


class PairOut(_Out):
    """USD per million tokens (four decimals) of prompts and of answers."""

    tokens_in: SpanOut
    tokens_out: SpanOut


class TokensOut(_Out):
    """What one model's tokens cost; all null where it is unknown: no capacity figure, or nothing is priced."""

    model: str
    usd_per_hour: Annotated[
        SpanOut | None, Field(description="Its part of the tier, idle GPUs and spares too")
    ]
    full_tokens_in_per_second: Annotated[
        SpanOut | None, Field(description="By the sizing model, over all replicas, every slot taken")
    ]
    full_tokens_out_per_second: SpanOut | None
    utilisation: Annotated[Decimal | None, Field(description="Part of full use that is served, 0 to 1")]
    utilisation_from: Literal["stated", "plan"] | None
    prefill_share: Annotated[
        Decimal | None, Field(description="The prompts' part of the engine's time, and so of the cost")
    ]
    extrapolated: Annotated[bool | None, Field(description="No measurement covers this model on this GPU")]
    allocation_based: Annotated[PairOut | None, Field(description="What is paid, by what is served")]
    usage_based: Annotated[PairOut | None, Field(description="The same at full use")]


class ThreeYearsOut(_Out):
    """USD; the total is bought + replaced + run - worth at the end."""

    months: Decimal
    purchase_usd: Decimal
    replacement_usd: Decimal
    opex_usd: Decimal
    residual_usd: Decimal
    total_usd: Decimal


class InsteadOut(_Out):
    """One rent price; null: owning is not cheaper within ten years."""

    id: str
    months_until_owning_is_cheaper: Decimal | None


class EvenOut(_Out):
    """One model against the API; null: owning is not cheaper even at full use."""

    model: str
    utilisation: Decimal | None


class ApiOut(_Out):
    """An API's price as the user stated it, USD per million tokens, and where owning costs as much."""

    usd_in: Decimal
    usd_out: Decimal
    break_even: list[EvenOut]


class CaseTokensOut(_Out):
    """One model in a case; null: unknown."""

    model: str
    allocation_based: PairOut | None


class CaseOut(_Out):
    """The tier with one thing changed."""

    what: Literal["utilisation", "electricity", "life"]
    value: Decimal
    unit: str
    usd_per_hour: Decimal
    tokens: list[CaseTokensOut]


class OutlookOut(_Out):
    """Tokens, three years, rent, an API's price, what-ifs. What is not priced is in none of it."""

    tokens: list[TokensOut]
    three_years: Annotated[
        ThreeYearsOut | None, Field(description="Null where nothing says how long things last")
    ]
    rented: list[InsteadOut]
    api: ApiOut | None
    sensitivity: list[CaseOut]


class StackReport(CostReport):
    """What a tier costs, owned, and the same GPUs rented. Keys may be added; none changes its meaning."""

    outlook: OutlookOut
