"""`tierup plan` as text and JSON: the same figures, from the plan."""

import dataclasses
import io
import json
import re

import pytest
from rich.console import Console
from small_stack import MODEL, NODES, small_plan
from tier_plans import every_variant

from tierup.cli.plan_page import lines, show
from tierup.plan.model import Plan
from tierup.plan.summary import summary


def page_of(plan: Plan) -> str:
    out = io.StringIO()
    show(plan, Console(file=out, width=1000), why=True)
    return out.getvalue()


@every_variant
def test_a_page_has_hardware_memory_load_headroom_findings_and_defaults(plan: Plan) -> None:
    page = page_of(plan)
    assert plan.nodes.server.title in page
    for model in plan.models:
        capacity = model.capacity
        assert capacity is not None
        assert f"model {model.name}: {model.spec.title}, {model.precision}" in page
        room = capacity.memory
        held = f"{room.kv_tokens:,} ({room.kv_tokens_low:,} to {room.kv_tokens_high:,}) tokens of KV cache"
        assert f"{held} per replica" in page
        assert f"headroom  {capacity.headroom:.1f}x: up to {int(capacity.most_users)} users" in page
        for line in capacity.sizing.basis:
            assert f"basis     {line}" in page
    for finding in plan.findings:
        assert f"{finding.severity}: {finding}" in page
    for default in plan.defaults:
        assert default.path in page


@every_variant
def test_the_bar_is_the_gpu_s_memory_in_proportion(plan: Plan) -> None:
    bars = re.findall(r"\[([█▓▒░·]+)\] ([0-9.]+) GiB", "\n".join(lines(plan)))
    assert len(bars) == len(plan.models)
    for (bar, visible), model in zip(bars, plan.models, strict=True):
        assert model.capacity is not None
        room = model.capacity.memory
        assert len(bar) == 40
        assert float(visible) == pytest.approx(room.visible, abs=0.05)
        assert bar.count("█") == pytest.approx(40 * room.weights / room.visible, abs=0.51)
        assert bar.count("▒") + bar.count("░") == pytest.approx(40 * room.kv / room.visible, abs=1.01)


def test_every_kind_of_rollout_shows_its_loss_of_capacity() -> None:
    warm = NODES | {"standby": {"mode": "warm", "count": 1}}
    calm = {"users": 10, "thinkSeconds": 20}
    for sections, expected in (
        ({}, "in 2 steps: 1 of 2 replicas serve for about 270 s"),
        ({"nodes": warm}, "starts a new replica before it stops an old one: all 2 serve"),
        (
            {"models": [MODEL | {"parallelism": {"tensor": 2}}]},
            "recreates the pods: no replica serves for about",
        ),
    ):
        assert f"  rollout   {expected}" in page_of(small_plan(workload=calm, **sections))


def test_a_plan_without_warnings_says_so() -> None:
    quiet = dataclasses.replace(small_plan(), findings=())
    assert "nothing to warn about" in page_of(quiet)
    assert "nothing to warn about" not in page_of(small_plan())


@every_variant
def test_json_has_the_figures_of_the_text(plan: Plan) -> None:
    data = json.loads(json.dumps(summary(plan)))
    for shown, model in zip(data["models"], plan.models, strict=True):
        capacity = model.capacity
        assert capacity is not None
        assert shown["capacity"]["kvTokens"] == capacity.memory.kv_tokens
        assert shown["capacity"]["mostUsers"] == int(capacity.most_users)
        for item in capacity.classes:
            figure = shown["capacity"]["classes"][item.name]["ttftMs"]
            assert figure["low"] <= figure["p50"] <= figure["high"]
            assert figure["p50"] == pytest.approx(item.ttft_ms.p50, rel=1e-3)
