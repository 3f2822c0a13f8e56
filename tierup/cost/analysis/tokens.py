"""The cost of a million tokens, at the use that is expected and at full use.

Allocation-based is what is paid for, divided by what is served: the figure for buy-or-rent. Usage-based is the
same with every slot taken. Their ratio is the utilisation. Throughput is the sizing model's. Models of one tier
share its cost by the GPUs that their replicas hold: nodes are bought for their GPUs, so spares and idle GPUs are
paid by those in use. Input and output share it by the engine's time for prompts and for answers: that is
what the money buys, and prompt tokens are many and cheap where answer tokens are few and slow.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from tierup.cost.analysis.span import Span, exact, hourly, of_range
from tierup.cost.types import TierCost
from tierup.plan.capacity import sizing_input
from tierup.plan.load import mean_shared_prefix
from tierup.plan.model import ModelPlan, Plan
from tierup.sizing.share import prefill_share

MILLION = Decimal(1_000_000)
SECONDS_PER_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True)
class Pair:
    """USD per million tokens of prompts and of answers."""

    tokens_in: Span
    tokens_out: Span


@dataclass(frozen=True, slots=True)
class TokenCost:
    """One model. `full_tokens_*` are the sizing model's, over all its replicas with every slot taken.

    `utilisation` (0..1] is the part of them that is served: stated by the user, or what the plan's users send.
    `prefill_share` (0..1) is the prompts' part of the cost, `shared_prefix` (0..1) the cached part of the prompts, as
    the stack file says, whether its own engine keeps a cache or not. `unpriced` names what the money leaves out.
    """

    model: str
    usd_per_hour: Span
    full_tokens_in_per_second: Span
    full_tokens_out_per_second: Span
    utilisation: Decimal
    utilisation_from: Literal["stated", "plan"]
    prefill_share: Decimal
    extrapolated: bool
    not_validated: str | None
    unpriced: tuple[str, ...]
    shared_prefix: Decimal = Decimal(0)

    def at(self, utilisation: Decimal) -> Pair:
        """What a million tokens cost when this part of full use is served."""
        prompts, answers = self.prefill_share, 1 - self.prefill_share
        return Pair(
            _per_million(self.usd_per_hour.times(prompts), self.full_tokens_in_per_second.times(utilisation)),
            _per_million(
                self.usd_per_hour.times(answers), self.full_tokens_out_per_second.times(utilisation)
            ),
        )

    def mixed(self, utilisation: Decimal) -> Span:
        """The same for a million tokens of both kinds, as many of each as the model's requests have."""
        both = self.full_tokens_in_per_second.plus(self.full_tokens_out_per_second)
        return _per_million(self.usd_per_hour, both.times(utilisation))

    def paying(self, whole: Decimal, other: Decimal) -> Pair:
        """What a million tokens cost if the tier's hour cost `other` USD, exactly, and not `whole`."""
        mine = self.usd_per_hour.value / whole * other
        return replace(self, usd_per_hour=Span(mine, mine, mine)).allocation_based

    @property
    def allocation_based(self) -> Pair:
        return self.at(self.utilisation)

    @property
    def usage_based(self) -> Pair:
        return self.at(Decimal(1))


def token_costs(
    plan: Plan, cost: TierCost, utilisation: Decimal | None = None
) -> dict[str, TokenCost | None]:
    """By model; None where the plan has no capacity figure or nothing is priced: unknown, which is no number.

    Raises:
        ValueError: if `utilisation` is not above 0 and at most 1.
    """
    if utilisation is not None and not 0 < utilisation <= 1:
        raise ValueError(f"utilisation is above 0 and at most 1 (got {utilisation})")
    return {model.name: _token_cost(plan, model, cost, utilisation) for model in plan.models}


def _token_cost(plan: Plan, model: ModelPlan, cost: TierCost, stated: Decimal | None) -> TokenCost | None:
    capacity = model.capacity
    if capacity is None or not cost.usd_per_hour:
        return None
    full, expected = capacity.full.req_s, capacity.sizing.req_s
    assert full is not None  # what fits has a throughput
    assert expected is not None
    ask = sizing_input(plan, model)
    requests = of_range(full)
    sent = exact(min(1.0, expected.p50 / full.p50))
    return TokenCost(
        model=model.name,
        usd_per_hour=hourly(cost).times(Decimal(model.replicas * model.gpus) / plan.gpus_used),
        full_tokens_in_per_second=requests.times(Decimal(ask.prompt)),
        full_tokens_out_per_second=requests.times(Decimal(ask.answer if ask.model.writes else 0)),
        utilisation=sent if stated is None else stated,
        utilisation_from="plan" if stated is None else "stated",
        prefill_share=exact(prefill_share(ask)),
        extrapolated=capacity.full.extrapolated,
        not_validated=ask.model.unproven or None,
        unpriced=cost.unpriced,
        shared_prefix=exact(mean_shared_prefix(model.traffic.classes.values())),
    )


def _per_million(usd_per_hour: Span, tokens_per_second: Span) -> Span:
    if not tokens_per_second.value:  # a model that writes none, so that all is for its prompts
        return usd_per_hour.times(Decimal(0))
    return usd_per_hour.times(MILLION).per(tokens_per_second.times(SECONDS_PER_HOUR))
