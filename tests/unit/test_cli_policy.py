"""`tierup policy`: plans of the real engine, ours and foreign ones, and stack files."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command import Command
from tier_plans import TIERS

ROOT = Path(__file__).parents[2]
PLANS = Path(__file__).parent / "plans"
OURS = sorted(path.name for path in PLANS.glob("*.json") if path.stem != "foreign")
SARIF_SCHEMA = Path(__file__).parent / "sarif" / "sarif-schema-2.1.0.json"
FOREIGN = str(PLANS / "foreign.json")


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(ROOT)
    return Command(monkeypatch, capsys)


@pytest.mark.parametrize("plan", OURS)
def test_a_plan_of_ours_passes(tierup: Command, plan: str) -> None:
    ended = tierup("policy", "--plan", str(PLANS / plan))
    assert (ended.code, ended.err) == (0, "")
    assert "violations: 0 (0 mandatory, 0 advisory)" in ended.out


def test_a_foreign_plan_does_not_pass(tierup: Command) -> None:
    ended = tierup("policy", "--plan", FOREIGN)
    assert ended.code == 1
    assert "mandatory load-balancer-ranges: Service front: spec.loadBalancerSourceRanges: a load" in ended.out
    assert "mandatory requests-and-limits: StatefulSet queue: spec.template.spec.containers[0]" in ended.out
    assert "mandatory pod-security: Deployment own-model: " in ended.out


@pytest.mark.parametrize("stack", TIERS)
def test_a_stack_file_passes_without_a_plan(tierup: Command, stack: str) -> None:
    ended = tierup("policy", "--stack", stack)
    assert (ended.code, ended.err) == (0, "")


def edited(tmp_path: Path, change: Any, plan_file: str = "no_op.json") -> str:
    """A plan of ours, with the given changes."""
    plan = json.loads((PLANS / plan_file).read_text())
    for step in plan["steps"]:
        if "newState" in step:
            change(step["newState"])
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan))
    return str(path)


def limit(**budget: str) -> Any:
    def change(state: Any) -> None:
        if state["type"] == "tierup:index:InferenceTier":
            state["inputs"]["budget"] = {"mode": "mandatory", **budget}

    return change


def floating(state: Any) -> None:
    if state["type"] == "kubernetes:apps/v1:Deployment":
        state["inputs"]["spec"]["template"]["spec"]["containers"][0]["image"] = "app:latest"


def test_an_exceeded_budget_alone_has_an_exit_code_of_its_own(tierup: Command, tmp_path: Path) -> None:
    over = limit(monthlyUsd="1")
    ended = tierup("policy", "--plan", edited(tmp_path, over))
    assert ended.code == 3
    assert "mandatory budget: InferenceTier entry: budget.monthlyUsd: is less than a month costs" in ended.out

    def both(state: Any) -> None:
        over(state)
        floating(state)

    assert tierup("policy", "--plan", edited(tmp_path, both)).code == 1
    ended = tierup("policy", "--plan", edited(tmp_path, limit(monthlyUsd="1", mode="advisory")))
    assert ended.code == 0
    assert "advisory budget-advisory: InferenceTier entry: budget.monthlyUsd" in ended.out


def test_a_change_that_adds_too_much(tierup: Command, tmp_path: Path) -> None:
    """The plan that goes from one server to two doubles what the first one costs."""
    plan = edited(tmp_path, limit(maxIncreaseUsdPerMonth="500"), "scale.json")
    ended = tierup("policy", "--plan", plan)
    assert ended.code == 3
    assert "budget.maxIncreaseUsdPerMonth: is less than this change adds to a month (got $500" in ended.out
    assert tierup("policy", "--plan", edited(tmp_path, limit(maxIncreaseUsdPerMonth="0"))).code == 0


def test_json_has_every_part_of_a_violation(tierup: Command, tmp_path: Path) -> None:
    ended = tierup("policy", "--plan", edited(tmp_path, floating), "--json")
    tree = json.loads(ended.out)
    assert ended.code == 1
    assert tree["ok"] is False
    assert tree["counts"]["mandatory"] == len(tree["violations"]) >= 4
    first = tree["violations"][0]
    assert first["urn"].startswith("urn:pulumi:entry::tierup::")
    assert {key: value for key, value in first.items() if key not in ("urn", "resource")} == {
        "policy": "pinned-images",
        "level": "mandatory",
        "path": "spec.template.spec.containers[0].image",
        "problem": "a floating tag: the next pod may run another version (got app:latest)",
        "fix": "name a version or a digest",
        "message": "spec.template.spec.containers[0].image: a floating tag: the next pod may run another version "
        "(got app:latest) - name a version or a digest",
    }


def test_sarif_is_valid_and_points_to_the_stack_file(tierup: Command, tmp_path: Path) -> None:
    ended = tierup("policy", "--plan", edited(tmp_path, floating), "--format", "sarif")
    log = json.loads(ended.out)
    jsonschema.validate(log, json.loads(SARIF_SCHEMA.read_text()))
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert {"pinned-images", "pod-security", "gpu-parallelism", "budget", "budget-advisory"} <= set(rules)
    assert len(run["results"]) >= 4
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"] == "pinned-images"
        assert result["level"] == "error"
        location = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert location["uri"] == "stacks/Pulumi.entry.yaml"
    prints = [result["partialFingerprints"]["tierupPolicy/v1"] for result in run["results"]]
    assert len(set(prints)) == len(prints)


@pytest.mark.parametrize("args", [(), ("--plan", FOREIGN, "--stack", "entry")])
def test_a_plan_or_a_stack_is_checked_but_not_both(tierup: Command, args: tuple[str, ...]) -> None:
    ended = tierup("policy", *args)
    assert (ended.code, ended.out) == (2, "")
    assert "either a plan (--plan) or a stack (--stack)" in ended.err


def test_a_file_that_is_not_a_plan_is_a_usage_error(tierup: Command, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    for path in (tmp_path / "plan.json", tmp_path / "none.json"):
        ended = tierup("policy", "--plan", str(path))
        assert (ended.code, ended.out) == (2, "")
        assert str(path) in ended.err
