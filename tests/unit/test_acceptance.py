"""A warning is accepted with a reason: it is shown but not counted; errors and stale acceptances are reported."""

from typing import Any

import pytest
from small_stack import MODEL, findings, small_plan
from tier_plans import every_variant, plan_of

from tierup.catalog import load_catalog
from tierup.findings.model import Code, Finding, Severity, open_warnings, warning
from tierup.io.pulumi.config import read_engine
from tierup.plan.model import Plan
from tierup.rules.acceptance import apply
from tierup.rules.preflight import make_plan
from tierup.stack.parse import Acceptance, parse

REASON = "a test tier, an outage costs nothing"
ONE_SERVER = {"code": "TIER052", "reason": REASON}
TWO_CARDS = MODEL | {"parallelism": {"tensor": 2}}  # on full GPUs: TIER053 for each of two such models


def accept(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"accept": list(entries)}


def findings_of(code: Code, **changes: Any) -> list[Finding]:
    return [finding for finding in findings(**changes) if finding.code is code]


def test_an_accepted_warning_is_shown_with_its_reason_and_is_not_open() -> None:
    (finding,) = findings_of(Code.ONE_FAILURE_DOMAIN, **accept(ONE_SERVER))
    assert (finding.severity, finding.accepted) == (Severity.WARNING, REASON)
    assert str(finding).endswith(f"(got 1) - accepted: {REASON}")
    assert finding not in open_warnings(small_plan(**accept(ONE_SERVER)).findings)
    assert Code.ONE_FAILURE_DOMAIN in {item.code for item in open_warnings(small_plan().findings)}


def test_other_warnings_stay_open() -> None:
    plan = small_plan(models=[TWO_CARDS], **accept(ONE_SERVER))
    still = {item.code for item in open_warnings(plan.findings)}
    assert Code.ROLLOUT_RECREATE in still
    assert Code.ONE_FAILURE_DOMAIN not in still


def test_a_path_narrows_what_is_accepted() -> None:
    models = [TWO_CARDS, TWO_CARDS | {"name": "b"}]
    nodes = {"server": "standard-4x-a100-80g-pcie", "count": 1}
    everywhere = accept({"code": "TIER053", "reason": REASON})
    second = accept({"code": "TIER053", "path": "models[1]", "reason": REASON})
    for section, reasons in ((everywhere, [REASON, REASON]), (second, [None, REASON])):
        found = findings_of(Code.ROLLOUT_RECREATE, nodes=nodes, models=models, **section)
        assert [finding.accepted for finding in found] == reasons
    assert findings_of(Code.STALE_ACCEPTANCE, nodes=nodes, models=models, **second) == []


def test_a_warning_that_only_a_cluster_reports_may_be_accepted_in_a_plan_without_one() -> None:
    only_here = accept({"code": "TIER014", "reason": REASON})
    assert findings_of(Code.STALE_ACCEPTANCE, **only_here) == []


def test_an_acceptance_of_nothing_is_a_warning() -> None:
    (stale,) = findings_of(
        Code.STALE_ACCEPTANCE, nodes={"server": "standard-2x-a100-80g-pcie", "count": 2}, **accept(ONE_SERVER)
    )
    assert (stale.severity, stale.path, stale.got) == (Severity.WARNING, "accept[0]", "TIER052")
    assert stale.fix == "remove the entry"


def test_an_acceptance_at_another_path_says_where_the_warning_is() -> None:
    elsewhere = accept(ONE_SERVER | {"path": "nodes"})
    (stale,) = findings_of(Code.STALE_ACCEPTANCE, **elsewhere)
    assert str(stale) == (
        "TIER013 accept[0]: accepts a warning that does not occur at this path (got TIER052 at nodes) "
        "- write path: nodes.count, or remove the entry"
    )
    still = {item.code for item in open_warnings(findings(**elsewhere))}
    assert {Code.ONE_FAILURE_DOMAIN, Code.STALE_ACCEPTANCE} <= still


def test_a_stale_acceptance_cannot_be_accepted() -> None:
    stale = findings_of(Code.STALE_ACCEPTANCE, **accept({"code": "TIER013", "reason": REASON}))
    assert [(item.path, item.accepted) for item in stale] == [("accept[0]", None)]


@pytest.mark.parametrize("context", [8192, 999_999], ids=["not reported", "reported"])
def test_an_error_cannot_be_accepted(context: int) -> None:
    section = accept({"code": "TIER038", "reason": "the model will cope"})
    found = findings(models=[MODEL | {"context": context}], **section)
    (refused,) = [item for item in found if item.code is Code.NOT_ACCEPTABLE]
    assert str(refused) == (
        "TIER012 accept[0].code: TIER038 is an error, and an error cannot be accepted "
        "(got TIER038; allowed a warning or a note) - fix its cause and remove this entry"
    )
    assert refused.severity is Severity.ERROR
    assert all(item.accepted is None for item in found)


def test_a_note_may_be_accepted_too() -> None:
    note = Finding(Code.ONE_FAILURE_DOMAIN, "a", "b", "c", severity=Severity.NOTE)
    (marked,) = apply([note], (Acceptance(code=Code.ONE_FAILURE_DOMAIN, reason=REASON),), complete=True)
    assert marked.accepted == REASON


def test_a_code_that_is_an_error_here_is_not_accepted_although_it_can_be_a_warning() -> None:
    item = Acceptance(code=Code.ONE_FAILURE_DOMAIN, reason=REASON)
    error, harmless = Finding(item.code, "a", "b", "c"), warning(item.code, "d", "e", "f")
    found = apply([error, harmless], (item,), complete=True)
    assert [(finding.code.name, finding.accepted) for finding in found] == [
        ("ONE_FAILURE_DOMAIN", None),
        ("ONE_FAILURE_DOMAIN", REASON),
        ("NOT_ACCEPTABLE", None),
    ]


def test_nothing_is_stale_while_a_section_is_unreadable() -> None:
    found = findings(gateway=5, nodes={"server": "no-such-server"}, **accept(ONE_SERVER))
    codes = {finding.code for finding in found}
    assert {Code.WRONG_TYPE, Code.UNKNOWN_SERVER} <= codes
    assert not {Code.ONE_FAILURE_DOMAIN, Code.STALE_ACCEPTANCE} & codes


def test_a_model_keeps_its_acceptance_when_the_one_before_it_is_unreadable() -> None:
    path = "models[1].parallelism.tensor"
    section = accept({"code": "TIER037", "path": path, "reason": REASON})
    nodes = {"server": "entry-2x-rtx-4090"}
    found = findings_of(Code.TP_WITHOUT_P2P, nodes=nodes, models=[MODEL | {"x": 1}, TWO_CARDS], **section)
    assert [(item.path, item.accepted) for item in found] == [(path, REASON)]


def test_a_reason_of_many_lines_is_shown_as_one() -> None:
    (finding,) = findings_of(
        Code.ONE_FAILURE_DOMAIN, **accept(ONE_SERVER | {"reason": "it is\n  a test tier\n"})
    )
    assert finding.accepted == "it is a test tier"


@pytest.mark.parametrize("reason", ["", "too short", " short    ", "\n\n\n\n\n\n\n\n\n\n\n"])
def test_a_reason_has_at_least_ten_characters(reason: str) -> None:
    (finding,) = findings_of(Code.BAD_FORMAT, **accept(ONE_SERVER | {"reason": reason}))
    assert (finding.path, finding.allowed) == ("accept[0].reason", "a reason of 10 characters or more")


def test_the_engine_s_configuration_accepts_as_the_file_does() -> None:
    values = {
        "tierup:workload": '{"users": 40}',
        "tierup:nodes": '{"server": "standard-2x-a100-80g-pcie"}',
        "tierup:models": '[{"id": "qwen2.5-7b"}]',
        "tierup:accept": '[{"code": "TIER052", "reason": "a test tier, an outage costs nothing"}]',
    }
    plan = make_plan(parse(read_engine("small", values, [])), load_catalog())
    (finding,) = [item for item in plan.findings if item.code is Code.ONE_FAILURE_DOMAIN]
    assert finding.accepted == REASON


def test_the_entry_tier_accepts_that_it_is_one_server() -> None:
    (finding,) = [item for item in plan_of("entry").findings if item.code is Code.ONE_FAILURE_DOMAIN]
    assert finding.accepted is not None


@every_variant
def test_no_committed_stack_file_has_a_stale_acceptance(plan: Plan) -> None:
    assert Code.STALE_ACCEPTANCE not in {item.code for item in plan.findings}
