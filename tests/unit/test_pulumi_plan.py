"""A plan of the engine is read completely and without secrets, or refused with a reason."""

import io
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from golden_plans import GOLDEN

from tierup.io.pulumi.plan import PlanError, parse_plan, read_plan
from tierup.resources.model import SECRET, UNKNOWN, Change, Resource

PASSWORD = "correct horse battery staple"


def golden(name: str) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return plan


def read(plan: object, before: str = "", after: str = "") -> tuple[Change, ...]:
    return parse_plan(f"{before}{json.dumps(plan, indent=4)}{after}".encode(), "the plan")


def step(operation: str, urn: str = "urn:pulumi:s::p::a:b:C::x", **states: dict[str, Any]) -> dict[str, Any]:
    sides = {side: {"urn": urn, "type": "a:b:C", "custom": True, **state} for side, state in states.items()}
    return {"op": operation, "urn": urn, **sides}


def preview(*steps: dict[str, Any], **summary: int) -> dict[str, Any]:
    return {"steps": list(steps), "diagnostics": [], "changeSummary": summary}


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_every_resource_of_a_real_plan_is_read(name: str) -> None:
    changes = read_plan(str(GOLDEN / f"{name}.json"))
    document = golden(name)
    urns = [item["urn"] for item in document.get("steps") or document["deployment"]["resources"]]
    assert len(changes) == len(urns)
    for change in changes:
        assert change.past is not None or change.now is not None
        for side in (change.past, change.now):
            assert side is None or (side.urn in urns and side.urn.endswith(f"::{side.name}"))
    if "steps" in document:
        assert Counter(change.operation for change in changes) == document["changeSummary"]


@pytest.mark.parametrize(
    ("name", "past", "now"),
    [
        ("create", 0, 46),
        ("no_op", 46, 46),
        ("scale", 47, 47),
        ("delete", 46, 2),  # the namespace and the metrics are kept
        ("state", 48, 48),
        ("foreign", 3, 11),
    ],
)
def test_each_side_has_the_resources_of_its_time(name: str, past: int, now: int) -> None:
    changes = read_plan(str(GOLDEN / f"{name}.json"))
    assert sum(change.past is not None for change in changes) == past
    assert sum(change.now is not None for change in changes) == now


def test_resources_that_destroy_retains_remain() -> None:
    kept = [change.now.name for change in read_plan(str(GOLDEN / "delete.json")) if change.now is not None]
    assert sorted(kept) == ["namespace-tierup-entry", "persistentvolumeclaim-tierup-entry-prometheus-data"]


def test_unknown_and_secret_values_are_markers() -> None:
    resources = [change.now for change in read_plan(str(GOLDEN / "foreign.json")) if change.now is not None]
    plan = {item.name: item for item in resources if item.custom}
    assert [item.type for item in resources if not item.custom] == ["acme:shop:Shop", "pulumi:pulumi:Stack"]
    assert plan["cache"].inputs["spec"]["storageClassName"] == UNKNOWN
    assert SECRET in str(plan["password"].inputs)
    (state,) = [
        change.now
        for change in read_plan(str(GOLDEN / "state.json"))
        if change.now is not None and change.now.name == "secret-tierup-entry-hub-token"
    ]
    assert state.inputs["data"] == SECRET


def test_a_state_exported_with_plain_text_secrets_shows_none() -> None:
    clear = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": PASSWORD}
    state = {"urn": "urn:pulumi:s::p::a:b:C::x", "type": "a:b:C", "custom": True}
    resources = [{**state, "inputs": {"list": [{"password": clear}], "size": 3}}]
    (change,) = read({"version": 3, "deployment": {"resources": resources}})
    assert change.now == change.past
    assert change.now is not None
    assert change.now.inputs == {"list": [{"password": SECRET}], "size": 3}


def test_lines_around_the_plan_are_ignored() -> None:
    alone = read(golden("scale"))
    noisy = read(
        golden("scale"), "Installing plugins...\nwarning: {not json\n{}\n", "\nResources: 8 updated\n"
    )
    assert noisy == alone
    assert read(golden("scale"), "\ufeff") == alone


def test_a_stream_of_events_has_the_changes_of_the_preview() -> None:
    plan = golden("scale")
    events: list[dict[str, Any]] = [{"preludeEvent": {"config": {}}}]
    for item in plan["steps"]:
        sides = {new: item.get(old) for new, old in (("old", "oldState"), ("new", "newState"))}
        metadata = {"op": item["op"], "urn": item["urn"], **sides}
        events += [{"resourcePreEvent": {"metadata": metadata}}, {"resOutputsEvent": {"metadata": metadata}}]
    summary = {"summaryEvent": {"resourceChanges": plan["changeSummary"]}}
    lines = [json.dumps(event) for event in (*events, summary, {"cancelEvent": {}})]
    assert parse_plan("\n".join(lines).encode(), "stream") == read(plan)
    with pytest.raises(PlanError, match="the stream ends before the preview does"):
        parse_plan("\n".join(lines[:-2]).encode(), "the stream")


def test_the_steps_of_a_replacement_are_one_change() -> None:
    old, new = {"inputs": {"size": 1}}, {"inputs": {"size": 2}}
    steps = [
        step("create-replacement", oldState=old, newState=new),
        step("replace", oldState=old, newState=new),
        step("delete-replaced", oldState=old),
    ]
    for order in (steps, steps[::-1]):  # created before or after the old one is deleted
        (change,) = read(preview(*order))
        assert (change.operation, change.past, change.now) == ("replace", _sized(1), _sized(2))


def _sized(size: int) -> Resource:
    return Resource("urn:pulumi:s::p::a:b:C::x", "a:b:C", "x", None, {"size": size})


def test_a_refresh_before_the_preview_is_no_change_of_its_own() -> None:
    state = {"inputs": {"size": 1}}
    plan = preview(
        step("refresh", oldState=state, newState=state),
        step("update", oldState=state, newState={"inputs": {"size": 2}}),
    )
    (change,) = read(plan)
    assert (change.operation, change.past, change.now) == ("update", _sized(1), _sized(2))


def test_external_and_already_replaced_resources_are_left_out() -> None:
    plan = preview(
        step("read", "urn:pulumi:s::p::a:b:C::theirs", newState={"external": True}),
        step("delete", "urn:pulumi:s::p::a:b:C::old", oldState={"delete": True}),
        step("same", oldState={}, newState={}),
        same=1,
    )
    assert [change.now.name for change in read(plan) if change.now is not None] == ["x"]


def test_a_preview_of_an_empty_stack_changes_nothing() -> None:
    assert read({"changeSummary": {}, "diagnostics": None}) == ()
    assert read({"version": 3, "deployment": {"manifest": {}}}) == ()


def test_a_preview_without_unchanged_resources_is_refused() -> None:
    plan = golden("no_op")
    # As the engine leaves them out: only the stack itself remains.
    plan["steps"] = [item for item in plan["steps"] if item["urn"].endswith("::tierup-entry")]
    with pytest.raises(PlanError, match=r"leaves out 45 unchanged resources.*--show-sames"):
        read(plan)


def test_a_preview_that_failed_is_refused_with_its_reason() -> None:
    plan = preview(step("same", oldState={}, newState={}), same=1)
    plan["diagnostics"] = [
        {"severity": "warning", "message": "warning: old\n"},
        {"severity": "error", "message": "error: stack 'x' has 1 problem:\n  - TIER005 ...\n"},
    ]
    with pytest.raises(PlanError, match=r"preview that failed.*\(stack 'x' has 1 problem: - TIER005"):
        read(plan)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a Pulumi plan"),
        (b"resources:\n  x: 1\n", "is not a Pulumi plan"),
        (b"[]", "is not a Pulumi plan"),
        (b'{"steps": []}', "is not a Pulumi plan"),
        (b'{"kind": "List", "items": []}', "is not a Pulumi plan"),
        (b'{"changeSummary": {}, "steps": [{}]}', "is not a Pulumi plan as this version knows it"),
        (b'{"changeSummary": {}, "steps": [7]}', "is not a Pulumi plan as this version knows it"),
        (b'{"deployment": {"resources": [{"urn": "u"}]}}', "is not a Pulumi plan as this version knows it"),
        (b"\x80\x81", "is not text in UTF-8"),
        (b'{"a":' * 100_000, "is not a Pulumi plan"),
    ],
)
def test_a_file_that_is_not_a_plan_is_one_message_with_a_fix(content: bytes, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_plan(content, "x.json")
    assert str(caught.value).startswith(f"x.json {message}")
    assert "pulumi preview --json --show-sames" in str(caught.value)


def test_a_file_that_cannot_be_read_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read: No such file"):
        read_plan(str(tmp_path / "none.json"))
    with pytest.raises(PlanError, match="cannot be read: Is a directory"):
        read_plan(str(tmp_path))


def test_a_plan_is_read_from_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    content = (GOLDEN / "scale.json").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read_plan("-") == read_plan(str(GOLDEN / "scale.json"))
