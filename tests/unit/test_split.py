"""Which model serves which requests: as aliases, match rules and shares say, and the users that follow."""

import json
import math
from itertools import product
from typing import Any

import pytest
from small_stack import MODEL, small_plan, small_stack

from tierup.catalog import load_catalog
from tierup.cli.plan_page import lines
from tierup.findings.model import FindingsError
from tierup.plan.load import require
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.resolve import resolve
from tierup.plan.split import split
from tierup.plan.summary import summary
from tierup.stack.parse import parse
from tierup.stack.sections import Alias, ClassMatch, WorkloadClass

A, B = {**MODEL, "name": "a"}, {**MODEL, "name": "b"}
READING = {"users": 50, "thinkSeconds": 20}
BY_WEIGHT = {"aliases": {"chat-model": {"weights": {"a": 90, "b": 10}}}}
BY_CLASS = {"aliases": {"any": {"classes": {"chat": "a", "longform": "b"}}}}


def plan_of(*models: dict[str, Any], **sections: Any) -> Plan:
    return resolve(parse(small_stack(models=list(models), **sections)).config(), load_catalog())


def shares(plan: Plan) -> list[float]:
    return [round(model.traffic.share, 6) for model in plan.models]


def mix(model: ModelPlan) -> dict[str, float]:
    return {name: round(item.share, 6) for name, item in model.traffic.classes.items()}


def with_match(**match: Any) -> dict[str, Any]:
    """A workload whose chat is recognised by this match."""
    chat = {
        "promptTokens": 512,
        "answerTokens": 200,
        "ttftMs": 1000,
        "tpotMs": 50,
        "share": 0.7,
        "priority": 80,
    }
    long = {
        "promptTokens": 1024,
        "answerTokens": 1500,
        "ttftMs": 9999,
        "tpotMs": 99,
        "share": 0.3,
        "priority": 20,
    }
    return {"workload": READING | {"classes": {"chat": chat | {"match": match}, "longform": long}}}


def test_an_alias_that_sends_nine_of_ten_requests_to_one_model_sends_it_nine_of_ten_users() -> None:
    plan = plan_of(A, B, workload=READING, gateway=BY_WEIGHT)
    assert shares(plan) == [0.9, 0.1]
    users = [plan.users_of(model) for model in plan.models]
    assert sum(users) == pytest.approx(50)
    assert users[0] == pytest.approx(45, rel=0.02)  # a busier replica answers a little later
    assert mix(plan.models[0]) == mix(plan.models[1]) == {"chat": 0.8, "longform": 0.2}
    busy, idle = (model.capacity for model in plan.models)
    assert busy is not None
    assert idle is not None
    assert busy.headroom < idle.headroom


def test_an_alias_by_class_gives_each_model_its_own_kind_of_request() -> None:
    plan = plan_of(A, B, workload=READING, gateway=BY_CLASS)
    assert shares(plan) == [0.8, 0.2]
    assert [mix(model) for model in plan.models] == [{"chat": 1}, {"longform": 1}]
    chat, long = (model.capacity for model in plan.models)
    assert chat is not None
    assert long is not None
    assert [item.name for item in chat.classes] == ["chat"]
    assert chat.prompt_tokens == 512
    assert long.prompt_tokens == 1024


def test_users_wait_where_answers_take_long() -> None:
    """By Little's law: the users of a model are its requests per second times its answer and pause."""
    for think in (0, 5, 60):
        plan = plan_of(A, B, workload=READING | {"thinkSeconds": think}, gateway=BY_CLASS)
        flows = []
        for model in plan.models:
            assert model.capacity is not None
            seconds = think + require(model.capacity.sizing.e2e_ms).p50 / 1000
            flows.append(model.capacity.users / seconds)
        assert flows[0] / flows[1] == pytest.approx(4, rel=0.02), think
        assert sum(plan.users_of(model) for model in plan.models) == pytest.approx(50)


def test_a_class_that_is_recognised_by_model_names_uses_those_models() -> None:
    plan = plan_of(A, B, **with_match(models=["b"]))
    assert shares(plan) == [0.3, 0.7]
    assert [mix(model) for model in plan.models] == [{"longform": 1}, {"chat": 1}]


def test_a_match_of_an_alias_goes_to_the_models_behind_it() -> None:
    plan = plan_of(A, B, **with_match(models=["chat-model"]), gateway=BY_WEIGHT)
    assert shares(plan)[0] == pytest.approx(0.9)


def test_a_match_that_needs_more_than_a_name_leaves_the_name_to_other_classes() -> None:
    plan = plan_of(A, B, **with_match(models=["b"], stream=True))
    assert shares(plan) == [0.15, 0.85]


def test_without_a_hint_requests_are_split_evenly() -> None:
    plan = plan_of(A, B, workload=READING)
    assert shares(plan) == [0.5, 0.5]
    assert "nothing says" in plan.models[0].traffic.why


def test_a_model_that_no_alias_leads_to_is_used_by_its_own_name() -> None:
    plan = plan_of(A, B, MODEL | {"name": "c", "replicas": 1}, workload=READING, gateway=BY_WEIGHT)
    assert shares(plan) == [0.45, 0.05, 0.5]


def test_a_class_that_an_alias_does_not_list_goes_to_the_first_model_as_in_the_gateway() -> None:
    plan = plan_of(A, B, workload=READING, gateway={"aliases": {"any": {"classes": {"chat": "b"}}}})
    assert [mix(model) for model in plan.models][1] == {"chat": 1}


def test_shares_of_the_file_come_before_names_and_the_rest_is_left_to_the_others() -> None:
    plan = plan_of(A | {"share": 0.25}, B, MODEL | {"name": "c"}, workload=READING, gateway=BY_WEIGHT)
    assert shares(plan)[0] == 0.25
    assert sum(shares(plan)) == pytest.approx(1)
    assert shares(plan)[1:] == pytest.approx([0.75 * 0.05 / 0.55, 0.75 * 0.5 / 0.55], abs=1e-6)


def test_the_plan_shows_the_split_with_its_reason() -> None:
    plan = small_plan(models=[A, B], workload=READING, gateway=BY_WEIGHT)
    text = "\n".join(lines(plan))
    assert "45 of 50 users with 90% of the requests (gateway.aliases.chat-model)" in text
    for row, share in zip(json.loads(json.dumps(summary(plan)))["models"], (0.9, 0.1), strict=True):
        assert row["requests"]["share"] == share
        assert row["requests"]["why"] == "gateway.aliases.chat-model"
        assert row["requests"]["classes"] == {"chat": 0.8, "longform": 0.2}
    shown = {default.path: (default.value, default.why) for default in plan.defaults}
    assert shown["models[0].share"] == ("0.9", "gateway.aliases.chat-model")
    given = small_plan(models=[A | {"share": 0.9}, B], workload=READING)
    assert "models[0].share" not in {default.path for default in given.defaults}
    assert {d.path: d.value for d in given.defaults}["models[1].share"] == "0.1"


def test_a_model_that_nobody_asks_for_is_warned_of_and_still_has_a_capacity() -> None:
    alone = small_plan(models=[A | {"share": 1}, B], workload=READING)
    (finding,) = [item for item in alone.findings if item.code.name == "MODEL_SHARES"]
    assert "no request reaches b" in finding.problem
    unused = alone.models[1].capacity
    assert unused is not None
    assert (unused.users, unused.headroom) == (0, math.inf)
    assert summary(alone)["models"][1]["capacity"]["headroom"] is None
    assert "\n".join(lines(alone))


def test_shares_that_do_not_add_up_are_refused() -> None:
    for first, second in ((0.9, 0.2), (0.5, 0.4)):
        with pytest.raises(FindingsError, match="do not add up to 1"):
            small_plan(models=[A | {"share": first}, B | {"share": second}])


ALIASES = {
    "w": Alias.model_validate_json('{"weights": {"a": 3, "b": 1}}'),
    "k": Alias.model_validate_json('{"classes": {"x": "c"}}'),
    "odd": Alias.model_validate_json('{"weights": {"nobody": 1}}'),
}


def kind(share: float, models: list[str] | None) -> WorkloadClass:
    match = None if models is None else ClassMatch.model_construct(models=models)
    return WorkloadClass.model_construct(
        prompt_tokens=1, answer_tokens=1, ttft_ms=1.0, tpot_ms=1.0, share=share, priority=1, match=match
    )


@pytest.mark.parametrize("given", list(product((None, 0.2), (None, 0.3), (None,))))
@pytest.mark.parametrize("names", [(), ("w",), ("k",), ("w", "k"), ("odd",), ("w", "odd")])
@pytest.mark.parametrize("match", [None, ["a"], ["w", "c"], ["nobody"]])
def test_every_request_goes_to_some_model_whatever_the_file_says(
    given: tuple[float | None, ...], names: tuple[str, ...], match: list[str] | None
) -> None:
    aliases = {name: ALIASES[name] for name in names}
    classes = {"x": kind(0.6, match), "y": kind(0.4, None)}
    traffic = split(("a", "b", "c"), given, classes, aliases)
    assert sum(item.share for item in traffic) == pytest.approx(1)
    assert all(sum(part.share for part in item.classes.values()) == pytest.approx(1) for item in traffic)
    if given == (None, None, None):
        for name, item in classes.items():
            served = sum(one.share * one.classes[name].share for one in traffic if name in one.classes)
            assert served == pytest.approx(item.share)
