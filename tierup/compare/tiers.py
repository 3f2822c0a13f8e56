"""The computed figures of a tier, next to the claims of the hardware guide.

Each model of a stack has figures of its own. Latencies are those of the model's class with the highest priority, with
the users of the stack file, as in `tierup plan`. A claim of the guide is compared only with models that it is about.
"""

from dataclasses import dataclass

from tierup.catalog import Sourced
from tierup.compare.verdict import Verdict, at_least, at_most
from tierup.cost import bill_of
from tierup.plan.capacity import load_of
from tierup.plan.load import Load, RangeEnd, slow_end, users_per_request
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
    """The verdicts on the guide's claims, for both readings of its users and of its latency.

    `whole_answer` is None where answers are longer than those of the claim.
    """

    users: Verdict
    users_without_pause: Verdict
    first_token: Verdict
    whole_answer: Verdict | None


@dataclass(frozen=True, slots=True)
class Point:
    """The time to the first token of the most urgent class, by the number of users."""

    users: float
    in_flight: float
    ttft_ms: Range


@dataclass(frozen=True, slots=True)
class TierModel:
    """One model of a tier. `most_users` is the most users with pauses that keep all promises, `most_in_flight` the same
    without pauses; both count the users of the whole tier. Low and high are for the slow and the fast end of the
    latency ranges.
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
        """The tier, and the model if there are several."""
        return self.plan.stack if len(self.plan.models) == 1 else f"{self.plan.stack}: {self.model.name}"

    @property
    def knee(self) -> Point:
        """The last point of the curve at which every promise is kept."""
        return next(point for point in self.curve if point.in_flight >= self.most_in_flight.p50)


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier, with those of its models that get requests, in the order of the stack file."""

    plan: Plan
    models: tuple[TierModel, ...]

    @property
    def name(self) -> str:
        return self.plan.stack

    @property
    def weakest(self) -> TierModel:
        """The model that reaches its limit first."""
        return min(self.models, key=lambda item: item.capacity.headroom)


def tier_of(plan: Plan) -> Tier:
    """Compute the figures of a plan, which must have no errors."""
    guide = _guide(plan)
    return Tier(
        plan,
        tuple(
            _model(plan, model, model.capacity, guide)
            for model in plan.models
            if model.capacity is not None and model.capacity.users
        ),
    )


def _model(plan: Plan, model: ModelPlan, capacity: ModelCapacity, guide: Guide | None) -> TierModel:
    figures = _ModelFigures(plan, load_of(plan, model), capacity)
    users, in_flight = figures.most()
    urgent = figures.urgent(capacity.classes)
    tokens = plan.classes[urgent.name].answer_tokens
    return TierModel(
        plan=plan,
        model=model,
        capacity=capacity,
        capex_usd=price(plan, len(plan.nodes.in_service) + len(plan.nodes.standby)),
        most_users=users,
        most_in_flight=in_flight,
        urgent=urgent,
        curve=figures.curve(),
        guide=guide,
        verdicts=None if guide is None else _verdicts(guide, users, in_flight, urgent, tokens),
    )


@dataclass(frozen=True, slots=True)
class _ModelFigures:
    """The figures of one model, as those of its tier with the same split of the requests."""

    plan: Plan
    load: Load
    capacity: ModelCapacity

    @property
    def limit(self) -> float:
        """The most requests that the gateway admits."""
        return self.load.inputs.slots * self.load.inputs.replicas + float(self.plan.gateway.queue_length)

    def urgent(self, classes: tuple[ClassCapacity, ...]) -> ClassCapacity:
        return max(classes, key=lambda item: self.plan.classes[item.name].priority)

    def users(self, in_flight: float) -> float:
        """The tier's users at `in_flight` requests of this model."""
        own = in_flight * users_per_request(self.load.at(in_flight), self.plan.think_seconds)
        return own * self.plan.users / self.capacity.users

    def in_flight(self, in_flight: float) -> float:
        """The tier's requests in flight at `in_flight` requests of this model."""
        of_all = sum(model.capacity.in_flight for model in self.plan.models if model.capacity is not None)
        return in_flight * of_all / self.capacity.in_flight

    def most(self) -> tuple[Range, Range]:
        """The most users and the most requests in flight, for the middle and both ends of the latency ranges."""
        ends: tuple[RangeEnd, ...] = (slow_end, lambda figure: figure.low)
        low, high = (self.load.most_in_flight(self.limit, end)[0] for end in ends)
        middle = self.capacity.most_in_flight
        users = Range(*(self.users(n) if n else 0.0 for n in (middle, low, high)))
        return users, Range(*map(self.in_flight, (middle, low, high)))

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
        return Point(self.users(in_flight), self.in_flight(in_flight), urgent.ttft_ms)


def price(plan: Plan, servers: int) -> Range:
    """The price of `servers` servers of the plan, USD; by the stack's quote if it has one."""
    quote = bill_of(plan).quotes.get(plan.nodes.server_id)
    if quote is not None and quote.value is not None:
        usd = float(quote.value) * servers
        return Range(usd, usd, usd)
    return range_of(plan.nodes.server.capex_usd, servers)


def range_of(sourced: Sourced[int] | Sourced[float], times: int = 1) -> Range:
    """A value with the bounds of its source, or itself as bounds; multiplied by `times`."""
    low, high = (sourced.value if end is None else end for end in (sourced.low, sourced.high))
    return Range(sourced.value * times, low * times, high * times)


def _guide(plan: Plan) -> Guide | None:
    """The guide's claim for the servers; None if it has none, or if it is about other models than all of these."""
    claim, servers = plan.nodes.server.claim, len(plan.nodes.in_service)
    if claim is None or not all(claim.is_about(model.spec) for model in plan.models):
        return None
    users = range_of(claim.users, servers)
    return Guide(users, range_of(claim.latency_ms), claim.answer_tokens.value)


def _verdicts(
    guide: Guide, users: Range, in_flight: Range, urgent: ClassCapacity, answer_tokens: int
) -> Verdicts:
    comparable = answer_tokens <= guide.answer_tokens
    return Verdicts(
        users=at_least(guide.users.high, users),
        users_without_pause=at_least(guide.users.high, in_flight),
        first_token=at_most(guide.latency_ms.high, urgent.ttft_ms),
        whole_answer=at_most(guide.latency_ms.high, urgent.e2e_ms) if comparable else None,
    )
