"""Reports of a plan for CI: JSON for programs, Markdown for a pull request, SARIF for scanners; none shows a secret."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tierup.findings.explanations import EXPLAINED
from tierup.findings.model import Code, Finding, Severity, warning
from tierup.report import Report, json_report, markdown, sarif

SARIF_SCHEMA = Path(__file__).parent / "sarif" / "sarif-schema-2.1.0.json"
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"
BAD = Finding(Code.WEIGHTS_DO_NOT_FIT, "models[0]", "the weights do not fit", "use fewer", "14 GiB", "12 GiB")
OPEN = warning(Code.ROLLOUT_RECREATE, "models[1]", "a change stops it", "add a server")
NOTE = Finding(Code.STANDBY, "nodes.standby", "a spare is off", "nothing", severity=Severity.NOTE)
ACCEPTED = dataclasses.replace(
    warning(Code.ONE_FAILURE_DOMAIN, "nodes.count", "one server", "use 2", "1"), accepted="it is a test tier"
)


def report(*findings: Finding, **changes: Any) -> Report:
    plain = Report(
        stack="standard",
        file="stacks/Pulumi.standard.yaml",
        findings=findings,
        lines=tuple(range(10, 10 + len(findings))),
        summary={"stack": "standard", "gpus": {"used": 2}},
        headline=("standard: 1 x server, 50 users", "  GPUs: 2 of 2"),
    )
    return dataclasses.replace(plain, **changes)


EVERYTHING = report(ACCEPTED, NOTE, OPEN, BAD)
WITH_A_TOKEN = report(
    Finding(
        Code.UNKNOWN_KEY, f"models[0].{TOKEN}", f"no key {TOKEN}", f"remove {TOKEN}", TOKEN, f"a, {TOKEN}"
    ),
    dataclasses.replace(ACCEPTED, accepted=f"because of {TOKEN}"),
    stack=TOKEN,
    file=f"stacks/Pulumi.{TOKEN}.yaml",
    summary={"namespace": TOKEN, TOKEN: [{"name": TOKEN}]},
    headline=(f"model {TOKEN}",),
)


def no_line(plan_report: Report) -> Report:
    return dataclasses.replace(plan_report, lines=(None,) * len(plan_report.findings))


# JSON


def test_json_lists_errors_first_and_accepted_findings_last() -> None:
    tree = json.loads(json_report.as_json(EVERYTHING))
    assert [(item["code"], item["line"]) for item in tree["findings"]] == [
        ("TIER036", 13),
        ("TIER053", 12),
        ("TIER062", 11),
        ("TIER052", 10),
    ]
    assert tree["counts"] == {"errors": 1, "warnings": 1, "notes": 1, "accepted": 1}
    assert tree["ok"] is False
    assert tree["gpus"] == {"used": 2}


def test_a_finding_in_json_has_its_parts_and_its_message() -> None:
    finding = json.loads(json_report.as_json(report(ACCEPTED)))["findings"][0]
    assert finding == {
        "code": "TIER052",
        "name": "ONE_FAILURE_DOMAIN",
        "severity": "warning",
        "path": "nodes.count",
        "line": 10,
        "problem": "one server",
        "got": "1",
        "allowed": None,
        "fix": "use 2",
        "accepted": "it is a test tier",
        "message": "TIER052 nodes.count: one server (got 1) - accepted: it is a test tier",
    }


# Markdown


def test_a_later_run_can_find_the_markdown_comment() -> None:
    lines = markdown.as_markdown(EVERYTHING).splitlines()
    assert lines[:2] == ["<!-- tierup plan: standard -->", "## tierup plan: standard"]
    assert "**This cannot be deployed**: 1 error, 1 warning, 1 note, 1 accepted in" in lines[3]
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        "|",
        "| error TIER036",
        "| warning TIER053",
        "| note TIER062",
        "| accepted warning TIER052",
    ]
    assert "| `nodes.count`, line 10 | one server (got 1) | accepted: it is a test tier |" in lines[-4]
    assert lines[-2:] == ["- standard: 1 x server, 50 users", "- GPUs: 2 of 2"]


def test_markdown_of_a_clean_plan_says_so() -> None:
    text = markdown.as_markdown(report())
    assert "**This can be deployed**: nothing to warn about in `stacks/Pulumi.standard.yaml`." in text
    assert "|" not in text


@pytest.mark.parametrize(
    "hostile", ["a | b", "x\n## heading", "<img src=x>", "[a](http://b)", "`code`", "*b*"]
)
def test_text_of_the_file_never_becomes_markup(hostile: str) -> None:
    finding = Finding(Code.BAD_FORMAT, hostile, hostile, hostile, hostile)
    lines = markdown.as_markdown(report(finding, headline=(), stack=hostile)).splitlines()
    assert len(lines) == 8
    row = lines[-1]
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    outside = re.sub(r"`[^`]*`", "", row)
    assert not re.search(r"(?<!\\)[*`\[#]|<", outside), outside


# SARIF


def checked(plan_report: Report) -> dict[str, Any]:
    """The only run of a log that satisfies the standard's own schema."""
    schema = json.loads(SARIF_SCHEMA.read_text(encoding="utf-8"))
    formats = jsonschema.FormatChecker(formats=())
    formats.checks("uri")(lambda value: re.match(r"[a-z]+://\S+$", str(value)) is not None)
    formats.checks("uri-reference")(lambda value: re.fullmatch(r"[\w.%/-]+", str(value)) is not None)
    log = json.loads(sarif.as_sarif(plan_report, "1.2.3"))
    jsonschema.Draft4Validator(schema, format_checker=formats).validate(log)
    assert log["$schema"] == schema["id"]
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


def test_the_schema_rejects_an_invalid_log() -> None:
    schema = json.loads(SARIF_SCHEMA.read_text(encoding="utf-8"))
    log = json.loads(sarif.as_sarif(EVERYTHING, "1.2.3"))
    for part, key, value in (
        (log["runs"][0]["results"][0], "level", "grave"),
        (log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"], "startLine", 0),
        (log["runs"][0]["tool"]["driver"], "color", "red"),
    ):
        before = part.get(key)
        part[key] = value
        assert not jsonschema.Draft4Validator(schema).is_valid(log), key
        part[key] = before
        if before is None:
            del part[key]
    assert jsonschema.Draft4Validator(schema).is_valid(log)


@pytest.mark.parametrize(
    "plan_report",
    [
        EVERYTHING,
        report(),
        no_line(EVERYTHING),
        WITH_A_TOKEN,
        report(BAD, stack="a b", file="stacks/Pulumi.a b.yaml"),
    ],
    ids=["everything", "nothing", "no lines", "token", "space"],
)
def test_sarif_satisfies_the_standard_s_schema(plan_report: Report) -> None:
    assert len(checked(plan_report)["results"]) == len(plan_report.findings)


def test_every_code_is_a_rule_with_its_explanation() -> None:
    rules = checked(EVERYTHING)["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [str(code) for code in Code]
    for rule in rules:
        explanation = EXPLAINED[Code(rule["id"])]
        assert rule["fullDescription"]["text"] == explanation.meaning
        assert f"docs/findings.md#{rule['id'].lower()}" in rule["help"]["text"]
        assert rule["name"].isalnum()


def test_a_result_names_rule_level_file_line_and_path() -> None:
    run = checked(EVERYTHING)
    results = run["results"]
    assert [result["level"] for result in results] == ["error", "warning", "note", "warning"]
    for result in results:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    location = results[0]["locations"][0]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "stacks/Pulumi.standard.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 13},
    }
    assert location["logicalLocations"] == [{"fullyQualifiedName": "models[0]"}]
    assert results[0]["message"]["text"] == (
        "models[0]: the weights do not fit (got 14 GiB; allowed 12 GiB) - use fewer"
    )


def test_an_accepted_finding_is_suppressed_with_its_reason_and_only_that() -> None:
    suppressions = {result["ruleId"]: result["suppressions"] for result in checked(EVERYTHING)["results"]}
    meant = {"kind": "inSource", "status": "accepted", "justification": "it is a test tier"}
    assert suppressions == {"TIER036": [], "TIER053": [], "TIER062": [], "TIER052": [meant]}


def test_a_fingerprint_stays_the_same_when_lines_or_figures_change() -> None:
    def prints(plan_report: Report) -> list[str]:
        return [
            result["partialFingerprints"]["tierupFinding/v1"] for result in checked(plan_report)["results"]
        ]

    heavier = dataclasses.replace(BAD, got="15 GiB")
    assert prints(report(BAD)) == prints(report(heavier, lines=(99,)))
    assert len(set(prints(report(BAD, heavier, OPEN)))) == 3
    assert prints(report(BAD)) != prints(report(BAD, stack="premium"))


# Secrets


def test_no_format_shows_a_secret() -> None:
    for text in (
        json_report.as_json(WITH_A_TOKEN),
        markdown.as_markdown(WITH_A_TOKEN),
        sarif.as_sarif(WITH_A_TOKEN, "1.2.3"),
    ):
        assert TOKEN not in text
        assert "(a secret)" in text


def test_a_secret_after_a_line_break_is_redacted() -> None:
    finding = Finding(Code.BAD_FORMAT, "a", f"first\n{TOKEN}", "b")
    assert TOKEN not in json_report.as_json(report(finding))


def test_lines_must_have_an_entry_per_finding() -> None:
    with pytest.raises(ValueError, match="needs an entry"):
        report(BAD, lines=())
