"""The rows and notes of a comparison, for the terminal and for Markdown."""

from collections.abc import Callable, Iterator

from tierup.catalog.claims import Figure, GuideClaim
from tierup.compare import CheckedClaim, Comparison, Tier, TierModel
from tierup.compare.tiers import price
from tierup.compare.verdict import Verdict
from tierup.sizing import Range

_UNITS = {
    Figure.WEIGHTS: " GB",
    Figure.OUTPUT_RATE: "",
    Figure.IN_FLIGHT: "",
    Figure.SPEEDUP: "x",
    Figure.FIRST_TOKEN: "",
}
CLAIM_COLUMNS = ("figure", "guide", "computed", "claim", "read as")


def tier_rows(comparison: Comparison) -> Iterator[tuple[str, list[str]]]:
    """The heading of each row and its cell for each model of each tier."""
    for heading, cell in _ROWS:
        cells = [cell(item) for item in comparison.columns]
        if any(cells):
            yield heading, cells


def claim_rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """The guide's single figures next to the computed ones."""
    for item in comparison.claims:
        yield (
            item.claim.what,
            claimed_text(item.claim),
            computed_text(item),
            str(item.verdict),
            item.claim.reading,
        )


def notes(comparison: Comparison) -> Iterator[str]:
    """Notes on how to read the figures."""
    yield (
        "computed: the middle, in brackets the range that contains four of five published measurements of the GPU "
        "class; a claim is optimistic if it is better than the best end of that range"
    )
    yield (
        "users: the most users for which every class keeps the promises of the stack file, in brackets for the slow "
        "and the fast end of the ranges; a user who never pauses always has one request in flight"
    )
    yield "latencies: of the class with the highest priority, with the users of the stack file"
    if any(len(tier.models) > 1 for tier in comparison.tiers):
        yield (
            "a tier with several models: each column has the users of the whole tier that this model can serve its "
            "part of; the tier holds the fewest of them"
        )
    for tier in comparison.tiers:
        yield from _not_compared(tier)
    for item in comparison.columns:
        for line in item.capacity.sizing.basis:
            if line.startswith("extrapolated") or "not validated" in line:
                yield f"{item.name}: {line}"
    for skipped in comparison.skipped:
        yield f"{skipped.stack} is not compared: {' '.join(skipped.problem.split())}"


def _not_compared(tier: Tier) -> Iterator[str]:
    """Why something of a tier has no figure or no claim beside it."""
    claim = tier.plan.nodes.server.claim
    if claim is not None:
        others = [model.name for model in tier.plan.models if not claim.is_about(model.spec)]
        if others:
            yield f"{tier.name}: the guide's claim is about a {claim.size} model, not about {', '.join(others)}"
    shown = {item.model.name for item in tier.models}
    for model in tier.plan.models:
        if model.name not in shown:
            yield f"{tier.name}: no request reaches {model.name}, so it is not compared"


def claimed_text(claim: GuideClaim) -> str:
    """The claim as in the guide: a range if the guide gives one, without rounding."""
    figure, rounding = claim.claimed, claim.figure in (Figure.WEIGHTS, Figure.SPEEDUP)
    if rounding or figure.low is None or figure.high is None:
        return f"{figure.value:g}{_UNITS[claim.figure]}"
    return f"{figure.low:g}-{figure.high:g}{_UNITS[claim.figure]}"


def computed_text(item: CheckedClaim) -> str:
    return f"{number(item.computed.p50)}{_UNITS[item.claim.figure]} ({span(item.computed)})"


def span(figure: Range) -> str:
    return f"{number(figure.low)}-{number(figure.high)}"


def number(value: float) -> str:
    """A number without decimals from 10, else with two significant digits."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _people(figure: Range) -> str:
    """Whole users, rounded down, with their range."""
    return f"{int(figure.p50)} ({int(figure.low)}-{int(figure.high)})"


def _thousands(price: Range) -> str:
    low, high = f"{price.low / 1000:,.0f}k", f"{price.high / 1000:,.0f}k"
    return f"${low}" if low == high else f"${low}-{high}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _model(tier: TierModel) -> str:
    model = tier.model
    each = f"{_counted(model.gpus, 'GPU')} and {_counted(model.slots, 'slot')}"
    return f"{model.name} {model.precision}: {_counted(model.replicas, 'replica')} of {each}"


def _servers(tier: TierModel) -> str:
    nodes = tier.plan.nodes
    spares = f", {_counted(len(nodes.standby), f'{nodes.standby_mode} spare')}" if nodes.standby else ""
    return f"{_thousands(tier.capex_usd)} for {_counted(len(nodes.in_service), 'server')}{spares}"


def _with_verdict(text: str, verdict: Verdict | None) -> str:
    """A computed figure, and whether the guide's claim holds."""
    if verdict is None:
        return text
    return f"{text}; claim {'holds' if verdict is Verdict.HOLDS else 'is optimistic'}"


def _users(tier: TierModel) -> str:
    text = f"{_people(tier.most_users)}, {tier.plan.think_seconds:g} s pause"
    return _with_verdict(text, tier.verdicts.users if tier.verdicts else None)


def _at_once(tier: TierModel) -> str:
    return _with_verdict(
        _people(tier.most_in_flight), tier.verdicts.users_without_pause if tier.verdicts else None
    )


def _first_token(tier: TierModel) -> str:
    urgent = tier.urgent
    text = f"{number(urgent.ttft_ms.p50)} ms ({span(urgent.ttft_ms)}), promised {urgent.ttft_target_ms:g}"
    return _with_verdict(text, tier.verdicts.first_token if tier.verdicts else None)


def _further_tokens(tier: TierModel) -> str:
    urgent = tier.urgent
    return f"{number(urgent.tpot_ms.p50)} ms ({span(urgent.tpot_ms)}), promised {urgent.tpot_target_ms:g}"


def _answer(tier: TierModel) -> str:
    e2e, tokens = tier.urgent.e2e_ms, tier.plan.classes[tier.urgent.name].answer_tokens
    seconds = Range(e2e.p50 / 1000, e2e.low / 1000, e2e.high / 1000)
    text = f"{number(seconds.p50)} s ({span(seconds)}) for {tokens} tokens"
    return _with_verdict(text, tier.verdicts.whole_answer if tier.verdicts else None)


def _audience(tier: TierModel) -> str:
    audience = tier.plan.nodes.server.audience
    return "" if audience is None else audience.value


def _guide_users(tier: TierModel) -> str:
    return "" if tier.guide is None else f"{tier.guide.users.low:g}-{tier.guide.users.high:g}"


def _guide_latency(tier: TierModel) -> str:
    if tier.guide is None:
        return ""
    low, high = tier.guide.latency_ms.low, tier.guide.latency_ms.high
    return f"{low:g}-{high:g} ms for up to {tier.guide.answer_tokens} tokens"


_ROWS: tuple[tuple[str, Callable[[TierModel], str]], ...] = (
    ("for", _audience),
    ("server", lambda tier: tier.plan.nodes.server.title.rpartition(": ")[2]),
    ("price of a server", lambda tier: _thousands(price(tier.plan, 1))),
    ("servers and spares", _servers),
    ("model", _model),
    ("guide: users", _guide_users),
    ("computed: users", _users),
    ("computed: users who never pause", _at_once),
    ("first limit", lambda tier: f"{tier.capacity.limiting_factor} ({tier.capacity.bottleneck})"),
    ("guide: latency", _guide_latency),
    ("computed: latency with users", lambda tier: f"{tier.plan.users}"),
    ("- first token", _first_token),
    ("- each further token", _further_tokens),
    ("- whole answer", _answer),
)
