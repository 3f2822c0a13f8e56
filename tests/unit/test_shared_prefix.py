"""Cached prompts: a stack says which part of a prompt is cached, and only prefill, latency and capacity follow."""

import json
from typing import Any

import pytest
from command import Command
from small_stack import findings, small_plan

from tierup.catalog.prices import load_prices
from tierup.cli.generate import ROOT
from tierup.cost.analysis.tokens import TokenCost, token_costs
from tierup.cost.bill.of_plan import bill_of
from tierup.cost.pricing import price
from tierup.plan.capacity import sizing_input
from tierup.plan.load import require
from tierup.plan.model import ModelCapacity, Plan

AGENT = {
    "promptTokens": 6000,
    "answerTokens": 1500,
    "ttftMs": 9000,
    "tpotMs": 60,
    "share": 0.5,
    "priority": 20,
}
CHAT = AGENT | {"promptTokens": 512, "answerTokens": 200, "priority": 80}
OFF: dict[str, Any] = {"models": [{"id": "qwen2.5-7b", "engineArgs": {"enable-prefix-caching": False}}]}


def planned(cached: float | None = None, chat: float | None = None, **sections: Any) -> Plan:
    """Eight users of an agent and a chat; `cached` and `chat` are the cached parts of their prompts."""
    agent = AGENT if cached is None else AGENT | {"sharedPrefix": cached}
    other = CHAT if chat is None else CHAT | {"sharedPrefix": chat}
    return small_plan(workload={"users": 8, "classes": {"agent": agent, "chat": other}}, **sections)


def capacity(plan: Plan) -> ModelCapacity:
    found = plan.models[0].capacity
    assert found is not None
    return found


def first_token(plan: Plan, name: str) -> float:
    return next(item.ttft_ms.p50 for item in capacity(plan).classes if item.name == name)


def tokens(plan: Plan) -> TokenCost:
    found = token_costs(plan, price(bill_of(plan), load_prices()))["qwen2.5-7b"]
    assert found is not None
    return found


def test_nothing_is_cached_unless_the_stack_says_so() -> None:
    assert capacity(planned()) == capacity(planned(0, 0))
    assert all(item.shared_prefix == 0 for item in capacity(planned()).classes)


def test_cached_prompts_answer_sooner_hold_more_users_and_cost_less() -> None:
    cold, warm, hot = planned(), planned(0.5), planned(0.95)
    assert first_token(cold, "agent") > first_token(warm, "agent") > first_token(hot, "agent")
    assert capacity(cold).most_users < capacity(warm).most_users <= capacity(hot).most_users
    assert capacity(cold).full.req_s is not None
    assert require(capacity(cold).full.req_s).p50 < require(capacity(hot).full.req_s).p50
    assert tokens(cold).usage_based.tokens_in.value > tokens(hot).usage_based.tokens_in.value
    assert tokens(cold).prefill_share > tokens(hot).prefill_share


def test_the_work_of_a_prompt_falls_by_its_cached_part() -> None:
    plans = (planned(0.5, 0.5), planned(0.9, 0))
    asked = [sizing_input(plan, plan.models[0]).prefix_hit for plan in plans]
    # By hand: 0.9 of 6000 of 6512 tokens.
    assert asked == pytest.approx([0.5, 0.9 * 6000 / 6512])


def test_the_memory_of_a_request_stays_that_of_its_whole_prompt() -> None:
    fixed: dict[str, Any] = {
        "models": [{"id": "qwen2.5-7b", "maxNumSeqs": 32}]
    }  # the engine's own memory grows with its slots
    cold, hot = capacity(planned(**fixed)), capacity(planned(0.9, **fixed))
    assert hot.memory == cold.memory
    assert hot.request_tokens == cold.request_tokens


def test_only_the_class_with_a_cached_part_gains_on_the_other() -> None:
    gain = first_token(planned(), "agent") / first_token(planned(0.9), "agent")
    other = first_token(planned(), "chat") / first_token(planned(0.9), "chat")
    assert gain > other


def test_without_the_prefix_cache_nothing_is_counted_and_the_plan_says_so() -> None:
    off = planned(0.9, **OFF)
    assert first_token(off, "agent") == first_token(planned(**OFF), "agent")
    assert capacity(off).classes[0].shared_prefix == 0
    (found,) = [item for item in off.findings if item.code.name == "NO_PREFIX_CACHE"]
    assert "so nothing of the prompts of agent is cached" in str(found)


@pytest.mark.parametrize("value", [-0.1, 1.1, "half"])
def test_a_part_beyond_the_whole_is_refused(value: object) -> None:
    classes = {"agent": AGENT | {"sharedPrefix": value, "share": 1}}
    found = findings(workload={"users": 8, "classes": classes})[0]
    assert found.path == "workload.classes.agent.sharedPrefix"


def test_the_plan_shows_what_is_counted_as_cached_and_who_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    text = (ROOT / "stacks/Pulumi.entry.yaml").read_text(encoding="utf-8")
    file = tmp_path / "Pulumi.cached.yaml"
    file.write_text(
        text.replace(
            "        promptTokens: 512\n", "        promptTokens: 512\n        sharedPrefix: 0.75\n"
        ),
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")  # a narrow terminal breaks the line
    tierup = Command(monkeypatch, capsys)
    shown = tierup("plan", "--stack", str(file)).out
    assert "counted as cached: 384 of 512 prompt tokens, as the stack file says (sharedPrefix)" in shown
    (model,) = json.loads(tierup("plan", "--stack", str(file), "--json").out)["models"]
    parts = {name: item["sharedPrefix"] for name, item in model["capacity"]["classes"].items()}
    assert parts["chat"] == 0.75
    assert sum(parts.values()) == 0.75


def test_size_takes_the_same_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tierup = Command(monkeypatch, capsys)
    ask = ("size", "--gpu", "rtx-4090", "--prompt", "4000", "--concurrency", "8", "--json")
    cold, warm, old = (
        json.loads(tierup(*ask, *more).out)
        for more in ((), ("--shared-prefix", "0.8"), ("--prefix-hit", "0.8"))
    )
    assert warm == old
    assert warm["inputs"]["prefixHit"] == 0.8
    assert warm["ttftMs"]["p50"] < cold["ttftMs"]["p50"]
    assert warm["kvTokens"] == cold["kvTokens"]
