"""How the gateway spreads requests over the replicas of a model (docs/adr/0017-prefix-balance.md)."""

from tierup.plan.chooser import Chooser
from tierup.plan.model import GatewayPlan, ModelPlan, Plan
from tierup.stack.sections import Balance, Gateway

BALANCE = "gateway.balance"
# A replica gets no request that would make its requests in flight more than so many times the mean, rounded up.
BOUND = 1.25


def resolve_balance(section: Gateway, choose: Chooser) -> Balance:
    """Least connections, unless the stack chooses."""
    why = f"costs least; prefix keeps conversations where they are cached, within {BOUND:g}x the mean load"
    return choose.pick(BALANCE, section.balance, Balance.LEAST_CONNECTIONS, why)


def bound_of(gateway: GatewayPlan, model: ModelPlan) -> float | None:
    """The bound of a model's replicas, as a multiple of the mean; None: its requests go by least connections."""
    # Models that embed or score read each text once.
    caches = model.max_replicas > 1 and model.spec.serves == "generate"
    return BOUND if gateway.balance is Balance.PREFIX and caches else None


def balanced(plan: Plan) -> bool:
    """Whether the requests of some model go by cached prefix."""
    return any(bound_of(plan.gateway, model) is not None for model in plan.models)
