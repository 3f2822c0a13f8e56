"""What `tierup tune` proposes from a load test: each rule on both sides of its boundary, and no proposal."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from load_runs import results
from tier_plans import plan_of, standard_with_batch

from tierup.plan.model import Plan
from tierup.tuning.tune import Incomparable, Tuning, tune

# 50 users, 2 replicas of one GPU (no GPU is free) with 16 slots, queue 64, 8 of 16 slots for long jobs.
STANDARD = standard_with_batch(16)
FULL = {"chat": 24.0, "longform": 4.8}  # 0.9 of 32 slots
ALMOST = {"chat": 24.0, "longform": 4.7}


def changes(tuning: Tuning) -> list[str]:
    """The proposed changes; each must have evidence, a rule and an effect."""
    for item in tuning.proposals:
        assert item.evidence
        assert item.rule
        assert item.effect
    return [item.change for item in tuning.proposals]


def changes_for(plan: Plan = STANDARD, **figures: Any) -> list[str]:
    return changes(tune(plan, [results(plan, **figures)]))


def test_settings_that_keep_promises_with_little_headroom_stay() -> None:
    tuning = tune(STANDARD, [results(STANDARD, ttft={"chat": 0.9}, in_flight={"chat": 8.0})])
    assert (tuning.proposals, tuning.missing) == ((), ())
    assert tuning.notes == ("nothing to change: p95 at most 0.90 times its promise, 28% of the slots in use",)


# The batch size


def test_slow_tokens_make_the_batch_smaller_in_proportion() -> None:
    full = {"chat": 28.0, "longform": 4.0}
    assert changes_for(tpot={"chat": 1.0}, in_flight=full) == []
    assert changes_for(tpot={"chat": 1.01}, in_flight=full) == ["models[0].maxNumSeqs: 16 -> 15"]
    assert changes_for(tpot={"longform": 2.0}, in_flight=full) == ["models[0].maxNumSeqs: 16 -> 8"]


def test_running_requests_count_not_slots() -> None:
    assert changes_for(tpot={"chat": 1.25}, in_flight={"chat": 15.0, "longform": 5.0}) == [
        "models[0].maxNumSeqs: 16 -> 8"
    ]


def test_no_batch_size_helps_if_a_single_request_is_too_slow() -> None:
    tuning = tune(STANDARD, [results(STANDARD, tpot={"chat": 2.0}, in_flight={"chat": 2.0, "longform": 1.0})])
    assert tuning.proposals == ()
    assert "no setting helps" in tuning.notes[0]


def test_requests_that_wait_for_slots_get_more_slots() -> None:
    late = {"chat": 1.2}
    assert changes_for(ttft=late, tpot={"chat": 0.4, "longform": 0.4}, in_flight=FULL) == [
        "models[0].maxNumSeqs: 16 -> 32"
    ]
    assert changes_for(ttft=late, tpot={"chat": 0.4, "longform": 0.4}, in_flight=ALMOST) == []  # none waited
    assert changes_for(ttft={"chat": 1.0}, tpot={"chat": 0.4}, in_flight=FULL) == []  # none came too late


def test_slots_are_added_as_far_as_the_time_per_token_allows() -> None:
    assert changes_for(ttft={"chat": 1.2}, tpot={"chat": 0.8}, in_flight=FULL) == [
        "models[0].maxNumSeqs: 16 -> 20"
    ]
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
    """A plan with the settings of the run."""
    model = dataclasses.replace(plan.models[0], slots=run.setting.slots, replicas=run.setting.replicas)
    gateway = dataclasses.replace(
        plan.gateway, queue_length=run.setting.queue_length, longform_cap=run.setting.longform_cap
    )
    return tune(dataclasses.replace(plan, models=(model,), gateway=gateway), [run])


# Long jobs


def test_the_cap_is_lowered_if_long_jobs_use_all_of_it() -> None:
    cap_full = {"chat": 10.0, "longform": 14.4}  # 0.9 of 2 x 8 slots
    late, light = {"chat": 1.2}, {"chat": 0.4, "longform": 0.4}
    assert changes_for(ttft=late, tpot=light, in_flight=cap_full) == ["gateway.longformCap: 0.5 -> 0.438"]
    assert changes_for(ttft=late, tpot=light, in_flight=cap_full | {"longform": 14.3}) == []
    both = late | {"longform": 1.1}  # they have no time themselves
    assert changes_for(ttft=both, tpot=light, in_flight={"chat": 16.0, "longform": 14.4}) == [
        "models[0].maxNumSeqs: 16 -> 32"
    ]


def test_the_cap_is_raised_for_refused_long_jobs_if_chat_has_headroom() -> None:
    figures: dict[str, Any] = {"in_flight": {"longform": 14.4}, "refused": {"longform": 5}, "rate": 0.1}
    assert changes_for(ttft={"chat": 0.5}, **figures) == ["gateway.longformCap: 0.5 -> 0.562"]
    assert changes_for(ttft={"chat": 0.51}, **figures) == []
    assert changes_for(ttft={"chat": 0.5}, **{**figures, "in_flight": {"longform": 14.3}}) == []
    assert changes_for(ttft={"chat": 0.5}, **{**figures, "refused": {"longform": 5, "chat": 1}}) == []


def test_the_proposed_cap_moves_by_one_slot_in_the_gateways_arithmetic() -> None:
    (change,) = changes_for(ttft={"chat": 0.5}, in_flight={"longform": 14.4}, refused={"longform": 5})
    assert round(16 * float(change.split(" -> ")[1])) == 9


# The queue


def test_refusals_lengthen_the_queue_up_to_the_longest_promise() -> None:
    refused = {"chat": 3}
    assert changes_for(refused=refused, rate=4) == ["gateway.queueLength: 64 -> 80"]  # 8 answers/s x 10 s
    assert changes_for(refused=refused, rate=3.2) == []  # 64: it is that long already, and no GPU is free
    assert changes_for(refused={}, rate=4) == ["models[0].replicas: 2 -> 1"]


def test_a_queue_that_is_too_long_is_shortened_if_nothing_else_helps() -> None:
    stuck: dict[str, Any] = {"ttft": {"chat": 1.2}, "tpot": {"chat": 0.95}, "in_flight": FULL}
    assert changes_for(**stuck, rate=3) == ["gateway.queueLength: 64 -> 60"]
    assert changes_for(**stuck, rate=3.2) == []


# Replicas


def test_a_replica_is_added_if_no_setting_helps_and_gpus_are_free(make_plan: Callable[..., Plan]) -> None:
    def plan(replicas: int) -> Plan:
        return make_plan(models=[{"id": "qwen2.5-7b", "replicas": replicas, "maxNumSeqs": 16}])

    free, taken = plan(1), plan(2)  # of two GPUs
    late: dict[str, Any] = {"ttft": {"chat": 1.2}, "tpot": {"chat": 0.95}, "users": 16}
    assert changes_for(free, **late) == ["models[0].replicas: 1 -> 2"]
    assert changes_for(taken, **late) == []
    slow = late | {"tpot": {"chat": 1.1}}  # a smaller batch would make the first token later still
    assert changes_for(free, **slow) == ["models[0].replicas: 1 -> 2"]
    refused: dict[str, Any] = {"refused": {"chat": 1}, "rate": 0.1, "users": 16}  # no longer queue is in time
    assert changes_for(free, **refused) == ["models[0].replicas: 1 -> 2"]
    assert changes_for(taken, **refused) == []


def test_a_replica_is_removed_only_if_the_others_keep_every_promise() -> None:
    calm = {"chat": 10.0, "longform": 2.0}  # 12 of 32 slots: 24 of 32 with one replica's worth of them
    assert changes_for(in_flight=calm) == ["models[0].replicas: 2 -> 1"]
    assert changes_for(in_flight=calm | {"chat": 10.1}) == []  # more than the autoscaler's target of 75 %
    assert changes_for(in_flight=calm, ttft={"chat": 0.51}) == []  # twice the load could break it


# Evidence that does not suffice


def missing_evidence(**figures: Any) -> tuple[str, ...]:
    tuning = tune(STANDARD, [results(STANDARD, **figures)])
    assert tuning.enough is not bool(tuning.missing)
    assert not (tuning.missing and tuning.proposals)
    return tuning.missing


def test_too_few_answers_are_no_evidence() -> None:
    assert missing_evidence(answered=20) == ()
    assert "19 answers of chat, but a 95th percentile needs 20" in missing_evidence(answered=19)[0]


def test_a_run_shorter_than_its_longest_answer_is_no_evidence() -> None:
    assert missing_evidence(seconds=30, longest_ms=30_000) == ()
    assert "the longest answer of chat took 31 s" in missing_evidence(seconds=30, longest_ms=31_000)[0]


def test_failures_must_be_fixed_first() -> None:
    assert "1 requests failed" in missing_evidence(failed={"chat": 1})[0]


def test_shorter_answers_than_planned_are_a_lighter_load() -> None:
    assert missing_evidence(answer_tokens=0.8) == ()
    assert "answers of chat had 158 tokens of 200" in missing_evidence(answer_tokens=0.79)[0]


def test_a_run_with_other_settings_is_no_evidence() -> None:
    assert "the stack file has other settings now" in missing_evidence(slots=8)[0]


def test_fewer_users_than_planned_are_noted() -> None:
    assert tune(STANDARD, [results(STANDARD, users=49)]).notes[0].startswith("the stack plans for 50 users")
    assert not tune(STANDARD, [results(STANDARD, users=50)]).notes


# Several runs


def test_of_batch_8_and_16_the_one_with_more_headroom_is_proposed() -> None:
    eight = results(STANDARD, ttft={"chat": 0.8}, tpot={"chat": 0.3}, slots=8)
    sixteen = results(STANDARD, ttft={"chat": 0.3}, tpot={"chat": 0.9}, slots=16)
    tuning = tune(STANDARD, [sixteen, eight])
    assert changes(tuning) == ["models[0].maxNumSeqs: 16 -> 8"]
    assert len(tuning.compared) == 2
    assert "chat TTFT 0.80 and TPOT 0.30 times its promise" in tuning.proposals[0].evidence


def test_a_run_that_keeps_its_promises_beats_one_that_does_not() -> None:
    eight = results(STANDARD, ttft={"chat": 1.01, "longform": 0.1}, tpot={"chat": 0.1}, slots=8)
    sixteen = results(STANDARD, ttft={"chat": 0.99}, tpot={"chat": 0.99})
    assert changes(tune(STANDARD, [eight, sixteen])) == []


def test_a_run_without_evidence_takes_no_part_in_the_comparison() -> None:
    eight = results(STANDARD, ttft={"chat": 0.1}, slots=8, answered=5)
    sixteen = results(STANDARD, ttft={"chat": 0.9})
    tuning = tune(STANDARD, [eight, sixteen])
    assert tuning.proposals == ()
    assert len(tuning.missing) == 2  # of two classes
    assert tuning.enough


def test_runs_of_other_loads_or_stacks_are_not_compared() -> None:
    run = results(STANDARD)
    with pytest.raises(Incomparable, match="differ in model or load"):
        tune(STANDARD, [run, results(STANDARD, users=20)])
    with pytest.raises(Incomparable, match="is of the stack standard, not of entry"):
        tune(plan_of("entry"), [run])
    other = run.model_copy(update={"stack_model": "another"})
    with pytest.raises(Incomparable, match="has no model another"):
        tune(STANDARD, [other])
