"""A comparison as plain data for programs: the same figures as in the table, with units in the keys."""

from dataclasses import asdict

from tierup.compare import CheckedClaim, Comparison, Tier
from tierup.sizing import Range
from tierup.sizing.types import rounded


def summary(comparison: Comparison) -> dict[str, object]:
    """The comparison as plain data."""
    return {
        "tiers": [_tier(tier) for tier in comparison.tiers],
        "claims": [_claim(item) for item in comparison.claims],
    }


def _tier(tier: Tier) -> dict[str, object]:
    nodes, urgent = tier.plan.nodes, tier.urgent
    audience = nodes.server.audience
    return {
        "stack": tier.name,
        "audience": None if audience is None else audience.value,
        "server": nodes.server_id,
        "servers": len(nodes.in_service),
        "spares": len(nodes.standby),
        "capexUsd": tier.capex_usd.rounded(),
        "model": tier.model.name,
        "precision": str(tier.model.precision),
        "guide": tier.guide
        and {
            "users": {"low": tier.guide.users.low, "high": tier.guide.users.high},
            "latencyMs": {"low": tier.guide.latency_ms.low, "high": tier.guide.latency_ms.high},
            "answerTokens": tier.guide.answer_tokens,
        },
        "computed": {
            "thinkSeconds": tier.plan.think_seconds,
            "mostUsers": _people(tier.most_users),
            "mostRequestsAtOnce": _people(tier.most_in_flight),
            "ttftAtMostUsersMs": tier.knee.ttft_ms.rounded(),
            "givesWay": tier.capacity.limiting_factor,
            "bottleneck": str(tier.capacity.bottleneck),
            "users": tier.plan.users,
            "class": urgent.name,
            "ttftMs": urgent.ttft_ms.rounded(),
            "ttftPromisedMs": urgent.ttft_target_ms,
            "tpotMs": urgent.tpot_ms.rounded(),
            "tpotPromisedMs": urgent.tpot_target_ms,
            "e2eMs": urgent.e2e_ms.rounded(),
            "answerTokens": tier.plan.classes[urgent.name].answer_tokens,
            "basis": list(tier.capacity.sizing.basis),
            "extrapolated": tier.capacity.sizing.extrapolated,
        },
        "verdicts": tier.verdicts
        and {
            "users": str(tier.verdicts.users),
            "usersWithoutPause": str(tier.verdicts.users_without_pause),
            "firstToken": str(tier.verdicts.first_token),
            "wholeAnswer": str(tier.verdicts.whole_answer),
        },
        "curve": [
            {
                "users": rounded(point.users),
                "inFlight": rounded(point.in_flight),
                "ttftMs": point.ttft_ms.rounded(),
            }
            for point in tier.curve
        ],
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
        "setting": claim.setting.model_dump(mode="json", exclude_none=True),
        "computed": item.computed.rounded(),
        "verdict": str(item.verdict),
    }


def _people(figure: Range) -> dict[str, int]:
    """Whole users, rounded down."""
    return {key: int(value) for key, value in asdict(figure).items()}
