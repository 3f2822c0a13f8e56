"""The bill of Pulumi's resources: servers by our component, the rest by Kubernetes kinds, or not at all.

The bill of a preview equals `bill_of(plan)` of the same stack file. Of a program that is not ours, all that
cannot be priced is named in `unknown`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from tierup.catalog.price import Price
from tierup.cost.bill.kubernetes import Objects, by_name, name_of
from tierup.cost.bill.quotes import from_props
from tierup.cost.types import Bill, Volume
from tierup.resources.model import Resource
from tierup.resources.reading import Unreadable, checked_text
from tierup.stack.sections import StandbyMode

TIER, NODES, MODEL = "tierup:index:InferenceTier", "tierup:nodes:GpuNodes", "tierup:model:ModelServer"
_Servers = tuple[str | None, int, int, StandbyMode]
_NONE: _Servers = (None, 0, 0, StandbyMode.NONE)


def bill_of_resources(resources: Iterable[Resource]) -> Bill:
    """What one side of a plan holds, ready to be priced; raises nothing, whatever the resources are."""
    items = {item.urn: item for item in resources}
    objects = Objects(items.values())
    servers = _NONE
    volumes: list[Volume] = []
    balancers, unknown = 0, []
    models: Counter[str] = Counter()
    quotes: dict[str, Price] = {}
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
    return Bill(*servers, by_name(volumes), balancers, dict(models), quotes, tuple(sorted(unknown)))


def label(item: Resource) -> str:
    """How a bill names what it cannot price."""
    return f"{item.type} {item.name}"


def _add_servers(servers: _Servers, nodes: Resource) -> _Servers:
    """The servers, and those of one more component: a bill has one kind. Raises `Unreadable`."""
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
    known_server, serving, spare, known_mode = servers
    if servers != _NONE and (known_server, known_mode) != (server, mode):
        raise Unreadable("another kind of server")
    return server, serving + len(in_service), spare + len(standby), mode


def _model(workload: Resource, items: Mapping[str, Resource]) -> str:
    """The name under which the workload's model is served, or the workload's own name where it belongs to no model."""
    parent = items.get(workload.parent) if workload.parent is not None else None
    if parent is None or parent.type != MODEL:
        return name_of(workload)
    return str(parent.inputs.get("name", parent.name))
