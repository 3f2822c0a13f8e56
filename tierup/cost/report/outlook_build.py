"""Decides which figures of an outlook are told, and how they are rounded."""

from decimal import Decimal

from tierup.cost.analysis.outlook import Instead, Outlook
from tierup.cost.analysis.sensitivity import Case
from tierup.cost.analysis.span import Span
from tierup.cost.analysis.tco import Total
from tierup.cost.analysis.tokens import Pair, TokenCost
from tierup.cost.report.build import HOUR, rounded
from tierup.cost.report.outlook_schema import (
    ApiOut,
    CaseOut,
    CaseTokensOut,
    EvenOut,
    InsteadOut,
    OutlookOut,
    PairOut,
    SpanOut,
    StackReport,
    ThreeYearsOut,
    TokensOut,
)
from tierup.cost.report.schema import CostReport

TOKEN, PART, RATE = Decimal("0.0001"), Decimal("0.0001"), Decimal("0.1")


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
