"""The bill of a plan of ours: its servers, the volumes and load balancers that it asks a cluster for."""

from collections.abc import Mapping
from dataclasses import replace

from tierup.catalog import Server
from tierup.catalog.price import Price
from tierup.catalog.prices import load_prices
from tierup.cost.bill.kubernetes import Objects, by_name, claimed, label
from tierup.cost.types import Bill
from tierup.manifests import render
from tierup.plan.model import Plan
from tierup.plan.own_hardware import own_servers
from tierup.resources.model import resource_of
from tierup.resources.reading import Unreadable
from tierup.stack.sections import Quote


def bill_of(plan: Plan, servers_only: bool = False) -> Bill:
    """Everything in the plan that costs, or its servers alone; `models` by their served names."""
    if servers_only:
        return _servers(plan)
    resources = list(map(resource_of, render(plan)))
    objects, costs, unknown = Objects(resources), [], []
    for item in resources:
        try:
            costs.append(objects.cost(item))
        except Unreadable:  # an Ingress of a class that is not known
            unknown.append(label(item))
    return replace(
        _servers(plan),
        volumes=by_name(volume for cost in costs for volume in cost.volumes),
        load_balancers=sum(cost.load_balancers for cost in costs),
        models={model.name: model.replicas * model.gpus for model in plan.models},
        unknown=tuple(sorted(unknown)),
    )


def _servers(plan: Plan) -> Bill:
    own = own_servers(plan.nodes)
    return Bill(
        server=plan.nodes.server_id,
        in_service=len(plan.nodes.in_service),
        standby=len(plan.nodes.standby),
        standby_mode=plan.nodes.standby_mode,
        quotes=quotes_of(plan.quotes, own),
        rental=plan.nodes.rental,
        own=own,
    )


def quotes_of(quotes: Mapping[str, Quote], own: Mapping[str, Server]) -> dict[str, Price]:
    """A stack's own prices by id; those of an unknown id are left out. `own` are the servers that it brings itself."""
    prices = load_prices().with_own(own)
    return {
        name: Price(name, quote.value, prices.unit(name), quote.source, quote.as_of, "high", quoted=True)
        for name, quote in quotes.items()
        if prices.can_quote(name)
    }


def claimed_gib(plan: Plan) -> int:
    """All that the plan claims, on servers' own disks too."""
    return sum(map(claimed, map(resource_of, render(plan))))
