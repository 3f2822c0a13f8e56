"""Decides how an outlook reads to a person: tables under the rest of a stack's cost."""

from collections.abc import Iterator
from decimal import Decimal

from tierup.cost.report import tables as rows
from tierup.cost.report.outlook_schema import (
    ApiOut,
    CaseOut,
    OutlookOut,
    PairOut,
    SpanOut,
    StackReport,
    ThreeYearsOut,
    TokensOut,
)
from tierup.cost.report.tables import Table, usd

UNKNOWN = "unknown"
_DIGITS = 3  # of USD per million tokens


def every_table(found: StackReport) -> list[Table]:
    """All of a stack's cost, the prices last."""
    *before, prices = rows.tables(found)
    return [*before, *tables(found.outlook), prices]


def tables(found: OutlookOut) -> Iterator[Table]:
    """Tokens, three years, rent, API, what-ifs; one without rows is left out."""
    every = (
        Table(
            "USD per million tokens",
            ("model", "", "in", "out", "at"),
            tuple(row for item in found.tokens for row in _tokens(item)),
        ),
        Table("three years, what is not priced left out", ("", "USD"), tuple(_years(found.three_years))),
        Table(
            "owning against renting",
            ("price", "owning is cheaper"),
            tuple((item.id, _months(item.months_until_owning_is_cheaper)) for item in found.rented),
        ),
        Table(
            "owning against an API",
            ("model", "API, USD per million", "owning is cheaper"),
            () if found.api is None else tuple(_api(found.api)),
        ),
        Table(
            "what if",
            ("what", "is", "USD/hour", *(f"{item.model}: USD per million out" for item in found.tokens)),
            tuple(map(_case, found.sensitivity)),
        ),
    )
    return (table for table in every if table.rows)


def _tokens(item: TokensOut) -> Iterator[tuple[str, ...]]:
    if item.utilisation is None or item.allocation_based is None or item.usage_based is None:
        yield item.model, UNKNOWN, "", "", "the plan has no capacity figure, or nothing is priced"
        return
    assert item.full_tokens_in_per_second is not None
    assert item.full_tokens_out_per_second is not None
    said = "as stated" if item.utilisation_from == "stated" else "what the stack's users send"
    yield (
        item.model,
        "allocation-based",
        *_pair(item.allocation_based),
        f"{percent(item.utilisation)}, {said}",
    )
    full = (
        f"{_rate(item.full_tokens_in_per_second)} tokens/s in, {_rate(item.full_tokens_out_per_second)} out"
    )
    note = " (extrapolated)" if item.extrapolated else ""
    yield item.model, "usage-based", *_pair(item.usage_based), f"every slot taken: {full}{note}"


def _pair(found: PairOut) -> tuple[str, str]:
    return span(found.tokens_in), span(found.tokens_out)


def _years(found: ThreeYearsOut | None) -> Iterator[tuple[str, str]]:
    if found is None:
        yield UNKNOWN, "nothing says how long servers last"
        return
    yield "bought", usd(found.purchase_usd)
    yield "replaced", usd(found.replacement_usd)
    yield "run", usd(found.opex_usd)
    yield "less its worth at the end", usd(found.residual_usd)
    yield "total", usd(found.total_usd)


def _api(found: ApiOut) -> Iterator[tuple[str, str, str]]:
    for item in found.break_even:
        yield item.model, f"{found.usd_in:f} in, {found.usd_out:f} out", even(item.utilisation)


def _case(case: CaseOut) -> tuple[str, ...]:
    value = percent(case.value) if case.unit == "ratio" else f"{case.value:f} {case.unit}"
    pairs = [item.allocation_based for item in case.tokens]
    outs = (UNKNOWN if pair is None else usd(pair.tokens_out.value, _DIGITS) for pair in pairs)
    return case.what, value, usd(case.usd_per_hour, 4), *outs


def span(found: SpanOut) -> str:
    """USD per million tokens with their range."""
    return f"{usd(found.value, _DIGITS)} ({usd(found.low, _DIGITS)} to {usd(found.high, _DIGITS)})"


def _rate(found: SpanOut) -> str:
    return f"{found.value:,.0f} ({found.low:,.0f} to {found.high:,.0f})"


def percent(part: Decimal) -> str:
    return f"{part * 100:.0f} %"


def _months(months: Decimal | None) -> str:
    return "not within ten years" if months is None else f"after {months:f} months"


def even(utilisation: Decimal | None) -> str:
    """From where on owning is cheaper than an API."""
    return (
        "never, not even at full use"
        if utilisation is None
        else f"from {percent(utilisation)} of full use on"
    )
