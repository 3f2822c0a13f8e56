"""What `tierup tune` proposes from a load test: each rule on both sides of its boundary, and when it says nothing."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from load_runs import results
from tier_plans import plan_of

from tierup.plan.model import Plan
from tierup.tuning.tune import Incomparable, Tuning, tune

# 50 users, 2 replicas of one GPU (no GPU is free) with 16 slots, queue 64, 8 of 16 slots for long jobs.
STANDARD = plan_of("standard")
FULL = {"chat": 24.0, "longform": 4.8}  # 0.9 of 32 slots
ALMOST = {"chat": 24.0, "longform": 4.7}


def changes(found: Tuning) -> list[str]:
    """The patch; what there is to say must be said of each of its lines."""
    for item in found.proposals:
        assert item.evidence
        assert item.rule
        assert item.effect
    return [item.change for item in found.proposals]


def said(plan: Plan = STANDARD, **figures: Any) -> list[str]:
    return changes(tune(plan, [results(plan, **figures)]))


def test_what_is_kept_with_little_room_stays_as_it_is() -> None:
    found = tune(STANDARD, [results(STANDARD, ttft={"chat": 0.9}, in_flight={"chat": 8.0})])
    assert (found.proposals, found.missing) == ((), ())
    assert found.notes == ("nothing to change: p95 at most 0.90 of its promise, 28% of the slots in use",)


# The batch size


def test_slow_tokens_ask_for_a_smaller_batch_in_proportion() -> None:
    full = {"chat": 28.0, "longform": 4.0}
    assert said(tpot={"chat": 1.0}, in_flight=full) == []
    assert said(tpot={"chat": 1.01}, in_flight=full) == ["models[0].maxNumSeqs: 16 -> 15"]
    assert said(tpot={"longform": 2.0}, in_flight=full) == ["models[0].maxNumSeqs: 16 -> 8"]


def test_what_ran_counts_not_what_could_have() -> None:
    assert said(tpot={"chat": 1.25}, in_flight={"chat": 15.0, "longform": 5.0}) == [
        "models[0].maxNumSeqs: 16 -> 8"
    ]


def test_no_batch_helps_where_one_request_alone_is_too_slow() -> None:
    found = tune(STANDARD, [results(STANDARD, tpot={"chat": 2.0}, in_flight={"chat": 2.0, "longform": 1.0})])
    assert found.proposals == ()
    assert "no setting helps" in found.notes[0]


def test_waiting_for_slots_asks_for_more_of_them() -> None:
    late = {"chat": 1.2}
    assert said(ttft=late, tpot={"chat": 0.4, "longform": 0.4}, in_flight=FULL) == [
        "models[0].maxNumSeqs: 16 -> 32"
    ]
    assert said(ttft=late, tpot={"chat": 0.4, "longform": 0.4}, in_flight=ALMOST) == []  # none waited
    assert said(ttft={"chat": 1.0}, tpot={"chat": 0.4}, in_flight=FULL) == []  # none came too late


def test_slots_are_added_as_far_as_the_tokens_have_time() -> None:
    assert said(ttft={"chat": 1.2}, tpot={"chat": 0.8}, in_flight=FULL) == ["models[0].maxNumSeqs: 16 -> 20"]
    tight = results(STANDARD, ttft={"chat": 1.2}, tpot={"chat": 0.95}, in_flight=FULL, rate=10)
    assert changes(tune(STANDARD, [tight])) == []  # 16 / 0.95 is 16, and no GPU is free


def test_slots_are_not_added_beyond_the_kv_cache() -> None:
    plan = plan_of("entry")
    known = plan.models[0].capacity
    assert known is not None
    held = int(known.memory.kv_tokens / known.request_tokens)
    slots = held - 1
    full = {"chat": 2.0 * slots}
    light = {"chat": 0.1, "longform": 0.1}
    before = results(plan, ttft={"chat": 1.2}, tpot=light, in_flight=full, slots=slots)
    assert changes(tune_as(plan, before)) == [f"models[0].maxNumSeqs: {slots} -> {held}"]


def tune_as(plan: Plan, run: Any) -> Tuning:
    """As if the stack file said what it said at the time of the run."""
    model = dataclasses.replace(plan.models[0], slots=run.setting.slots, replicas=run.setting.replicas)
    gateway = dataclasses.replace(
        plan.gateway, queue_length=run.setting.queue_length, longform_cap=run.setting.longform_cap
    )
    return tune(dataclasses.replace(plan, models=(model,), gateway=gateway), [run])


# Long jobs


def test_long_jobs_give_way_to_chat_where_they_hold_all_they_may() -> None:
    cap_full = {"chat": 10.0, "longform": 14.4}  # 0.9 of 2 x 8 slots
    late, light = {"chat": 1.2}, {"chat": 0.4, "longform": 0.4}
    assert said(ttft=late, tpot=light, in_flight=cap_full) == ["gateway.longformCap: 0.5 -> 0.438"]
    assert said(ttft=late, tpot=light, in_flight=cap_full | {"longform": 14.3}) == []
    both = late | {"longform": 1.1}  # they have no time themselves
    assert said(ttft=both, tpot=light, in_flight={"chat": 16.0, "longform": 14.4}) == [
        "models[0].maxNumSeqs: 16 -> 32"
    ]


def test_refused_long_jobs_ask_for_a_higher_cap_where_chat_has_room() -> None:
    figures: dict[str, Any] = {"in_flight": {"longform": 14.4}, "refused": {"longform": 5}, "rate": 0.1}
    assert said(ttft={"chat": 0.5}, **figures) == ["gateway.longformCap: 0.5 -> 0.562"]
    assert said(ttft={"chat": 0.51}, **figures) == []
    assert said(ttft={"chat": 0.5}, **{**figures, "in_flight": {"longform": 14.3}}) == []
    assert said(ttft={"chat": 0.5}, **{**figures, "refused": {"longform": 5, "chat": 1}}) == []


def test_the_proposed_cap_moves_by_one_slot_in_the_gateways_arithmetic() -> None:
    (change,) = said(ttft={"chat": 0.5}, in_flight={"longform": 14.4}, refused={"longform": 5})
    assert round(16 * float(change.split(" -> ")[1])) == 9


# The queue


def test_refusals_ask_for_a_queue_as_long_as_the_longest_promise_allows() -> None:
    refused = {"chat": 3}
    assert said(refused=refused, rate=4) == ["gateway.queueLength: 64 -> 80"]  # 8 answers/s x 10 s
    assert said(refused=refused, rate=3.2) == []  # 64: it is that long already, and no GPU is free
    assert said(refused={}, rate=4) == ["models[0].replicas: 2 -> 1"]


def test_a_queue_nobody_can_wait_for_is_shortened_where_nothing_else_helps() -> None:
    stuck: dict[str, Any] = {"ttft": {"chat": 1.2}, "tpot": {"chat": 0.95}, "in_flight": FULL}
    assert said(**stuck, rate=3) == ["gateway.queueLength: 64 -> 60"]
    assert said(**stuck, rate=3.2) == []


# Replicas


def test_a_replica_is_added_where_no_setting_helps_and_gpus_are_free(make_plan: Callable[..., Plan]) -> None:
    def plan(replicas: int) -> Plan:
        return make_plan(models=[{"id": "qwen2.5-7b", "replicas": replicas, "maxNumSeqs": 16}])

    free, taken = plan(1), plan(2)  # of two GPUs
    late: dict[str, Any] = {"ttft": {"chat": 1.2}, "tpot": {"chat": 0.95}, "users": 16}
    assert said(free, **late) == ["models[0].replicas: 1 -> 2"]
    assert said(taken, **late) == []
    slow = late | {"tpot": {"chat": 1.1}}  # a smaller batch would make the first token later still
    assert said(free, **slow) == ["models[0].replicas: 1 -> 2"]
    refused: dict[str, Any] = {"refused": {"chat": 1}, "rate": 0.1, "users": 16}  # no longer queue is in time
    assert said(free, **refused) == ["models[0].replicas: 1 -> 2"]
    assert said(taken, **refused) == []


def test_a_replica_is_given_back_only_where_the_others_keep_every_promise() -> None:
    calm = {"chat": 10.0, "longform": 2.0}  # 12 of 32 slots: 24 of 32 with one replica's worth of them
    assert said(in_flight=calm) == ["models[0].replicas: 2 -> 1"]
    assert said(in_flight=calm | {"chat": 10.1}) == []  # more than the autoscaler's target of 75 %
    assert said(in_flight=calm, ttft={"chat": 0.51}) == []  # twice the load could break it


# Evidence that does not suffice


def lacking(**figures: Any) -> tuple[str, ...]:
    found = tune(STANDARD, [results(STANDARD, **figures)])
    assert found.enough is not bool(found.missing)
    assert not (found.missing and found.proposals)
    return found.missing


def test_too_few_answers_are_no_evidence() -> None:
    assert lacking(answered=20) == ()
    assert "19 answers of chat, a 95th percentile needs 20" in lacking(answered=19)[0]


def test_a_run_shorter_than_its_longest_answer_is_no_evidence() -> None:
    assert lacking(seconds=30, longest_ms=30_000) == ()
    assert "the longest answer of chat took 31 s" in lacking(seconds=30, longest_ms=31_000)[0]


def test_failures_are_mended_first() -> None:
    assert "1 requests failed" in lacking(failed={"chat": 1})[0]


def test_shorter_answers_than_planned_are_a_lighter_load() -> None:
    assert lacking(answer_tokens=0.8) == ()
    assert "answers of chat had 158 tokens of 200" in lacking(answer_tokens=0.79)[0]


def test_a_run_of_other_settings_is_no_evidence_for_the_files() -> None:
    assert "the stack file says something else now" in lacking(slots=8)[0]


def test_fewer_users_than_planned_are_said() -> None:
    assert tune(STANDARD, [results(STANDARD, users=49)]).notes[0].startswith("the stack plans for 50 users")
    assert not tune(STANDARD, [results(STANDARD, users=50)]).notes


# Several runs


def test_of_batch_8_and_16_the_one_with_most_room_is_proposed() -> None:
    eight = results(STANDARD, ttft={"chat": 0.8}, tpot={"chat": 0.3}, slots=8)
    sixteen = results(STANDARD, ttft={"chat": 0.3}, tpot={"chat": 0.9}, slots=16)
    found = tune(STANDARD, [sixteen, eight])
    assert changes(found) == ["models[0].maxNumSeqs: 16 -> 8"]
    assert len(found.compared) == 2
    assert "chat TTFT 0.80 and TPOT 0.30 of its promise" in found.proposals[0].evidence


def test_a_run_that_keeps_its_promises_beats_one_that_does_not() -> None:
    eight = results(STANDARD, ttft={"chat": 1.01, "longform": 0.1}, tpot={"chat": 0.1}, slots=8)
    sixteen = results(STANDARD, ttft={"chat": 0.99}, tpot={"chat": 0.99})
    assert changes(tune(STANDARD, [eight, sixteen])) == []


def test_a_run_without_evidence_takes_no_part_in_the_comparison() -> None:
    eight = results(STANDARD, ttft={"chat": 0.1}, slots=8, answered=5)
    sixteen = results(STANDARD, ttft={"chat": 0.9})
    found = tune(STANDARD, [eight, sixteen])
    assert found.proposals == ()
    assert len(found.missing) == 2  # of two classes
    assert found.enough


def test_runs_of_other_loads_or_stacks_are_not_compared() -> None:
    run = results(STANDARD)
    with pytest.raises(Incomparable, match="differ in model or load"):
        tune(STANDARD, [run, results(STANDARD, users=20)])
    with pytest.raises(Incomparable, match="is of the stack standard, not of entry"):
        tune(plan_of("entry"), [run])
    other = run.model_copy(update={"stack_model": "another"})
    with pytest.raises(Incomparable, match="has no model another"):
        tune(STANDARD, [other])
