"""The outlook of a stack's cost as JSON: tokens, three years, rent, APIs and what-ifs; and its tables."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from tierup.cost.analysis.api import AgainstApi, ApiPrice
from tierup.cost.analysis.outlook import Outlook, RentBreakEven
from tierup.cost.analysis.sensitivity import Case
from tierup.cost.analysis.tokens import Pair, TokenCost
from tierup.cost.report.figures import (
    HOUR,
    RATE,
    TOKEN,
    Cents,
    CurrencyOut,
    HourlyUsd,
    Out,
    Part,
    Table,
    rounded,
)
from tierup.stack.sections import Tenure

UNKNOWN = "unknown"
_DIGITS = 3  # of what a million tokens cost


class SpanOut(Out):
    """A figure and the range it is believed to lie in."""

    value: Decimal
    low: Decimal
    high: Decimal

    def rounded(self, to: Decimal) -> "SpanOut":
        """All three, rounded."""
        return SpanOut(value=rounded(self.value, to), low=rounded(self.low, to), high=rounded(self.high, to))


HourlySpan = Annotated[SpanOut, AfterValidator(lambda span: span.rounded(HOUR))]
RateSpan = Annotated[SpanOut, AfterValidator(lambda span: span.rounded(RATE))]
TokenSpan = Annotated[SpanOut, AfterValidator(lambda span: span.rounded(TOKEN))]
Tokens = Annotated[Decimal, AfterValidator(lambda count: rounded(count, Decimal(1)))]
Rate = Annotated[Decimal, AfterValidator(lambda rate: rounded(rate, RATE))]


class PairOut(Out):
    """USD per million tokens (four decimals) of prompts and of answers."""

    tokens_in: TokenSpan
    tokens_out: TokenSpan


class TokensOut(Out):
    """What one model's tokens cost; all null where it is unknown: no capacity figure, or nothing is priced."""

    model: str
    usd_per_hour: Annotated[
        HourlySpan | None, Field(description="Its part of the tier, idle GPUs and spares too")
    ]
    full_tokens_in_per_second: Annotated[
        RateSpan | None, Field(description="By the sizing model, over all replicas, every slot taken")
    ]
    full_tokens_out_per_second: RateSpan | None
    utilisation: Annotated[Part | None, Field(description="Part of full use that is served, 0 to 1")]
    utilisation_from: Literal["stated", "plan"] | None
    prefill_share: Annotated[
        Part | None, Field(description="The prompts' part of the engine's time, and so of the cost")
    ]
    shared_prefix: Annotated[
        Part | None, Field(description="Part of the prompts that is cached, as the stack file says")
    ]
    extrapolated: Annotated[bool | None, Field(description="No measurement covers this model on this GPU")]
    not_validated: Annotated[
        str | None, Field(description="Parts of the model that no measurement is of; null: none, or unknown")
    ] = None
    allocation_based: Annotated[PairOut | None, Field(description="What is paid, by what is served")]
    usage_based: Annotated[PairOut | None, Field(description="The same at full use")]

    @classmethod
    def of(cls, model: str, cost: TokenCost | None) -> "TokensOut":
        """The cost of the model's tokens; None: unknown."""
        if cost is None:
            return cls(model=model, **dict.fromkeys(set(cls.model_fields) - {"model"}))
        return cls.model_validate(cost)


class ThreeYearsOut(Out):
    """USD; the total is bought + replaced + run - worth at the end."""

    months: Decimal
    purchase_usd: Cents
    replacement_usd: Cents
    opex_usd: Cents
    residual_usd: Cents
    total_usd: Cents


class CaseTokensOut(Out):
    """One model in a case, or at a rent; null: unknown."""

    model: str
    allocation_based: PairOut | None

    @classmethod
    def each(cls, tokens: Mapping[str, Pair | None]) -> list[Self]:
        """All models, as a list."""
        return [
            cls(model=model, allocation_based=None if pair is None else PairOut.model_validate(pair))
            for model, pair in tokens.items()
        ]


class RentBreakEvenOut(Out):
    """One rent price; null: owning is not cheaper within ten years."""

    id: str
    months_until_owning_is_cheaper: Rate | None
    terms: Annotated[str, Field(description="spot, on demand, or the months of the commitment")]
    tokens: Annotated[list[CaseTokensOut], Field(description="If the rent were all that is paid")]

    @classmethod
    def of(cls, item: RentBreakEven) -> Self:
        """An offer beside owning."""
        return cls(
            id=item.id,
            months_until_owning_is_cheaper=item.months_until_owning_is_cheaper,
            terms=item.rent.offer.terms,
            tokens=CaseTokensOut.each(item.tokens),
        )


class ApiBreakEvenOut(Out):
    """One model against the API, prompts and answers together; null: the stack is not cheaper even at full use."""

    model: str
    utilisation: Part | None
    tokens_per_day: Annotated[Tokens | None, Field(description="Served at that utilisation")]
    full_tokens_per_day: Annotated[Tokens, Field(description="Served with every slot taken")]
    usd_per_day: Annotated[Cents, Field(description="Of the model's part of the stack, at any utilisation")]
    api_usd_per_day: Annotated[
        Cents, Field(description="Of the API for what the stack serves at its utilisation")
    ]
    api_usd_per_full_day: Annotated[
        Cents, Field(description="Of the API for what the stack serves at full use")
    ]
    shared_prefix: Annotated[
        Part, Field(description="Part of the prompts that is cached, as the stack file says")
    ]


class ApiOut(Out):
    """An API's price as the user stated it, USD per million tokens, and where the stack costs as much."""

    usd_in: Decimal
    usd_out: Decimal
    usd_cached: Annotated[
        Decimal | None, Field(description="Of cached prompt tokens; null: as every other of a prompt")
    ]
    break_even: list[ApiBreakEvenOut]

    @classmethod
    def of(cls, outlook: Outlook, api: ApiPrice) -> "ApiOut":
        """The price, and each model of known cost beside it."""
        models = [_beside_api(outlook, name, item) for name, item in outlook.against_api.items()]
        return cls(usd_in=api.usd_in, usd_out=api.usd_out, usd_cached=api.usd_cached, break_even=models)


def _beside_api(outlook: Outlook, model: str, against: AgainstApi) -> ApiBreakEvenOut:
    cost = outlook.tokens[model]
    assert cost is not None  # only such models are compared
    return ApiBreakEvenOut(**asdict(against), model=model, shared_prefix=cost.shared_prefix)


class CaseOut(Out):
    """The tier with one thing changed."""

    what: Literal["utilisation", "electricity", "life"]
    value: Decimal
    unit: str
    usd_per_hour: HourlyUsd
    tokens: list[CaseTokensOut]

    @classmethod
    def of(cls, case: Case) -> "CaseOut":
        """The case, its models as a list."""
        return cls(
            what=case.what,
            value=case.value,
            unit=case.unit,
            usd_per_hour=case.usd_per_hour,
            tokens=CaseTokensOut.each(case.tokens),
        )


class OutlookOut(Out):
    """Tokens, three years, rent, an API's price, what-ifs. What is not priced is in none of it."""

    tokens: list[TokensOut]
    three_years: Annotated[
        ThreeYearsOut | None, Field(description="Null where nothing says how long things last")
    ]
    rented: list[RentBreakEvenOut]
    api: ApiOut | None
    sensitivity: list[CaseOut]

    @classmethod
    def of(cls, outlook: Outlook) -> "OutlookOut":
        """All figures of an outlook, rounded."""
        years = outlook.three_years
        return cls(
            tokens=[TokensOut.of(model, cost) for model, cost in outlook.tokens.items()],
            three_years=None if years is None else ThreeYearsOut.model_validate(years),
            rented=[RentBreakEvenOut.of(item) for item in outlook.rented],
            api=None if outlook.api is None else ApiOut.of(outlook, outlook.api),
            sensitivity=[CaseOut.of(case) for case in outlook.sensitivity],
        )


def outlook_tables(outlook: OutlookOut, tenure: Tenure, money: CurrencyOut) -> Iterator[Table]:
    """Tokens, three years, rent, API, what-ifs; some may have no rows."""
    rows = tuple(row for item in outlook.tokens for row in _token_rows(item, money))
    yield Table(f"{money.code} per million tokens", ("model", "", "in", "out", "at"), rows)
    yield _three_years(outlook.three_years, money)
    yield _rents(outlook, money)
    if outlook.api is not None:
        yield _api(outlook.api, having(tenure), money)
    yield _what_if(outlook, money)


def _token_rows(item: TokensOut, money: CurrencyOut) -> Iterator[tuple[str, ...]]:
    if item.utilisation is None or item.allocation_based is None or item.usage_based is None:
        yield item.model, UNKNOWN, "", "", "the plan has no capacity figure, or nothing is priced"
        return
    assert item.full_tokens_in_per_second is not None
    assert item.full_tokens_out_per_second is not None
    source = "as stated" if item.utilisation_from == "stated" else "what the stack's users send"
    used = f"{percent(item.utilisation)}, {source}"
    yield item.model, "allocation-based", *_pair(item.allocation_based, money), used
    tokens_in, tokens_out = _rate(item.full_tokens_in_per_second), _rate(item.full_tokens_out_per_second)
    note = " (extrapolated)" if item.extrapolated else ""
    if item.not_validated is not None:
        note = f" (not validated: no measurement of {item.not_validated})"
    full = f"every slot taken: {tokens_in} tokens/s in, {tokens_out} out{note}"
    yield item.model, "usage-based", *_pair(item.usage_based, money), full


def _three_years(years: ThreeYearsOut | None, money: CurrencyOut) -> Table:
    usd = money.text
    rows = (
        ((UNKNOWN, "nothing says how long servers last"),)
        if years is None
        else (
            ("bought", usd(years.purchase_usd)),
            ("replaced", usd(years.replacement_usd)),
            ("run", usd(years.opex_usd)),
            ("less its worth at the end", usd(years.residual_usd)),
            ("total", usd(years.total_usd)),
        )
    )
    return Table("three years, what is not priced left out", ("", money.code), rows)


def _rents(outlook: OutlookOut, money: CurrencyOut) -> Table:
    models = (f"{item.model}: {money.code} per million in, out" for item in outlook.tokens)
    rows = tuple(_rent(item, money) for item in outlook.rented)
    return Table("owning against renting", ("price", "terms", "owning is cheaper", *models), rows)


def _rent(item: RentBreakEvenOut, money: CurrencyOut) -> tuple[str, ...]:
    pairs = (entry.allocation_based for entry in item.tokens)
    costs = (
        UNKNOWN
        if pair is None
        else f"{money.text(pair.tokens_in.value, _DIGITS)}, {money.text(pair.tokens_out.value, _DIGITS)}"
        for pair in pairs
    )
    return item.id, item.terms, months(item.months_until_owning_is_cheaper), *costs


def having(tenure: Tenure) -> str:
    """What costs as much as an API at the break-even."""
    return "owning" if tenure is Tenure.OWNED else "renting"


def _api(api: ApiOut, have: str, money: CurrencyOut) -> Table:
    cached = "" if api.usd_cached is None else f"{money.text(api.usd_cached, _DIGITS)} cached, "
    asked = f"{money.text(api.usd_in, _DIGITS)} in, {cached}{money.text(api.usd_out, _DIGITS)} out"
    columns: Mapping[str, Callable[[ApiBreakEvenOut], str]] = {
        "model": lambda item: item.model,
        "API, a million": lambda _: asked,
        "cached prompts": lambda item: percent(item.shared_prefix),
        "a day now": lambda item: _days(item, money),
        f"{have} is cheaper": lambda item: _from_tokens(item, money),
    }
    return Table.of(f"{have} against an API", api.break_even, columns)


def _days(item: ApiBreakEvenOut, money: CurrencyOut) -> str:
    """What is paid a day for what is served now, here and at the API."""
    return f"{money.text(item.usd_per_day)}, API {money.text(item.api_usd_per_day)}"


def _from_tokens(item: ApiBreakEvenOut, money: CurrencyOut) -> str:
    """From where on the stack is cheaper, in tokens a day, or that it never is, with a full day of both."""
    even = from_utilisation(item.utilisation)
    if item.tokens_per_day is None:
        here, there = money.text(item.usd_per_day), money.text(item.api_usd_per_full_day)
        return f"{even}: a day costs {here}, the API {there}"
    return f"{even}: {millions(item.tokens_per_day)} of {millions(item.full_tokens_per_day)} tokens a day"


def millions(tokens: Decimal) -> str:
    """A number of tokens, in millions."""
    return f"{tokens / 1_000_000:,.1f} million"


def _what_if(outlook: OutlookOut, money: CurrencyOut) -> Table:
    models = (f"{item.model}: {money.code} per million out" for item in outlook.tokens)
    rows = tuple(_case(case, money) for case in outlook.sensitivity)
    return Table("what if", ("what", "is", f"{money.code}/hour", *models), rows)


def _case(case: CaseOut, money: CurrencyOut) -> tuple[str, ...]:
    value = percent(case.value) if case.unit == "ratio" else f"{case.value:f} {case.unit}"
    pairs = [item.allocation_based for item in case.tokens]
    outs = (UNKNOWN if pair is None else money.text(pair.tokens_out.value, _DIGITS) for pair in pairs)
    return case.what, value, money.text(case.usd_per_hour, 4), *outs


def _pair(pair: PairOut, money: CurrencyOut) -> tuple[str, str]:
    return _span(pair.tokens_in, money), _span(pair.tokens_out, money)


def _span(span: SpanOut, money: CurrencyOut) -> str:
    """What a million tokens cost, with the range."""
    value, low, high = (money.text(usd, _DIGITS) for usd in (span.value, span.low, span.high))
    return f"{value} ({low} to {high})"


def _rate(span: SpanOut) -> str:
    return f"{span.value:,.0f} ({span.low:,.0f} to {span.high:,.0f})"


def percent(part: Decimal) -> str:
    return f"{part * 100:.0f} %"


def months(count: Decimal | None) -> str:
    """From when on owning is cheaper than a rent."""
    return "not within ten years" if count is None else f"after {count:f} months"


def from_utilisation(utilisation: Decimal | None) -> str:
    """From where on owning is cheaper than an API."""
    return (
        "never, not even at full use"
        if utilisation is None
        else f"from {percent(utilisation)} of full use on"
    )
