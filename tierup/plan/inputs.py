"""What a plan gives Pulumi's components as inputs, so that a cost or a policy can read it from Pulumi's own plan."""

from collections.abc import Mapping

from tierup.plan.model import NodePlan
from tierup.plan.own_hardware import own_servers
from tierup.stack.sections import Quote


def node_inputs(nodes: NodePlan) -> dict[str, object]:
    """The inputs of `GpuNodes`; `rental` and `ownServer` only of servers that are rented, or that the stack brings."""
    brought = own_servers(nodes).get(nodes.server_id)
    own = {} if brought is None else {"ownServer": brought.model_dump(mode="json")}
    rental = nodes.rental
    rent = {} if rental is None else {"rental": _rental(rental.provider, rental.region, rental.term_months)}
    return {
        "provider": str(nodes.provider),
        "server": nodes.server_id,
        "gpu": nodes.gpu.product_label.value,
        **({} if nodes.sharing is None else {"sharing": nodes.sharing.title}),
        "inService": list(nodes.in_service),
        "standby": list(nodes.standby),
        "standbyMode": str(nodes.standby_mode),
        **rent,
        **own,
    }


def _rental(provider: str | None, region: str | None, term_months: int | None) -> dict[str, object]:
    given = {"provider": provider, "region": region, "termMonths": term_months}
    return {key: value for key, value in given.items() if value is not None}


def quote_inputs(quotes: Mapping[str, Quote]) -> dict[str, object]:
    """What the tier's component is given besides its other inputs: nothing where nothing is quoted."""
    if not quotes:
        return {}
    dumped = {
        name: quote.model_dump(mode="json", by_alias=True, exclude_none=True)
        for name, quote in quotes.items()
    }
    return {"quotes": dumped}
