"""The figures of a plan as plain data for `--json`, with units in the keys."""

from dataclasses import asdict
from typing import Any

from tierup.plan.model import CurrencyPlan, ModelCapacity, Plan, Rental
from tierup.plan.read_timeout import covered_tokens


def summary(tier: Plan) -> dict[str, Any]:
    """The plan as plain data: defaults, nodes, models, and their predicted capacity and latency."""
    nodes = tier.nodes
    return {
        "stack": tier.stack,
        "namespace": tier.namespace,
        "users": tier.users,
        "nodes": {
            "server": nodes.server_id,
            "gpu": nodes.gpu.product_label.value,
            **({} if nodes.sharing is None else {"sharing": nodes.sharing.title}),
            "inService": list(nodes.in_service),
            "standby": list(nodes.standby),
            "standbyMode": str(nodes.standby_mode),
            "tenure": str(nodes.tenure),
            "rental": None if nodes.rental is None else _rental(nodes.rental),
            "purchased": None if nodes.purchased is None else nodes.purchased.isoformat(),
        },
        "currency": _currency(tier.currency),
        "models": [
            {
                "name": model.name,
                "precision": str(model.precision),
                "gpusPerReplica": model.gpus,
                "replicas": model.replicas,
                "maxReplicas": model.max_replicas,
                "slots": model.slots,
                "context": model.context,
                "longestUnstreamedAnswer": min(model.context, covered_tokens(tier, model)),
                "toolCallParser": model.settings.tool_call_parser,
                "reasoningParser": model.settings.reasoning_parser,
                "adapters": [
                    {"name": item.name, "repo": item.repo, "revision": item.revision, "rank": item.rank}
                    for item in model.settings.adapters
                ],
                "requests": {
                    "share": round(model.traffic.share, 4),
                    "why": model.traffic.why,
                    "classes": {name: round(item.share, 4) for name, item in model.traffic.classes.items()},
                },
                "capacity": None if model.capacity is None else _capacity(model.capacity),
            }
            for model in tier.models
        ],
        "gpus": {"used": tier.gpus_used, "inService": nodes.gpus_in_service},
        "defaults": [asdict(default) for default in tier.defaults],
    }


def _rental(rental: Rental) -> dict[str, object]:
    return {"provider": rental.provider, "region": rental.region, "termMonths": rental.term_months}


def _currency(currency: CurrencyPlan) -> dict[str, object]:
    return {
        "code": currency.code,
        "perUsd": str(currency.per_usd),
        "source": currency.source,
        "asOf": None if currency.as_of is None else currency.as_of.isoformat(),
    }


def _capacity(capacity: ModelCapacity) -> dict[str, object]:
    room = capacity.memory
    return {
        "users": round(capacity.users, 1),
        "inFlight": round(capacity.in_flight, 1),
        "headroom": round(capacity.headroom, 2) if capacity.users else None,
        "mostUsers": int(capacity.most_users),
        "givesWay": capacity.limiting_factor,
        "bottleneck": str(capacity.bottleneck),
        "toHoldMore": capacity.remedy,
        "classes": {
            item.name: {
                "ttftMs": item.ttft_ms.rounded(),
                "ttftPromisedMs": item.ttft_target_ms,
                "tpotMs": item.tpot_ms.rounded(),
                "tpotPromisedMs": item.tpot_target_ms,
                "e2eMs": item.e2e_ms.rounded(),
                "sharedPrefix": item.shared_prefix,
            }
            for item in capacity.classes
        },
        "ttftAllAtOnceMs": None if capacity.burst.ttft_ms is None else capacity.burst.ttft_ms.rounded(),
        "gpuMemoryGib": {
            "visible": round(room.visible, 2),
            "weights": round(room.weights, 2),
            "engine": round(room.overhead, 2),
            "adapters": round(room.adapters, 3),
            "kvCache": round(room.kv, 2),
        },
        "kvTokens": room.kv_tokens,
        "kvTokensLow": room.kv_tokens_low,
        "kvTokensHigh": room.kv_tokens_high,
        "fullLengthSequences": room.max_concurrent_sequences,
        "largestContext": room.max_context,
        "basis": list(capacity.sizing.basis),
        "extrapolated": capacity.sizing.extrapolated,
    }
