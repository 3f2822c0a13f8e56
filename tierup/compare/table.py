"""Decides in which rows and words a comparison is told to people, whatever the page."""

from collections.abc import Callable, Iterator

from tierup.catalog.claims import Figure, GuideClaim
from tierup.compare import Checked, Comparison, Tier
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


def tier_rows(found: Comparison) -> Iterator[tuple[str, list[str]]]:
    """Every row's heading and its cell for each tier."""
    for heading, cell in _ROWS:
        cells = [cell(tier) for tier in found.tiers]
        if any(cells):
            yield heading, cells


def claim_rows(found: Comparison) -> Iterator[tuple[str, ...]]:
    """The guide's single figures next to ours."""
    for item in found.claims:
        yield item.claim.what, said(item.claim), computed(item), str(item.verdict), item.claim.reading


def notes(found: Comparison) -> Iterator[str]:
    """How the figures are to be read."""
    yield (
        "computed: the middle, in brackets the range that four of five published measurements of the GPU's class "
        "fall into; a claim is optimistic if it is better than the best end of that range"
    )
    yield (
        "users: the most at which every class has what the stack file promises it, in brackets where the slow and "
        "the fast end of the ranges still do; a user that never pauses is a request at any time"
    )
    yield "latencies: of the most urgent class, at the users of the stack file"
    for tier in found.tiers:
        for line in tier.capacity.sizing.basis:
            if line.startswith("extrapolated") or "not validated" in line:
                yield f"{tier.name}: {line}"


def said(claim: GuideClaim) -> str:
    """The claim as the guide writes it: a range if it is one, no rounding."""
    figure, rounding = claim.said, claim.figure in (Figure.WEIGHTS, Figure.SPEEDUP)
    if rounding or figure.low is None or figure.high is None:
        return f"{figure.value:g}{_UNITS[claim.figure]}"
    return f"{figure.low:g}-{figure.high:g}{_UNITS[claim.figure]}"


def computed(item: Checked) -> str:
    return f"{number(item.computed.p50)}{_UNITS[item.claim.figure]} ({span(item.computed)})"


def span(figure: Range) -> str:
    return f"{number(figure.low)}-{number(figure.high)}"


def number(value: float) -> str:
    """As many digits as say something."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _people(figure: Range) -> str:
    """Users are whole, and the next one is too many."""
    return f"{int(figure.p50)} ({int(figure.low)}-{int(figure.high)})"


def _thousands(price: Range) -> str:
    return f"${price.low / 1000:,.0f}k-{price.high / 1000:,.0f}k"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _model(tier: Tier) -> str:
    model = tier.model
    each = f"{_counted(model.gpus, 'GPU')} and {_counted(model.slots, 'slot')}"
    return f"{model.name} {model.precision}: {_counted(model.replicas, 'replica')} of {each}"


def _servers(tier: Tier) -> str:
    nodes = tier.plan.nodes
    spares = f", {_counted(len(nodes.standby), f'{nodes.standby_mode} spare')}" if nodes.standby else ""
    return f"{_thousands(tier.capex_usd)} for {_counted(len(nodes.in_service), 'server')}{spares}"


def _judged(text: str, verdict: Verdict | None) -> str:
    """A figure of ours, and what it says of the guide's."""
    if verdict is None:
        return text
    return f"{text}; claim {'holds' if verdict is Verdict.HOLDS else 'is optimistic'}"


def _users(tier: Tier) -> str:
    text = f"{_people(tier.most_users)}, {tier.plan.think_seconds:g} s pause"
    return _judged(text, tier.verdicts.users if tier.verdicts else None)


def _at_once(tier: Tier) -> str:
    return _judged(_people(tier.most_in_flight), tier.verdicts.users_without_pause if tier.verdicts else None)


def _first(tier: Tier) -> str:
    seen = tier.urgent
    text = f"{number(seen.ttft_ms.p50)} ms ({span(seen.ttft_ms)}), promised {seen.ttft_target_ms:g}"
    return _judged(text, tier.verdicts.first_token if tier.verdicts else None)


def _each(tier: Tier) -> str:
    seen = tier.urgent
    return f"{number(seen.tpot_ms.p50)} ms ({span(seen.tpot_ms)}), promised {seen.tpot_target_ms:g}"


def _answer(tier: Tier) -> str:
    whole, tokens = tier.urgent.e2e_ms, tier.plan.classes[tier.urgent.name].answer_tokens
    seconds = Range(whole.p50 / 1000, whole.low / 1000, whole.high / 1000)
    text = f"{number(seconds.p50)} s ({span(seconds)}) for {tokens} tokens"
    return _judged(text, tier.verdicts.whole_answer if tier.verdicts else None)


def _audience(tier: Tier) -> str:
    said = tier.plan.nodes.server.audience
    return "" if said is None else said.value


def _guide_users(tier: Tier) -> str:
    return "" if tier.guide is None else f"{tier.guide.users.low:g}-{tier.guide.users.high:g}"


def _guide_latency(tier: Tier) -> str:
    if tier.guide is None:
        return ""
    low, high = tier.guide.latency_ms.low, tier.guide.latency_ms.high
    return f"{low:g}-{high:g} ms for up to {tier.guide.answer_tokens} tokens"


_ROWS: tuple[tuple[str, Callable[[Tier], str]], ...] = (
    ("for", _audience),
    ("server", lambda tier: tier.plan.nodes.server.title.rpartition(": ")[2]),
    ("price of a server", lambda tier: _thousands(price(tier.plan, 1))),
    ("servers and spares", _servers),
    ("model", _model),
    ("guide: users", _guide_users),
    ("computed: users", _users),
    ("computed: users that never pause", _at_once),
    ("what gives way first", lambda tier: f"{tier.capacity.gives_way} ({tier.capacity.bottleneck})"),
    ("guide: latency", _guide_latency),
    ("computed: latency with users", lambda tier: f"{tier.plan.users}"),
    ("- first token", _first),
    ("- each further token", _each),
    ("- whole answer", _answer),
)
