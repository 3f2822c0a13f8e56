"""Resolves the nodes section: how many GPU servers, how many spares, and their names."""

import datetime
from dataclasses import dataclass

from tierup.catalog import Catalog
from tierup.plan.chooser import Chooser
from tierup.plan.model import NodePlan, Rental
from tierup.plan.models import slug_of
from tierup.plan.sharing import share_of
from tierup.stack.parse import TierConfig
from tierup.stack.sections import Cost, Nodes, Provider, Rent, Standby, StandbyMode, Tenure


@dataclass(frozen=True, slots=True)
class ServerCounts:
    """How many servers and spares a stack has, and the mode of its spares."""

    in_service: int
    spares: int
    standby_mode: StandbyMode


def server_counts(section: Nodes, choose: Chooser) -> ServerCounts:
    """The server counts of the section `nodes`, with defaults for missing values."""
    standby = section.standby if section.standby is not None else Standby()
    count = choose.pick("nodes.count", section.count, 1, "the hardware of a tier is one server")
    mode = choose.pick(
        "nodes.standby.mode", standby.mode, StandbyMode.NONE, "a spare costs money, so it is opt-in"
    )
    default_spares, why = (
        (0, "no standby") if mode is StandbyMode.NONE else (1, "covers the loss of one server")
    )
    spares = choose.pick("nodes.standby.count", standby.count, default_spares, why)
    return ServerCounts(count, spares, mode)


def resolve_nodes(config: TierConfig, catalog: Catalog, choose: Chooser) -> NodePlan:
    """The servers by name: those in service first, then the spares."""
    section, server = config.nodes, catalog.servers[config.nodes.server]
    counts = server_counts(section, choose)
    total = counts.in_service + counts.spares
    names = section.names
    if names is None:
        names = [f"{slug_of(config.stack)}-gpu-{number}" for number in range(1, total + 1)]
        choose.note(
            "nodes.names",
            ", ".join(names),
            "the stack's name and a number; set it to adopt nodes with other names",
        )
    why_existing = "adopts existing nodes and owns none"
    rental = _rental(section, choose)
    gpu, sharing = share_of(section.sharing, catalog.gpus[server.gpu], config.cluster.gpu_resource)
    return NodePlan(
        provider=choose.pick("nodes.provider", section.provider, Provider.EXISTING, why_existing),
        server_id=section.server,
        server=server,
        gpu=gpu,
        in_service=tuple(names[: counts.in_service]),
        standby=tuple(names[counts.in_service : total]),
        standby_mode=counts.standby_mode,
        rental=rental,
        purchased=None if rental is not None else _purchased(section, config.cost, choose),
        sharing=sharing,
    )


def _rental(section: Nodes, choose: Chooser) -> Rental | None:
    """The offer at which the servers are rented; None where they are owned."""
    tenure = choose.pick(
        "nodes.tenure", section.tenure, Tenure.OWNED, "servers are bought unless the stack file rents them"
    )
    if tenure is Tenure.OWNED:
        return None
    rent = section.rent if section.rent is not None else Rent()
    for key, value, default, why in (
        ("provider", rent.provider, "any", "the cheapest offer of the same GPUs"),
        ("region", rent.region, "any", "the cheapest offer of the same GPUs"),
        ("termMonths", rent.term_months, "none", "on demand, without commitment"),
    ):
        if value is None:
            choose.note(f"nodes.rent.{key}", default, why)
    return Rental(rent.provider, rent.region, rent.term_months)


def _purchased(section: Nodes, cost: Cost, choose: Chooser) -> datetime.date | None:
    """The day on which the servers were bought: as stated, else that of their own quote, else unknown."""
    quote = (cost.quotes if cost.quotes is not None else {}).get(section.server)
    if section.purchased is None and quote is None:
        choose.note(
            "nodes.purchased", "unknown", "no month of a FOCUS export bills a purchase without a date"
        )
        return None
    default = quote.as_of if quote is not None else None
    return choose.pick("nodes.purchased", section.purchased, default, "the date of the quote of its price")
