"""The computed figures of a tier, next to the claims of the hardware guide.

The figures of a stack with several models are those of the model that reaches its limit first. Latencies are those of
the class with the highest priority, with the users of the stack file, as in `tierup plan`.
"""

from dataclasses import dataclass

from tierup.catalog import Sourced
from tierup.compare.verdict import Verdict, at_least, at_most
from tierup.cost import quotes_of
from tierup.plan.capacity import Load, RangeEnd, sizing_input, users_per_request
from tierup.plan.model import ClassCapacity, ModelCapacity, ModelPlan, Plan
from tierup.sizing import Range

_POINTS = 32  # of a curve, on either side of the point where all slots are in use
_FIRST = 0.02  # requests in flight at the start of a curve


@dataclass(frozen=True, slots=True)
class Guide:
    """The guide's claim: users of all servers in service, and ms for an answer of `answer_tokens`."""

    users: Range
    latency_ms: Range
    answer_tokens: int


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts on the guide's claims, for both readings of its users and of its latency."""

    users: Verdict
    users_without_pause: Verdict
    first_token: Verdict
    whole_answer: Verdict


@dataclass(frozen=True, slots=True)
class Point:
    """The time to the first token of the most urgent class, by the number of users."""

    users: float
    in_flight: float
    ttft_ms: Range


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier. `most_users` is the most users with pauses that keep all promises, `most_in_flight` the same without
    pauses. Low and high are for the slow and the fast end of the latency ranges.
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
        """The last point of the curve at which every promise is kept."""
        return next(point for point in self.curve if point.in_flight >= self.most_in_flight.p50)


def tier_of(plan: Plan) -> Tier:
    """Compute the figures of a plan, which must have no errors."""
    pairs = ((model, model.capacity) for model in plan.models if model.capacity is not None)
    model, capacity = min(pairs, key=lambda pair: pair[1].headroom)
    load = Load(sizing_input(plan, model), tuple(plan.classes.items()))
    figures = _ModelFigures(plan, load, capacity, len(plan.models))
    users, in_flight = figures.most()
    urgent = figures.urgent(capacity.classes)
    guide = _guide(plan)
    return Tier(
        plan=plan,
        model=model,
        capacity=capacity,
        capex_usd=price(plan, len(plan.nodes.in_service) + len(plan.nodes.standby)),
        most_users=users,
        most_in_flight=in_flight,
        urgent=urgent,
        curve=figures.curve(),
        guide=guide,
        verdicts=None if guide is None else _verdicts(guide, users, in_flight, urgent),
    )


@dataclass(frozen=True, slots=True)
class _ModelFigures:
    """The figures of one of a tier's `models`, which all have the same share of the users."""

    plan: Plan
    load: Load
    capacity: ModelCapacity
    models: int

    @property
    def limit(self) -> float:
        """The most requests that the gateway admits."""
        return self.load.inputs.slots * self.load.inputs.replicas + float(self.plan.gateway.queue_length)

    def urgent(self, classes: tuple[ClassCapacity, ...]) -> ClassCapacity:
        return max(classes, key=lambda item: self.plan.classes[item.name].priority)

    def users(self, in_flight: float) -> float:
        """The tier's users at `in_flight` requests of this model."""
        sizing = self.load.at(in_flight)
        return in_flight * users_per_request(sizing, self.plan.think_seconds) * self.models

    def most(self) -> tuple[Range, Range]:
        """The most users and the most requests in flight, for the middle and both ends of the latency ranges."""
        ends: tuple[RangeEnd, ...] = (lambda figure: figure.high, lambda figure: figure.low)
        low, high = (self.load.most_in_flight(self.limit, end)[0] for end in ends)
        middle = self.capacity.most_in_flight
        users = Range(*(self.users(n) if n else 0.0 for n in (middle, low, high)))
        return users, Range(*(n * self.models for n in (middle, low, high)))

    def curve(self) -> tuple[Point, ...]:
        """Points from almost no load to the gateway's limit, with the knee and the last free slot among them."""
        slots = float(self.load.inputs.slots * self.load.inputs.replicas)
        shares = [step / _POINTS for step in range(_POINTS)]
        free = {_FIRST * (slots / _FIRST) ** share for share in shares}
        waiting = {slots + (self.limit - slots) * share for share in shares}
        knee = {self.capacity.most_in_flight} - {0.0}
        return tuple(map(self._point, sorted({*free, *waiting, *knee, self.limit})))

    def _point(self, in_flight: float) -> Point:
        urgent = self.urgent(self.load.classes_at(in_flight))
        return Point(self.users(in_flight), in_flight * self.models, urgent.ttft_ms)


def price(plan: Plan, servers: int) -> Range:
    """The price of `servers` servers of the plan, USD; by the stack's quote if it has one."""
    quote = quotes_of(plan.quotes).get(plan.nodes.server_id)
    if quote is not None and quote.value is not None:
        usd = float(quote.value) * servers
        return Range(usd, usd, usd)
    return range_of(plan.nodes.server.capex_usd, servers)


def range_of(sourced: Sourced[int] | Sourced[float], times: int = 1) -> Range:
    """A value with the bounds of its source, or itself as bounds; multiplied by `times`."""
    low, high = (sourced.value if end is None else end for end in (sourced.low, sourced.high))
    return Range(sourced.value * times, low * times, high * times)


def _guide(plan: Plan) -> Guide | None:
    claim, servers = plan.nodes.server.claim, len(plan.nodes.in_service)
    if claim is None:
        return None
    users = range_of(claim.users, servers)
    return Guide(users, range_of(claim.latency_ms), claim.answer_tokens.value)


def _verdicts(guide: Guide, users: Range, in_flight: Range, urgent: ClassCapacity) -> Verdicts:
    return Verdicts(
        users=at_least(guide.users.high, users),
        users_without_pause=at_least(guide.users.high, in_flight),
        first_token=at_most(guide.latency_ms.high, urgent.ttft_ms),
        whole_answer=at_most(guide.latency_ms.high, urgent.e2e_ms),
    )
