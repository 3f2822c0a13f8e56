"""The comparison of tiers: figures equal the plan's, and each claim is judged on both sides of its boundary."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_stack import small_plan, small_stack
from tier_plans import TIERS, plan_of

import tierup.catalog
from tierup.catalog import CatalogError, load_catalog
from tierup.catalog.claims import Figure, GuideClaim, load_claims, parse_claims
from tierup.compare import Comparison, Tier, compare
from tierup.compare.claims import check_claim
from tierup.compare.summary import summary
from tierup.compare.table import claimed_text, tier_rows
from tierup.compare.tiers import tier_of
from tierup.compare.verdict import Verdict, at_least, at_most, exactly
from tierup.plan.model import Plan
from tierup.plan.resolve import resolve
from tierup.sizing import Range, SizingInput, load_shapes, size
from tierup.stack.parse import parse

TEXT = Path(tierup.catalog.__file__).with_name("claims.yaml").read_text(encoding="utf-8")
OURS = Range(p50=100, low=80, high=125)
PROMISED = {"promptTokens": 512, "answerTokens": 200, "ttftMs": 500, "tpotMs": 50, "share": 1, "priority": 80}


def chat(users: int = 40, think: float = 20, **more: Any) -> dict[str, Any]:
    return {"users": users, "thinkSeconds": think, "classes": {"chat": PROMISED | more}}


def unchecked(**sections: Any) -> Plan:
    """A plan that preview might refuse."""
    return resolve(parse(small_stack(**sections)).config(), load_catalog())


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(map(plan_of, TIERS), load_catalog(), load_claims())


def tier(comparison: Comparison, name: str) -> Tier:
    return next(tier for tier in comparison.tiers if tier.name == name)


# Tiers


def test_tiers_are_ordered_by_price(comparison: Comparison) -> None:
    again = compare(map(plan_of, reversed(TIERS)), load_catalog(), {})
    assert [tier.name for tier in again.tiers] == [tier.name for tier in comparison.tiers]
    assert [tier.capex_usd.p50 for tier in comparison.tiers] == [15_000, 180_000, 500_000]


@pytest.mark.parametrize("name", TIERS)
def test_figures_are_those_that_the_plan_prints(comparison: Comparison, name: str) -> None:
    shown, planned = tier(comparison, name), plan_of(name).models[0].capacity
    assert planned is not None
    assert shown.most_users.p50 == pytest.approx(planned.most_users)
    assert shown.most_in_flight.p50 == planned.most_in_flight
    assert shown.urgent == next(item for item in planned.classes if item.name == "chat")


def test_the_knee_is_the_last_point_at_which_the_promise_holds() -> None:
    shown = tier_of(small_plan(workload=chat(tpotMs=1000)))
    assert shown.capacity.limiting_factor == "time to the first token of chat"
    assert shown.knee.users == pytest.approx(shown.most_users.p50)
    at = shown.curve.index(shown.knee)
    assert all(point.ttft_ms.p50 <= 500 for point in shown.curve[: at + 1])
    assert shown.curve[at + 1].ttft_ms.p50 > 500
    assert [point.users for point in shown.curve] == sorted(point.users for point in shown.curve)


def test_the_range_of_users_follows_both_ends_of_the_latency_range() -> None:
    shown = tier_of(small_plan(workload=chat(tpotMs=1000)))
    assert shown.most_users.low < shown.most_users.p50 < shown.most_users.high
    sure = [point for point in shown.curve if point.in_flight <= shown.most_in_flight.low]
    beyond = [point for point in shown.curve if point.in_flight > shown.most_in_flight.high]
    assert all(point.ttft_ms.high <= 500 for point in sure)
    assert all(point.ttft_ms.low > 500 for point in beyond)
    assert sure
    assert beyond


def test_users_without_think_time_equal_requests_in_flight() -> None:
    shown = tier_of(small_plan(workload=chat(users=8, think=0)))
    assert shown.most_users == shown.most_in_flight


def test_models_of_a_stack_share_its_users_and_the_weakest_counts() -> None:
    models = [{"id": "qwen2.5-7b", "precision": name, "name": name} for name in ("bf16", "awq")]
    shown = tier_of(small_plan(models=models, workload=chat()))
    headroom = min(model.capacity.headroom for model in shown.plan.models if model.capacity is not None)
    assert shown.most_users.p50 == pytest.approx(headroom * 40)
    assert shown.capacity.headroom == headroom


def test_a_promise_that_a_single_request_breaks_allows_no_users() -> None:
    shown = tier_of(unchecked(workload=chat(ttftMs=1)))
    assert (shown.most_users, shown.most_in_flight) == (Range(0, 0, 0), Range(0, 0, 0))
    assert shown.verdicts is not None
    assert shown.verdicts.users is Verdict.OPTIMISTIC


def test_the_guide_s_claim_is_multiplied_by_the_servers() -> None:
    two = tier_of(small_plan(nodes={"server": "standard-2x-a100-80g-pcie", "count": 2}))
    assert two.guide is not None
    assert (two.guide.users.low, two.guide.users.high) == (100, 120)
    four = compare(
        [small_plan(nodes={"server": "standard-4x-a100-80g-pcie", "count": 1})], load_catalog(), {}
    )
    assert (four.tiers[0].guide, four.tiers[0].verdicts) == (None, None)
    headings = [heading for heading, _ in tier_rows(four)]
    assert "computed: users" in headings
    assert not any(heading.startswith("guide") for heading in headings)


def test_every_server_with_a_claim_has_an_audience() -> None:
    for server in load_catalog().servers.values():
        assert (server.claim is None) == (server.audience is None)


# Verdicts


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (at_least(125, OURS), Verdict.HOLDS),
        (at_least(126, OURS), Verdict.OPTIMISTIC),
        (at_least(1, OURS), Verdict.HOLDS),
        (at_most(80, OURS), Verdict.HOLDS),
        (at_most(79, OURS), Verdict.OPTIMISTIC),
        (at_most(1000, OURS), Verdict.HOLDS),
        (exactly(70, 80, OURS), Verdict.HOLDS),
        (exactly(70, 79, OURS), Verdict.OTHER),
        (exactly(125, 130, OURS), Verdict.HOLDS),
        (exactly(126, 130, OURS), Verdict.OTHER),
    ],
)
def test_a_claim_holds_up_to_the_end_of_our_range(verdict: Verdict, expected: Verdict) -> None:
    assert verdict is expected


def test_latency_is_judged_as_first_token_and_as_whole_answer(comparison: Comparison) -> None:
    """The guide's 500 ms for 200 tokens would be 2.5 ms a token: true of the first token only."""
    verdicts = tier(comparison, "standard").verdicts
    assert verdicts is not None
    assert (verdicts.first_token, verdicts.whole_answer) == (Verdict.HOLDS, Verdict.OPTIMISTIC)


# The guide's single figures


def with_claimed_value(claim: GuideClaim, value: float) -> GuideClaim:
    return claim.model_copy(
        update={"claimed": claim.claimed.model_copy(update={"value": value, "low": None, "high": None})}
    )


@pytest.mark.parametrize("name", load_claims())
def test_a_claim_is_judged_on_both_sides_of_our_range(name: str) -> None:
    claim, catalog = load_claims()[name], load_catalog()
    ours = check_claim(name, claim, catalog).computed
    assert 0 < ours.low <= ours.p50 <= ours.high
    lowest, highest = (
        check_claim(name, with_claimed_value(claim, end), catalog).verdict for end in (ours.low, ours.high)
    )
    assert (lowest, highest) == (Verdict.HOLDS, Verdict.HOLDS)
    below, above = (
        check_claim(name, with_claimed_value(claim, end), catalog).verdict
        for end in (ours.low * 0.99, ours.high * 1.01)
    )
    expected = {
        Figure.WEIGHTS: (Verdict.OTHER, Verdict.OTHER),
        Figure.FIRST_TOKEN: (Verdict.OPTIMISTIC, Verdict.HOLDS),
    }
    assert (below, above) == expected.get(claim.figure, (Verdict.HOLDS, Verdict.OPTIMISTIC))


def test_weights_per_card_are_those_of_the_files_divided_by_the_cards(comparison: Comparison) -> None:
    """4.19 bits a linear weight and two bytes for each of embedding and head: 5.57 GB, not twice 2.3 or 3.5."""
    computed = {item.id: item.computed.p50 for item in comparison.claims}
    assert computed["entry-gptq-int4-weights"] == pytest.approx(5.57 / 2, rel=0.01)
    assert computed["standard-awq-weights"] == computed["entry-gptq-int4-weights"]
    assert computed["premium-fp8-weights"] == pytest.approx(8.7 / 4, rel=0.01)


def test_requests_in_flight_are_the_most_with_the_first_token_in_time(comparison: Comparison) -> None:
    item = next(item for item in comparison.claims if item.id == "standard-awq-in-flight")
    where = item.claim.setting
    ask = SizingInput(
        model=load_shapes()[where.model],
        gpu_id=where.gpu,
        gpu=load_catalog().gpus[where.gpu],
        precision=where.precision,
        answer=where.answer,
    )

    def wait(requests: float) -> Range:
        figure = size(replace(ask, concurrency=requests)).ttft_ms
        assert figure is not None
        return figure

    assert wait(item.computed.p50).p50 <= 500 < wait(item.computed.p50 + 0.1).p50
    assert wait(item.computed.low).high <= 500 < wait(item.computed.low + 0.1).high


def test_a_claim_is_shown_as_in_the_guide() -> None:
    claims = load_claims()
    assert claimed_text(claims["entry-gptq-int4-rate"]) == "90-110"
    assert claimed_text(claims["entry-gptq-int4-weights"]) == "2.3 GB"
    assert claimed_text(claims["standard-pipeline-batch"]) == "3.8x"
    assert claimed_text(claims["standard-awq-rate"]) == "120"


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("figure: weights\n", "figure: wights\n", "entry-gptq-int4-weights.figure: Input should be"),
        (
            ", latency_ms: 800",
            "",
            "entry-gptq-int4-in-flight: figure in_flight needs setting.latency_ms",
        ),
        ("tensor: 2, prompt", "tensors: 2, prompt", "entry-gptq-int4-weights.setting.tensors: unknown key"),
        (
            "value: 120, source: guide",
            "value: 120",
            "standard-awq-rate.claimed.source: the source is missing",
        ),
        (
            "in_flight: 64, base_in_flight: 16",
            "in_flight: 64",
            "standard-pipeline-batch: figure speedup needs setting.base_in_flight",
        ),
    ],
)
def test_a_mistake_in_the_claims_is_reported_with_its_path(old: str, new: str, where: str) -> None:
    assert old in TEXT
    with pytest.raises(CatalogError) as caught:
        parse_claims(TEXT.replace(old, new, 1))
    assert any(problem.startswith(f"claims.yaml: {where}") for problem in caught.value.problems)


def test_the_json_has_the_same_figures(comparison: Comparison) -> None:
    read: Any = summary(comparison)
    for shown, row in zip(comparison.tiers, read["tiers"], strict=True):
        assert row["computed"]["mostUsers"]["p50"] == int(shown.most_users.p50)
        assert row["computed"]["ttftMs"]["high"] == pytest.approx(shown.urgent.ttft_ms.high, rel=1e-3)
        assert row["capexUsd"]["p50"] == shown.capex_usd.p50
        assert row["guide"]["users"]["high"] in (40, 60, 100)
    assert [row["verdict"] for row in read["claims"]] == [str(item.verdict) for item in comparison.claims]
