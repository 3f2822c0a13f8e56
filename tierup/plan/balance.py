"""How the gateway spreads requests over the replicas of a model (docs/adr/0017-prefix-balance.md)."""

from collections.abc import Iterable

from tierup.plan.chooser import Chooser
from tierup.plan.model import GatewayPlan, ModelPlan
from tierup.stack.sections import Balance, Gateway

BALANCE = "gateway.balance"
# A replica gets no request that would make its requests in flight more than so many times the mean, rounded up.
BOUND = 1.25


def resolve_balance(section: Gateway, models: Iterable[ModelPlan], choose: Chooser) -> Balance:
    """By cached prefix where some model can have several replicas and caches prefixes."""
    if any(_caches(model) for model in models):
        why = f"a conversation stays where its beginning is cached; no replica over {BOUND:g}x the mean"
        return choose.pick(BALANCE, section.balance, Balance.PREFIX, why)
    why = "no model has several replicas and a cache of prompts"
    return choose.pick(BALANCE, section.balance, Balance.LEAST_CONNECTIONS, why)


def bound_of(gateway: GatewayPlan, model: ModelPlan) -> float | None:
    """The bound of a model's replicas, as a multiple of the mean; None: its requests go by least connections."""
    return BOUND if gateway.balance is Balance.PREFIX and _caches(model) else None


def _caches(model: ModelPlan) -> bool:
    # Models that embed or score read each text once.
    return model.max_replicas > 1 and model.spec.serves == "generate"
