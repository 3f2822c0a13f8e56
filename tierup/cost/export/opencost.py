"""The custom prices with which OpenCost counts at run time what the preview shows.

OpenCost multiplies: cores x CPU + GiB of memory x RAM + GPUs x GPU for each node of the cluster, GiB x storage for
each volume, and one forwarding rule for each load balancer. Everything but volumes and load balancers goes on the
GPUs: a node is bought for them, so a model pays for the GPUs that its pods hold, as in the preview, and what no pod
holds is idle. Nodes that OpenCost cannot see (powered-off spares) are paid by those that it can.
"""

import json
from decimal import Decimal

from tierup.cost.bill.of_plan import claimed_gib
from tierup.cost.types import TierCost
from tierup.plan.model import DOLLARS, CurrencyPlan, Plan

_PLACES = Decimal("1e-12")  # of the currency; OpenCost reads 64-bit floats, of 15 to 17 digits
_ZERO = "0"
GPU_LABEL = "nvidia.com/gpu.present"  # of GPU feature discovery, which a tier's nodes have
LOAD_BALANCER = "load-balancer"  # the price's id


def custom_pricing(
    cost: TierCost, stack: str, gpus: int, gib: int, currency: CurrencyPlan = DOLLARS
) -> dict[str, str]:
    """OpenCost's custom pricing: cost per hour of one core, GiB of memory, GPU, GiB of storage, forwarding rule.

    `gpus` are those of all nodes in the cluster, `gib` the size of all its volumes, those on servers' own disks too.

    Raises:
        ValueError: if there is a cost and nothing in the cluster to put it on.
    """
    balancers = [line for line in cost.lines if LOAD_BALANCER in line.prices]
    balanced = sum((line.usd_per_hour for line in balancers if line.usd_per_hour is not None), Decimal(0))
    stored, rate = cost.hourly(component="storage"), currency.per_usd
    rest = cost.usd_per_hour - stored - balanced
    rules = sum((line.quantity for line in balancers), Decimal(0))
    missing = f"; not priced: {', '.join(cost.unpriced)}" if cost.unpriced else ""
    return {
        "provider": "custom",
        "description": f"tier {stack}, prices of its cost preview{missing}",
        "customPricesEnabled": "true",
        "currencyCode": currency.code,
        # With CPU and memory at 0 a GPU's price is the node's whole: OpenCost splits only a node without these.
        "CPU": _ZERO,
        "spotCPU": _ZERO,
        "RAM": _ZERO,
        "spotRAM": _ZERO,
        "GPU": (gpu := _each(rest * rate, Decimal(gpus), "GPUs")),
        "spotGPU": gpu,
        # Releases before OpenCost's pull request 3830 (June 2026) price GPUs only on nodes with the label named here.
        "gpuLabel": GPU_LABEL,
        "gpuLabelValue": "true",
        "storage": _each(stored * rate, Decimal(gib), "GiB of volumes"),
        "firstFiveForwardingRulesCost": _each(balanced * rate, rules, "load balancers"),
        # OpenCost refuses to start counting without these; the preview prices no traffic.
        "additionalForwardingRuleCost": _ZERO,
        "LBIngressDataCost": _ZERO,
        "zoneNetworkEgress": _ZERO,
        "regionNetworkEgress": _ZERO,
        "internetNetworkEgress": _ZERO,
        "natGatewayEgress": _ZERO,
        "natGatewayIngress": _ZERO,
    }


def opencost_document(cost: TierCost, plan: Plan) -> str:
    """The prices of a plan as OpenCost's file default.json.

    Raises:
        ValueError: as `custom_pricing`.
    """
    pricing = custom_pricing(cost, plan.stack, plan.nodes.gpus_schedulable, claimed_gib(plan), plan.currency)
    return json.dumps(pricing, indent=2) + "\n"


def _each(amount: Decimal, count: Decimal, what: str) -> str:
    if not amount:
        return _ZERO
    if not count:
        raise ValueError(f"{amount:.4f} per hour and no {what} in the cluster to put it on")
    return f"{(amount / count).quantize(_PLACES).normalize():f}"
