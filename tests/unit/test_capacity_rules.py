"""Every rule about latency and capacity, on both sides of its boundary.

The boundaries move with the calibration, so each is found by search, and its figure is checked on both sides.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, ParamSpec

import pytest
from searched_codes import SEARCHED
from small_stack import MODEL, small_stack

from tierup.catalog import Catalog, load_catalog
from tierup.findings.explanations import EXPLAINED
from tierup.findings.model import Code, Finding, Severity, open_warnings
from tierup.plan.capacity import sizing_input
from tierup.plan.load import require
from tierup.plan.model import ModelCapacity, Plan
from tierup.plan.read_timeout import covered_tokens, slowest_token_seconds
from tierup.plan.resolve import resolve
from tierup.rules.preflight import check, examine
from tierup.rules.server import BUSY_NETWORK, PROMPT_BYTES, STREAM_BYTES
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import memory
from tierup.stack.parse import parse

TWO, ENTRY, PREMIUM = "standard-2x-a100-80g-pcie", "entry-2x-rtx-4090", "premium-4x-h100-80g-sxm"
P = ParamSpec("P")
WARM = {"mode": "warm", "count": 1}
SHARED = {"modelStorageClass": "nfs"}


def plan_of(catalog: Catalog | None = None, **sections: Any) -> Plan:
    parsed = parse(small_stack(**sections))
    return resolve(parsed.config(), catalog if catalog is not None else load_catalog())


REPORTS: set[str] = set()  # every code that a test of this module has to see reported
_reported: set[str] = set()


def reports(*codes: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Marks a test in which each of these codes is reported, and fails it if one is not."""
    REPORTS.update(codes)

    def decorate(test: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(test)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            _reported.clear()
            test(*args, **kwargs)
            assert set(codes) <= _reported

        return run

    return decorate


def findings_of(plan: Plan, code: str) -> list[Finding]:
    """The findings with this code, whose severities must be explained ones."""
    matching = [finding for finding in check(plan) if finding.code is Code[code]]
    assert {finding.severity for finding in matching} <= set(EXPLAINED[Code[code]].severities)
    _reported.update(finding.code.name for finding in matching)
    return matching


def first(plan: Plan) -> ModelCapacity:
    capacity = plan.models[0].capacity
    assert capacity is not None
    return capacity


def boundary(code: str, make: Callable[[int], Plan], low: int, high: int) -> tuple[Plan, Plan]:
    """The last plan without the finding and the first with it, as the number grows (or falls) from low to high."""
    assert not findings_of(make(low), code), f"{code} at {low}"
    assert findings_of(make(high), code), f"no {code} at {high}"
    while abs(high - low) > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if findings_of(make(middle), code) else (middle, high)
    return make(low), make(high)


def users(count: int, **more: Any) -> dict[str, Any]:
    return {"workload": {"users": count, **more}}


def one_class(**more: Any) -> dict[str, Any]:
    chat = {"promptTokens": 512, "answerTokens": 200, "ttftMs": 500, "tpotMs": 50, "share": 1, "priority": 80}
    return {"chat": chat | more}


def severity(plan: Plan, code: str) -> Severity:
    return max((f.severity for f in findings_of(plan, code)), key=["note", "warning", "error"].index)


@reports("SLOW_FIRST_TOKEN")
def test_a_first_token_that_may_be_late_is_noted_then_warned_of_then_refused() -> None:
    def make(promised: int) -> Plan:
        return plan_of(workload={"users": 40, "classes": one_class(ttftMs=promised)})

    kept, noted = boundary("SLOW_FIRST_TOKEN", make, 100_000, 1)
    assert first(kept).classes[0].ttft_ms.high <= first(kept).classes[0].ttft_target_ms
    assert first(noted).classes[0].ttft_ms.high > first(noted).classes[0].ttft_target_ms
    figure = first(noted).classes[0].ttft_ms
    assert severity(noted, "SLOW_FIRST_TOKEN") is Severity.NOTE
    assert severity(make(int(figure.p50)), "SLOW_FIRST_TOKEN") is Severity.WARNING
    assert severity(make(int(figure.low)), "SLOW_FIRST_TOKEN") is Severity.ERROR


@reports("SLOW_TOKENS")
def test_slow_tokens_are_noted_then_warned_of_then_refused() -> None:
    def make(promised: float) -> Plan:
        return plan_of(workload={"users": 40, "classes": one_class(tpotMs=promised)}, models=[SLOTS])

    figure = first(make(1000)).classes[0].tpot_ms
    assert not findings_of(make(figure.high + 0.01), "SLOW_TOKENS")
    for promised, expected in (
        (figure.high - 0.01, Severity.NOTE),
        (figure.p50 - 0.01, Severity.WARNING),
        (figure.low - 0.01, Severity.ERROR),
    ):
        assert severity(make(promised), "SLOW_TOKENS") is expected


def test_the_message_of_too_many_users_has_the_numbers() -> None:
    (finding,) = findings_of(plan_of(workload={"users": 900, "classes": one_class()}), "SLOW_FIRST_TOKEN")
    assert "qwen2.5-7b cannot keep it with 900 requests" in finding.problem
    assert finding.got == "500 ms"


@reports("LITTLE_HEADROOM")
def test_users_near_the_limit_are_warned_of_until_they_are_too_many() -> None:
    def make(count: int) -> Plan:
        return plan_of(workload={"users": count, "classes": one_class(ttftMs=1000)}, models=[SLOTS])

    free, tight = boundary("LITTLE_HEADROOM", make, 1, int(first(make(1)).most_users))
    assert first(free).headroom >= 1.2 > first(tight).headroom >= 1
    (finding,) = findings_of(tight, "LITTLE_HEADROOM")
    assert f"holds {int(first(tight).most_users)}" in finding.problem


SLOTS = MODEL | {"maxNumSeqs": 128}


def test_headroom_ends_where_a_promise_breaks() -> None:
    plan = plan_of(workload={"users": 10, "classes": one_class(ttftMs=750)}, models=[SLOTS])
    most = int(first(plan).most_users)
    at = plan_of(workload={"users": most, "classes": one_class(ttftMs=750)}, models=[SLOTS])
    beyond = plan_of(workload={"users": most + 1, "classes": one_class(ttftMs=750)}, models=[SLOTS])
    assert first(at).classes[0].ttft_ms.p50 <= 750 < first(beyond).classes[0].ttft_ms.p50
    assert first(plan).limiting_factor == "time to the first token of chat"


def test_think_time_means_fewer_requests_in_flight() -> None:
    busy, reading = plan_of(**users(50)), plan_of(**users(50, thinkSeconds=20))
    assert first(busy).in_flight == 50
    mean = require(first(reading).sizing.e2e_ms).p50 / 1000
    assert first(reading).in_flight * (1 + 20 / mean) == pytest.approx(50, rel=1e-3)
    assert first(reading).most_users > first(busy).most_users


@reports("ABOVE_CLAIM")
def test_more_users_than_the_guide_gives_the_server_are_noted() -> None:
    right, wrong = boundary("ABOVE_CLAIM", lambda n: plan_of(**users(n)), 1, 500)
    assert (right.users, wrong.users) == (60, 61)
    assert not findings_of(plan_of(nodes={"server": TWO, "count": 2}, **users(120)), "ABOVE_CLAIM")


@reports("KV_SLOTS")
def test_slots_beyond_the_kv_cache_are_warned_of() -> None:
    long = {"users": 8, "classes": one_class(promptTokens=4000, answerTokens=4000, ttftMs=60_000, tpotMs=100)}
    right, wrong = boundary(
        "KV_SLOTS",
        lambda n: plan_of(nodes={"server": ENTRY}, workload=long, models=[MODEL | {"maxNumSeqs": n}]),
        1,
        256,
    )
    assert right.models[0].slots * 6000 <= first(right).memory.kv_tokens
    assert wrong.models[0].slots * 6000 > first(wrong).memory.kv_tokens


@reports("LONGFORM_DEMAND")
def test_more_long_jobs_than_the_cap_lets_in_are_warned_of() -> None:
    def make(count: int) -> Plan:
        return plan_of(**users(count), models=[SLOTS], gateway={"longformCap": 0.45})

    right, wrong = boundary("LONGFORM_DEMAND", make, 1, 400)
    left = 2 * math.floor(2 * 128 * 0.45 / 2)  # each of the two gateways has its part, rounded down
    wanted = [
        {item.name: item.in_flight for item in first(plan).classes}["longform"] for plan in (right, wrong)
    ]
    assert wanted[0] <= left < wanted[1]
    (finding,) = findings_of(wrong, "LONGFORM_DEMAND")
    assert (finding.path, finding.got) == ("gateway.longformCap", "0.45")
    assert f"need {math.ceil(wanted[1])} slots of qwen2.5-7b and may use {left}:" in finding.problem


@reports("LONGFORM_DEMAND")
def test_a_file_without_a_cap_gets_one_that_holds_its_long_jobs() -> None:
    def make(count: int) -> Plan:
        return plan_of(**users(count), models=[SLOTS])

    right, wrong = boundary("LONGFORM_DEMAND", make, 1, 1000)
    slots = 2 * 128
    assert make(1).gateway.longform_cap == 0.5
    assert right.gateway.longform_cap > 0.5
    assert first(right).in_flight <= slots < first(wrong).in_flight, "only too many users are warned of"
    (finding,) = findings_of(wrong, "LONGFORM_DEMAND")
    assert (finding.path, finding.got) == ("workload.users", str(wrong.users))
    assert [item.value for item in right.defaults if item.path == "gateway.longformCap"] == [
        f"{right.gateway.longform_cap:g}"
    ]


def test_only_capped_classes_are_long_jobs() -> None:
    item = {"promptTokens": 512, "answerTokens": 1500, "ttftMs": 10_000, "tpotMs": 100}
    classes = {
        "chat": item | {"share": 0.1, "priority": 80},
        "mail": item | {"share": 0.9, "priority": 60},
    }
    plan = plan_of(workload={"users": 200, "classes": classes}, models=[SLOTS], gateway={"longformCap": 0.1})
    assert not findings_of(plan, "LONGFORM_DEMAND")


# One server is a decision of the user, who has not taken it yet; so is a model that no card of the server holds alone,
# and that is split therefore, or one with a single precision. Every other warning is about what the file says.
DECISIONS = {"nodes.count", "models[0].parallelism.tensor"}


def test_no_warning_of_a_minimal_file_is_about_a_default() -> None:
    catalog, accepted = load_catalog(), 0
    for server, model, count in itertools.product(catalog.servers, catalog.models, (1, 20, 100, 300, 1000)):
        raw = small_stack(workload={"users": count}, nodes={"server": server}, models=[{"id": model}])
        plan = examine(parse(raw), catalog).plan
        if plan is None:
            continue
        accepted += 1
        about = {finding.path for finding in open_warnings(plan.findings)}
        defaults = {default.path for default in plan.defaults}
        only = {"models[0].precision"} if len(catalog.models[model].variants) == 1 else set()
        assert not about & defaults - DECISIONS - only, (server, model, count)
    assert accepted > 50


@reports("BURST_REFUSED")
def test_users_beyond_slots_and_queue_get_status_429() -> None:
    def make(count: int) -> Plan:
        return plan_of(
            **users(count, thinkSeconds=60), models=[MODEL | {"maxNumSeqs": 16}], gateway={"queueLength": 8}
        )

    right, wrong = boundary("BURST_REFUSED", make, 1, 100)
    assert (right.users, wrong.users) == (40, 41)


@reports("QUEUE_WAIT")
def test_a_queue_in_which_the_last_waits_longer_than_clients_do() -> None:
    right, wrong = boundary("QUEUE_WAIT", lambda n: plan_of(gateway={"queueLength": n}), 1, 100_000)
    rate = require(first(right).full.req_s).p50
    assert right.gateway.queue_length / rate <= 60 < wrong.gateway.queue_length / rate


def test_timeouts_cover_the_worst_wait_and_the_longest_answer_when_promises_are_kept() -> None:
    for queue in (0, 10, 64, 500):
        plan = plan_of(gateway={"queueLength": queue})
        wait = queue / require(first(plan).full.req_s).p50
        slowest = max(item.e2e_ms.high for item in first(plan).classes) / 1000
        assert not [f for f in findings_of(plan, "SLOW_TOKENS") if f.severity is Severity.ERROR]
        assert plan.gateway.read_timeout_seconds >= wait + slowest


@reports("READ_TIMEOUT")
def test_a_read_timeout_that_does_not_cover_every_answer() -> None:
    """The wait in the queue, the margin and a whole context at the slowest token, to the second."""

    def make(seconds: int) -> Plan:
        return plan_of(gateway={"readTimeoutSeconds": seconds})

    right, wrong = boundary("READ_TIMEOUT", make, 3600, 300)
    model, longest = right.models[0], max(item.answer_seconds for item in right.classes.values())
    waits = longest * math.ceil(right.gateway.queue_length / (model.slots * model.replicas)) + 30
    covers = waits + model.context * slowest_token_seconds(right, model)
    assert wrong.gateway.read_timeout_seconds < covers <= right.gateway.read_timeout_seconds
    assert severity(wrong, "READ_TIMEOUT") is Severity.WARNING
    typical = waits + max(item.answer_tokens for item in right.classes.values()) * slowest_token_seconds(
        right, model
    )
    assert severity(make(math.ceil(typical)), "READ_TIMEOUT") is Severity.WARNING
    assert severity(make(math.ceil(typical) - 1), "READ_TIMEOUT") is Severity.ERROR


def test_the_default_read_timeout_covers_the_context_up_to_an_hour() -> None:
    """A reasoning model with a long context: 65,536 tokens were cut after 330 s and computed twice."""
    short = plan_of()
    assert covered_tokens(short, short.models[0]) >= short.models[0].context
    long = plan_of(models=[{"id": "deepseek-r1-distill-qwen-7b", "precision": "bf16", "context": 16_384}])
    model = long.models[0]
    assert short.gateway.read_timeout_seconds < long.gateway.read_timeout_seconds < 3600
    assert covered_tokens(long, model) >= model.context
    longest = plan_of(models=[{"id": "deepseek-r1-distill-qwen-7b", "precision": "bf16", "context": 131_072}])
    assert longest.gateway.read_timeout_seconds == 3600
    (finding,) = findings_of(longest, "READ_TIMEOUT")
    assert f"{covered_tokens(longest, longest.models[0]):,} tokens" in str(finding)


@reports("AUTOSCALER_TARGET")
def test_an_autoscaler_that_grows_after_a_promise_is_broken() -> None:
    def make(percent: int) -> Plan:
        tight = {"users": 250, "thinkSeconds": 60, "classes": one_class(ttftMs=250)}
        scaling = {"inFlightTarget": percent / 100}
        return plan_of(
            workload=tight,
            models=[MODEL | {"maxNumSeqs": 100}],
            nodes={"server": TWO, "standby": WARM},
            autoscaling=scaling,
        )

    right, wrong = boundary("AUTOSCALER_TARGET", make, 1, 100)
    kept = first(right).most_in_flight / right.models[0].replicas
    assert right.autoscaling.in_flight_target * 100 <= kept < wrong.autoscaling.in_flight_target * 100
    assert severity(wrong, "AUTOSCALER_TARGET") is Severity.WARNING


def test_an_autoscaler_that_never_grows_is_noted() -> None:
    grows: dict[str, Any] = {"nodes": {"server": TWO, "standby": WARM}}
    few: dict[str, Any] = {"models": [MODEL | {"maxNumSeqs": 24}]}
    assert not findings_of(plan_of(**grows, **users(40), **few), "AUTOSCALER_TARGET")
    (none_left,) = findings_of(plan_of(**users(40)), "AUTOSCALER_TARGET")
    assert "no GPUs to scale up to" in none_left.problem
    (idle,) = findings_of(
        plan_of(**grows, **users(20), models=[MODEL | {"maxNumSeqs": 64}]), "AUTOSCALER_TARGET"
    )
    assert "scales up at 48 requests in flight per replica; all users together make 10" in idle.problem
    (no_queue,) = findings_of(
        plan_of(**grows, **users(40), **few, gateway={"queueLength": 0}), "AUTOSCALER_TARGET"
    )
    assert (no_queue.path, no_queue.severity) == ("autoscaling.queueTimeTargetMs", Severity.WARNING)
    assert not findings_of(plan_of(**users(40), autoscaling={"enabled": False}), "AUTOSCALER_TARGET")


@reports("SCALE_DOWN_WINDOW")
def test_a_window_shorter_than_a_start() -> None:
    def make(seconds: int) -> Plan:
        return plan_of(
            nodes={"server": TWO, "standby": WARM}, autoscaling={"scaleDownWindowSeconds": seconds}
        )

    right, _ = boundary("SCALE_DOWN_WINDOW", make, 3600, 1)
    assert right.autoscaling.scale_down_window_seconds == right.models[0].startup_seconds
    assert not findings_of(
        plan_of(autoscaling={"scaleDownWindowSeconds": 1}), "SCALE_DOWN_WINDOW"
    )  # nothing to grow into


def with_ports(gbps: float) -> Catalog:
    """The catalogue with all ports of the two-card server at one speed."""
    catalog = load_catalog()
    server = catalog.servers[TWO]
    slow = tuple(
        nic.model_copy(update={"gbps": nic.gbps.model_copy(update={"value": gbps})}) for nic in server.nics
    )
    return catalog.model_copy(
        update={"servers": catalog.servers | {TWO: server.model_copy(update={"nics": slow})}}
    )


@reports("COLD_START")
def test_a_start_too_slow_for_the_autoscaler() -> None:
    def make(mbps: int) -> Plan:
        return plan_of(with_ports(mbps / 1000), nodes={"server": TWO, "standby": WARM}, cluster=SHARED)

    right, wrong = boundary("COLD_START", make, 10_000, 1)
    assert right.models[0].startup_seconds <= 600 < wrong.models[0].startup_seconds


@reports("SLOW_FETCH")
def test_a_download_of_more_than_a_quarter_of_an_hour() -> None:
    right, wrong = boundary("SLOW_FETCH", lambda mbps: plan_of(with_ports(mbps / 1000)), 1000, 1)
    gigabits = right.models[0].variant.weight_gib.value * 2**30 * 8 / 1e9
    fast, slow = (plan.nodes.server.nics[0].gbps.value for plan in (right, wrong))
    assert gigabits / fast <= 900 < gigabits / slow


@reports("BUSY_NETWORK")
def test_streams_that_fill_half_of_the_port() -> None:
    right, wrong = boundary("BUSY_NETWORK", lambda mbps: plan_of(with_ports(mbps / 1000)), 1000, 1)
    once = first(right).burst
    load = require(once.output_tok_s).high * STREAM_BYTES + require(once.req_s).high * 614 * PROMPT_BYTES
    fast, slow = (plan.nodes.server.nics[0].gbps.value * BUSY_NETWORK for plan in (right, wrong))
    assert fast >= load * 8 / 1e9 > slow


@reports("STANDBY_SHORT")
def test_losing_one_of_two_servers_without_a_spare() -> None:
    def workload(count: int) -> dict[str, Any]:
        return {"users": count, "classes": one_class(ttftMs=1000)}

    def make(count: int) -> Plan:
        return plan_of(nodes={"server": TWO, "count": 2}, workload=workload(count), models=[SLOTS])

    right, wrong = boundary("STANDBY_SHORT", make, 1, int(first(make(1)).most_users))
    assert first(right).headroom / 2 >= 1 > first(wrong).headroom / 2
    spare = {"server": TWO, "count": 2, "standby": {"mode": "cold", "count": 1}}
    assert not findings_of(plan_of(nodes=spare, workload=workload(wrong.users)), "STANDBY_SHORT")


@reports("ROLLOUT_DIP")
def test_a_change_takes_a_replica_away_or_not() -> None:
    assert not findings_of(plan_of(nodes={"server": TWO, "standby": WARM}), "ROLLOUT_DIP")
    (finding,) = findings_of(plan_of(**users(10, thinkSeconds=20)), "ROLLOUT_DIP")
    assert finding.severity is Severity.NOTE
    assert "1 of 2 replicas serve for about 270 s; with 1 more GPU none would stop" in finding.problem


@reports("ROLLOUT_DIP")
def test_a_change_in_which_the_users_do_not_fit_is_warned_of() -> None:
    def make(count: int) -> Plan:
        return plan_of(workload={"users": count, "classes": one_class(ttftMs=1000)}, models=[SLOTS])

    tight = next(n for n in range(10, 400, 5) if 1 <= first(make(n)).headroom < 2)
    assert severity(make(tight), "ROLLOUT_DIP") is Severity.WARNING


def test_every_capacity_is_silent_for_a_model_that_does_not_fit() -> None:
    plan = plan_of(nodes={"server": ENTRY}, models=[MODEL | {"gpuMemoryUtilization": 0.3}])
    assert [model.capacity for model in plan.models] == [None]
    assert {f.code.name for f in check(plan) if f.severity is Severity.ERROR} == {"WEIGHTS_DO_NOT_FIT"}


def test_a_faster_tier_holds_more_users() -> None:
    held = [
        first(plan_of(nodes={"server": server}, models=[SLOTS])).most_users
        for server in (ENTRY, TWO, PREMIUM)
    ]
    assert held == sorted(held)
    assert len(set(held)) == 3


@reports("CONTEXT_DOES_NOT_FIT")
def test_the_longest_context_that_fits_is_named() -> None:
    def make(tokens: int) -> Plan:
        small = {"id": "deepseek-r1-distill-qwen-7b", "gpuMemoryUtilization": 0.85, "context": tokens}
        small["parallelism"] = {"tensor": 1}
        return plan_of(nodes={"server": ENTRY}, models=[small])

    right, near = boundary("CONTEXT_DOES_NOT_FIT", make, 8192, 131072)
    room = first(right).memory
    assert room.kv_tokens_low - 16 < right.models[0].context <= room.kv_tokens_low
    (finding,) = findings_of(near, "CONTEXT_DOES_NOT_FIT")
    assert finding.severity is Severity.WARNING
    assert f"may not fit: {room.kv_tokens_low} to {room.kv_tokens_high} tokens" in finding.problem
    assert f"at most {room.kv_tokens_low} is safe" in (finding.allowed or "")
    (last,) = findings_of(make(room.kv_tokens), "CONTEXT_DOES_NOT_FIT")
    assert last.severity is Severity.WARNING
    (wrong,) = findings_of(make(room.kv_tokens + 16), "CONTEXT_DOES_NOT_FIT")
    assert wrong.severity is Severity.ERROR
    assert f"at most {room.kv_tokens}: " in (wrong.allowed or "")
    doubled = {"id": "deepseek-r1-distill-qwen-7b", "gpuMemoryUtilization": 0.85, "kvCacheDtype": "fp8"}
    doubled["parallelism"] = {"tensor": 1}
    twice = right.models[0].context // 16 * 16 * 2
    if twice <= 131072:
        half = plan_of(nodes={"server": ENTRY}, models=[doubled | {"context": twice}])
        assert not findings_of(half, "CONTEXT_DOES_NOT_FIT")


@reports("WEIGHTS_DO_NOT_FIT")
@pytest.mark.parametrize("tensor", [1, 2])
def test_weights_fit_until_the_engine_has_no_room_beside_them(tensor: int) -> None:
    def make(percent: int) -> Plan:
        model = MODEL | {
            "gpuMemoryUtilization": percent / 100,
            "parallelism": {"tensor": tensor},
            "context": 256,
        }
        return plan_of(nodes={"server": ENTRY}, models=[model], workload={"users": 1, "classes": TINY})

    right, wrong = boundary("WEIGHTS_DO_NOT_FIT", make, 98, 10)
    assert memory(sizing_input(right, right.models[0]), load_calibration().values).kv > 0
    weights = right.models[0].variant.weight_gib.value / tensor
    assert wrong.models[0].gpu_memory_utilization * 23.99 < weights + 2.5  # and hardly more than needed


TINY = one_class(promptTokens=100, answerTokens=100, ttftMs=60_000, tpotMs=1000)


def test_every_boundary_that_is_searched_has_a_test() -> None:
    assert REPORTS == SEARCHED
