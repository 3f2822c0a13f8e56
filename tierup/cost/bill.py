"""Decides what of a plan is to be priced: its servers, the volumes and load balancers that it asks a cluster for."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tierup.catalog.prices import load_prices
from tierup.cost.types import Bill, Price, Volume
from tierup.manifests import render
from tierup.plan import Plan
from tierup.sections import Cost

Manifest = Mapping[str, Any]


def bill_of(plan: Plan) -> Bill:
    """Everything in the plan that costs; `models` by their served names."""
    objects = render(plan)
    return replace(
        hardware_of(plan),
        volumes=volumes(objects),
        load_balancers=load_balancers(objects),
        models={model.name: model.replicas * model.gpus for model in plan.models},
    )


def hardware_of(plan: Plan) -> Bill:
    """The servers alone."""
    return Bill(
        server=plan.nodes.server_id,
        in_service=len(plan.nodes.in_service),
        standby=len(plan.nodes.standby),
        standby_mode=plan.nodes.standby_mode,
        quotes=quotes_of(plan.config.cost),
    )


def quotes_of(said: Cost) -> dict[str, Price]:
    """A stack's own prices by id; those of an id that nobody knows are left out."""
    prices, quotes = load_prices(), said.quotes if said.quotes is not None else {}
    return {
        name: Price(name, quote.value, prices.unit(name), quote.source, quote.as_of, "high", quoted=True)
        for name, quote in quotes.items()
        if prices.knows(name)
    }


def volumes(objects: Iterable[Manifest]) -> tuple[Volume, ...]:
    """Claims on storage classes; one on a server's own disk was bought with the server."""
    known = list(objects)
    local = {
        item["metadata"]["name"]
        for item in known
        if item["kind"] == "PersistentVolume" and "local" in item.get("spec", {})
    }
    claims = [
        item
        for item in known
        if item["kind"] == "PersistentVolumeClaim" and item["spec"].get("volumeName") not in local
    ]
    return tuple(
        Volume(item["metadata"]["name"], gib_of(_storage(item)), item["spec"].get("storageClassName"))
        for item in claims
    )


def claimed_gib(objects: Iterable[Manifest]) -> int:
    """All that is claimed, on servers' own disks too."""
    return sum(gib_of(_storage(item)) for item in objects if item["kind"] == "PersistentVolumeClaim")


def load_balancers(objects: Iterable[Manifest]) -> int:
    """Services that a load balancer is made for."""
    return sum(
        item["kind"] == "Service" and item.get("spec", {}).get("type") == "LoadBalancer" for item in objects
    )


def _storage(claim: Manifest) -> str:
    return str(claim["spec"]["resources"]["requests"]["storage"])


_UNITS: dict[str, int] = {f"{sign}i": 1024**power for power, sign in enumerate("KMGTPE", start=1)}
_UNITS |= {sign: 1000**power for power, sign in enumerate(("", "k", "M", "G", "T", "P", "E"))}


def gib_of(quantity: str) -> int:
    """Whole GiB of a Kubernetes quantity such as 20Gi, 1.5Ti or 1000000000, rounded up; ValueError where it is none."""
    parts = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMGTPE]i|[kMGTPE]?)", quantity)
    if parts is None:
        raise ValueError(f"not a quantity of bytes: {quantity}")
    return math.ceil(Decimal(parts[1]) * _UNITS[parts[2]] / 1024**3)
