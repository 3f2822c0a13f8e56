"""A comparison as plain data for programs; docs/compare-json.md documents the keys."""

from dataclasses import asdict
from typing import Any

from pydantic.alias_generators import to_camel

from tierup.compare import CheckedClaim, Comparison, Tier, TierModel
from tierup.sizing import Range
from tierup.sizing.types import rounded

VERSION = 1  # of the shape: keys may be added, none is renamed or changes its meaning


def summary(comparison: Comparison) -> dict[str, object]:
    """The comparison as plain data."""
    return {
        "version": VERSION,
        "tiers": [_tier(tier) for tier in comparison.tiers],
        "claims": [_claim(item) for item in comparison.claims],
        "skipped": [asdict(item) for item in comparison.skipped],
    }


def _tier(tier: Tier) -> dict[str, object]:
    """One tier. Its figures beside `models` are those of the model that reaches its limit first."""
    plan, nodes, weakest = tier.plan, tier.plan.nodes, tier.weakest
    audience, guide = nodes.server.audience, weakest.guide
    return {
        "stack": tier.name,
        "audience": None if audience is None else audience.value,
        "server": nodes.server_id,
        "servers": len(nodes.in_service),
        "spares": len(nodes.standby),
        "capexUsd": weakest.capex_usd.rounded(),
        "inputs": {
            "users": plan.users,
            "thinkSeconds": plan.think_seconds,
            "classes": {
                name: item.model_dump(by_alias=True, exclude={"match"}) for name, item in plan.classes.items()
            },
        },
        "guide": guide
        and {
            "users": {"low": guide.users.low, "high": guide.users.high},
            "latencyMs": {"low": guide.latency_ms.low, "high": guide.latency_ms.high},
            "answerTokens": guide.answer_tokens,
        },
        **_model(weakest),
        "models": [_model(item) for item in tier.models],
    }


def _model(item: TierModel) -> dict[str, Any]:
    model, verdicts = item.model, item.verdicts
    return {
        "model": model.name,
        "precision": str(model.precision),
        "requestShare": rounded(model.traffic.share),
        "replicas": model.replicas,
        "gpusPerReplica": model.gpus,
        "slots": model.slots,
        "computed": _computed(item),
        "verdicts": verdicts
        and {
            "users": str(verdicts.users),
            "usersWithoutPause": str(verdicts.users_without_pause),
            "firstToken": str(verdicts.first_token),
            "wholeAnswer": None if verdicts.whole_answer is None else str(verdicts.whole_answer),
        },
        "curve": [
            {
                "users": rounded(point.users),
                "inFlight": rounded(point.in_flight),
                "ttftMs": point.ttft_ms.rounded(),
            }
            for point in item.curve
        ],
    }


def _computed(item: TierModel) -> dict[str, object]:
    plan, capacity, urgent = item.plan, item.capacity, item.urgent
    return {
        "thinkSeconds": plan.think_seconds,
        "mostUsers": _people(item.most_users),
        "mostRequestsAtOnce": _people(item.most_in_flight),
        "ttftAtMostUsersMs": item.knee.ttft_ms.rounded(),
        "givesWay": capacity.limiting_factor,
        "bottleneck": str(capacity.bottleneck),
        "toHoldMore": capacity.remedy,
        "users": plan.users,
        "class": urgent.name,
        "ttftMs": urgent.ttft_ms.rounded(),
        "ttftPromisedMs": urgent.ttft_target_ms,
        "tpotMs": urgent.tpot_ms.rounded(),
        "tpotPromisedMs": urgent.tpot_target_ms,
        "e2eMs": urgent.e2e_ms.rounded(),
        "answerTokens": plan.classes[urgent.name].answer_tokens,
        "basis": list(capacity.sizing.basis),
        "extrapolated": capacity.sizing.extrapolated,
    }


def _claim(item: CheckedClaim) -> dict[str, object]:
    claim = item.claim
    return {
        "id": item.id,
        "what": claim.what,
        "reading": claim.reading,
        "figure": str(claim.figure),
        "said": {"value": claim.claimed.value, "low": claim.claimed.low, "high": claim.claimed.high},
        "source": claim.claimed.source.title,
        "setting": {
            to_camel(key): value
            for key, value in claim.setting.model_dump(mode="json", exclude_none=True).items()
        },
        "computed": item.computed.rounded(),
        "verdict": str(item.verdict),
    }


def _people(figure: Range) -> dict[str, int]:
    """Whole users, rounded down."""
    return {key: int(value) for key, value in asdict(figure).items()}
