"""The bill of Pulumi's resources: servers by our component, the rest by Kubernetes kinds, or not at all.

The bill of a preview equals `bill_of(plan)` of the same stack file. Of a program that is not ours, all that
cannot be priced is named in `unknown`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tierup.catalog import Server
from tierup.cost.bill.kubernetes import Objects, by_name, label, name_of
from tierup.cost.bill.of_plan import quotes_of
from tierup.cost.bill.quotes import from_props
from tierup.cost.types import Bill, Volume
from tierup.plan.model import Rental
from tierup.resources.kinds import MODEL, NODES, TIER
from tierup.resources.model import Resource
from tierup.resources.reading import Tree, Unreadable, checked_mapping, checked_text, whole_number
from tierup.stack.sections import Quote, StandbyMode

_NONE = Bill(None, 0, 0, StandbyMode.NONE)


def bill_of_resources(resources: Iterable[Resource]) -> Bill:
    """What one side of a plan holds, ready to be priced; raises nothing, whatever the resources are."""
    items = {item.urn: item for item in resources}
    objects = Objects(items.values())
    servers = _NONE
    volumes: list[Volume] = []
    balancers, unknown = 0, []
    models: Counter[str] = Counter()
    quotes: dict[str, Quote] = {}
    for item in items.values():
        try:
            if item.type == NODES:
                servers = _add_servers(servers, item)
            elif item.type == TIER:
                quotes |= from_props(item.inputs)
            elif item.custom and not item.type.startswith(
                "pulumi:"
            ):  # components and Pulumi's own bookkeeping
                cost = objects.cost(item)
                volumes.extend(cost.volumes)
                balancers += cost.load_balancers
                if cost.gpus:
                    models[_model(item, items)] += cost.gpus
        except Unreadable:
            unknown.append(label(item))
    return replace(
        servers,
        volumes=by_name(volumes),
        load_balancers=balancers,
        models=dict(models),
        quotes=quotes_of(quotes, servers.own),
        unknown=tuple(sorted(unknown)),
    )


def _add_servers(servers: Bill, nodes: Resource) -> Bill:
    """The servers, and those of one more component: a bill has one kind, owned or rented. Raises `Unreadable`."""
    inputs = nodes.inputs
    server, in_service, standby = (
        checked_text(inputs, "server"),
        inputs.get("inService"),
        inputs.get("standby"),
    )
    try:
        mode = StandbyMode(str(inputs.get("standbyMode")))
    except ValueError:
        raise Unreadable("standbyMode") from None
    if server is None or not (isinstance(in_service, list) and isinstance(standby, list)):
        raise Unreadable("servers")
    more = Bill(server, len(in_service), len(standby), mode, rental=_rental(inputs), own=_own(server, inputs))
    if servers == _NONE:
        return more
    if (servers.server, servers.standby_mode, servers.rental) != (server, mode, more.rental):
        raise Unreadable("another kind of server")
    return replace(
        more, in_service=servers.in_service + more.in_service, standby=servers.standby + more.standby
    )


def _own(name: str, inputs: Tree) -> dict[str, Server]:
    """The server, if the stack brings it itself. Raises `Unreadable`."""
    if inputs.get("ownServer") is None:
        return {}
    try:  # through JSON: only there a strict model takes a date that is written as text
        return {name: Server.model_validate_json(json.dumps(inputs["ownServer"]))}
    except ValueError as error:
        raise Unreadable("ownServer") from error


def _rental(inputs: Tree) -> Rental | None:
    """The offer at which servers are rented; None where they are owned. Raises `Unreadable`."""
    if inputs.get("rental") is None:
        return None
    stated = checked_mapping(inputs, "rental")
    term = stated.get("termMonths")
    return Rental(
        checked_text(stated, "provider"),
        checked_text(stated, "region"),
        None if term is None else whole_number(term),
    )


def _model(workload: Resource, items: Mapping[str, Resource]) -> str:
    """The name under which the workload's model is served, or the workload's own name where it belongs to no model."""
    parent = items.get(workload.parent) if workload.parent is not None else None
    if parent is None or parent.type != MODEL:
        return name_of(workload)
    return str(parent.inputs.get("name", parent.name))
