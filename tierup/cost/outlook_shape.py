"""Decides the shape of an outlook as a program reads it, beside the rest of a stack's cost, and how it is rounded."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tierup.cost.outlook import Instead, Outlook
from tierup.cost.sensitivity import Case
from tierup.cost.shape import CostReport
from tierup.cost.span import Span
from tierup.cost.tco import Total
from tierup.cost.tokens import Pair, TokenCost

HOUR, CENT, TOKEN, PART, RATE = (Decimal(f"1e-{digits}") for digits in (6, 2, 4, 4, 1))


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


def stack_report(cost: CostReport, found: Outlook) -> StackReport:
    """Both in one."""
    return StackReport(**dict(cost), outlook=outlook_out(found))


def outlook_out(found: Outlook) -> OutlookOut:
    """The whole of it, rounded."""
    return OutlookOut(
        tokens=[_tokens(model, cost) for model, cost in found.tokens.items()],
        three_years=None if found.total is None else _total(found.total),
        rented=[_instead(item) for item in found.rents],
        api=None
        if found.api is None
        else ApiOut(
            usd_in=found.api.usd_in,
            usd_out=found.api.usd_out,
            break_even=[
                EvenOut(model=name, utilisation=_at(part, PART)) for name, part in found.even.items()
            ],
        ),
        sensitivity=[_case(case) for case in found.cases],
    )


def _tokens(model: str, cost: TokenCost | None) -> TokensOut:
    if cost is None:
        return TokensOut(model=model, **dict.fromkeys(set(TokensOut.model_fields) - {"model"}))
    return TokensOut(
        model=model,
        usd_per_hour=_span(cost.usd_per_hour, HOUR),
        full_tokens_in_per_second=_span(cost.full_in, RATE),
        full_tokens_out_per_second=_span(cost.full_out, RATE),
        utilisation=rounded(cost.utilisation, PART),
        utilisation_from="stated" if cost.stated else "plan",
        prefill_share=rounded(cost.prefill_share, PART),
        extrapolated=cost.extrapolated,
        allocation_based=_pair(cost.allocation_based),
        usage_based=_pair(cost.usage_based),
    )


def _total(total: Total) -> ThreeYearsOut:
    return ThreeYearsOut(
        months=total.months,
        purchase_usd=rounded(total.capex),
        replacement_usd=rounded(total.replacement),
        opex_usd=rounded(total.opex),
        residual_usd=rounded(total.residual),
        total_usd=rounded(total.total),
    )


def _instead(item: Instead) -> InsteadOut:
    return InsteadOut(id=item.rent.price.id, months_until_owning_is_cheaper=_at(item.months, RATE))


def _case(case: Case) -> CaseOut:
    return CaseOut(
        what=case.what,
        value=case.value,
        unit=case.unit,
        usd_per_hour=rounded(case.usd_per_hour, HOUR),
        tokens=[
            CaseTokensOut(model=model, allocation_based=None if pair is None else _pair(pair))
            for model, pair in case.tokens.items()
        ],
    )


def _span(found: Span, to: Decimal) -> SpanOut:
    return SpanOut(value=rounded(found.value, to), low=rounded(found.low, to), high=rounded(found.high, to))


def _pair(found: Pair) -> PairOut:
    return PairOut(tokens_in=_span(found.tokens_in, TOKEN), tokens_out=_span(found.tokens_out, TOKEN))


def _at(value: Decimal | None, to: Decimal) -> Decimal | None:
    return None if value is None else rounded(value, to)


def rounded(value: Decimal, to: Decimal = CENT) -> Decimal:
    """Half away from zero, as money is."""
    return value.quantize(to, ROUND_HALF_UP)
