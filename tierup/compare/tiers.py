"""Decides what a tier's users may expect by our figures, next to what the guide promises them.

A stack of several models is as good as the one that gives way first. Latencies are those of the most urgent
class, at the users of the stack file, as `tierup plan` prints them.
"""

from dataclasses import dataclass

from tierup.catalog import Sourced
from tierup.compare.verdict import Verdict, at_least, at_most
from tierup.cost.bill.of_plan import quotes_of
from tierup.plan.capacity import End, Load, question, users_each
from tierup.plan.model import ClassCapacity, ModelCapacity, ModelPlan, Plan
from tierup.sizing import Range

_POINTS = 32  # of a curve, on either side of its last free slot
_FIRST = 0.02  # requests in flight at its begin


@dataclass(frozen=True, slots=True)
class Guide:
    """The guide's claim: users of all servers in service, latency in ms for an answer of so many tokens."""

    users: Range
    latency_ms: Range
    answer_tokens: int


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The guide's claim against ours, in both readings of its users and of its latency."""

    users: Verdict
    users_without_pause: Verdict
    first_token: Verdict
    whole_answer: Verdict


@dataclass(frozen=True, slots=True)
class Point:
    """What the most urgent class waits for its first token with so many users."""

    users: float
    in_flight: float
    ttft_ms: Range


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier. `most_users` pause between requests, `most_in_flight` is as many that never do; low and high are
    where the slow and the fast end of our ranges still keep every promise.
    """

    plan: Plan
    model: ModelPlan
    capacity: ModelCapacity
    capex_usd: Range
    most_users: Range
    most_in_flight: Range
    urgent: ClassCapacity
    curve: tuple[Point, ...]
    guide: Guide | None
    verdicts: Verdicts | None

    @property
    def name(self) -> str:
        return self.plan.stack

    @property
    def knee(self) -> Point:
        """The point of the curve up to which every promise is kept."""
        return next(point for point in self.curve if point.in_flight >= self.most_in_flight.p50)


def tier_of(plan: Plan) -> Tier:
    """All figures of one plan without errors."""
    pairs = ((model, model.capacity) for model in plan.models if model.capacity is not None)
    model, capacity = min(pairs, key=lambda pair: pair[1].headroom)
    load = Load(question(plan, model), tuple(plan.classes.items()))
    shown = _Shown(plan, load, capacity, len(plan.models))
    users, in_flight = shown.most()
    urgent = shown.urgent(capacity.classes)
    guide = _guide(plan)
    return Tier(
        plan=plan,
        model=model,
        capacity=capacity,
        capex_usd=price(plan, len(plan.nodes.in_service) + len(plan.nodes.standby)),
        most_users=users,
        most_in_flight=in_flight,
        urgent=urgent,
        curve=shown.curve(),
        guide=guide,
        verdicts=None if guide is None else _verdicts(guide, users, in_flight, urgent),
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """One of a tier's `models`, each with its even part of the users."""

    plan: Plan
    load: Load
    capacity: ModelCapacity
    models: int

    @property
    def room(self) -> float:
        """Requests that the gateway lets in."""
        return self.load.ask.slots * self.load.ask.replicas + float(self.plan.gateway.queue_length)

    def urgent(self, classes: tuple[ClassCapacity, ...]) -> ClassCapacity:
        return max(classes, key=lambda item: self.plan.classes[item.name].priority)

    def users(self, in_flight: float) -> float:
        """The tier's users at so many requests of this model."""
        found = self.load.at(in_flight)
        return in_flight * users_each(found, self.plan.think_seconds) * self.models

    def most(self) -> tuple[Range, Range]:
        """The most users, and the most requests in flight, by the middle and both ends of our ranges."""
        ends: tuple[End, ...] = (lambda figure: figure.high, lambda figure: figure.low)
        low, high = (self.load.most_in_flight(self.room, end)[0] for end in ends)
        middle = self.capacity.most_in_flight
        users = Range(*(self.users(n) if n else 0.0 for n in (middle, low, high)))
        return users, Range(*(n * self.models for n in (middle, low, high)))

    def curve(self) -> tuple[Point, ...]:
        """From almost nobody to where the gateway refuses; the knee and the last free slot are points of it."""
        slots = float(self.load.ask.slots * self.load.ask.replicas)
        shares = [step / _POINTS for step in range(_POINTS)]
        free = {_FIRST * (slots / _FIRST) ** share for share in shares}
        waiting = {slots + (self.room - slots) * share for share in shares}
        knee = {self.capacity.most_in_flight} - {0.0}
        return tuple(map(self._point, sorted({*free, *waiting, *knee, self.room})))

    def _point(self, in_flight: float) -> Point:
        seen = self.urgent(self.load.classes_at(in_flight))
        return Point(self.users(in_flight), in_flight * self.models, seen.ttft_ms)


def price(plan: Plan, servers: int) -> Range:
    """So many of the plan's servers, USD; by the stack's own quote if it has one."""
    quote = quotes_of(plan.quotes).get(plan.nodes.server_id)
    if quote is not None and quote.value is not None:
        usd = float(quote.value) * servers
        return Range(usd, usd, usd)
    return range_of(plan.nodes.server.capex_usd, servers)


def range_of(said: Sourced[int] | Sourced[float], times: int = 1) -> Range:
    """A value with the bounds that its source gives, else with itself; so many times."""
    low, high = (said.value if end is None else end for end in (said.low, said.high))
    return Range(said.value * times, low * times, high * times)


def _guide(plan: Plan) -> Guide | None:
    said, servers = plan.nodes.server.claim, len(plan.nodes.in_service)
    if said is None:
        return None
    users = range_of(said.users, servers)
    return Guide(users, range_of(said.latency_ms), said.answer_tokens.value)


def _verdicts(guide: Guide, users: Range, in_flight: Range, seen: ClassCapacity) -> Verdicts:
    return Verdicts(
        users=at_least(guide.users.high, users),
        users_without_pause=at_least(guide.users.high, in_flight),
        first_token=at_most(guide.latency_ms.high, seen.ttft_ms),
        whole_answer=at_most(guide.latency_ms.high, seen.e2e_ms),
    )
