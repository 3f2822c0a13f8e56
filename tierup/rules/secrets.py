"""The secrets that a stack cannot do without: which part of the stack file asks for each."""

from collections.abc import Iterator

from tierup.plan.model import ModelPlan, Plan
from tierup.stack.parse import API_KEY_PREFIX, HUB_TOKEN, S3_KEY, S3_SECRET
from tierup.stack.sections import WeightsFrom

_TLS = ("tls-certificate", "tls-key")
_OURS = {*_TLS, "grafana-admin"}  # beside the callers' keys: nobody else checks them
_S3 = {S3_KEY, S3_SECRET}


def of_gateway(plan: Plan) -> Iterator[tuple[str, str]]:
    """Path and name of each secret of the callers and of the gateway's own certificate."""
    for key in plan.gateway.keys:
        yield f"gateway.keys.{key.name}", API_KEY_PREFIX + key.name
    if plan.gateway.tls and plan.gateway.certificate is None:
        for name in _TLS:
            yield "gateway.tls", name


def needs_token(model: ModelPlan) -> bool:
    """Whether the hub gives the model's files only to an account that accepted its licence."""
    return model.weights.source is WeightsFrom.HUB and model.spec.gated.value


def other_of_s3(plan: Plan) -> str | None:
    """The secret of S3 that is not set while the other one is: storage is asked with both, or anonymously."""
    absent = _S3 - plan.secrets
    return absent.pop() if len(absent) == 1 else None


def of_other_services(plan: Plan) -> frozenset[str]:
    """Names of the stack's secrets that another service gives out and checks, so that no random value will do."""
    others = plan.secrets - _OURS
    return frozenset(name for name in others if not name.startswith(API_KEY_PREFIX))


def missing(plan: Plan) -> frozenset[str]:
    """Names of the secrets that the stack needs and that are not set."""
    names = {name for _, name in of_gateway(plan)}
    if any(map(needs_token, plan.models)):
        names.add(HUB_TOKEN)
    if (other := other_of_s3(plan)) is not None:
        names.add(other)
    return frozenset(names - plan.secrets)
