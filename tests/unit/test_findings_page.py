"""Every code is explained once, with the severities that rules use."""

import re
from pathlib import Path

from tierup.catalog import load_catalog
from tierup.findings.explanations import ACCEPTABLE, EXPLAINED, GROUPS, group_of, worst_severity
from tierup.findings.model import Code, Severity
from tierup.io.stack.read import parse_stack
from tierup.report.findings_page import page
from tierup.rules.preflight import examine
from tierup.stack.parse import parse

BAD = sorted((Path(__file__).parent / "bad_stacks").glob("*.yaml"))


def test_every_code_is_explained() -> None:
    assert {code for code in Code if code not in EXPLAINED} == set()


def test_every_explanation_has_sentences_and_severities() -> None:
    for code, explanation in EXPLAINED.items():
        assert explanation.title[0].isupper(), code
        assert not explanation.title.endswith("."), code
        for text in (explanation.meaning, explanation.fix):
            assert re.fullmatch(r"[A-Z`][^\n]*\.", text), (code, text)
        assert 30 < len(explanation.meaning) < 300, code
        assert explanation.severities, code
        assert len(set(explanation.severities)) == len(explanation.severities), code


def test_titles_are_unique() -> None:
    titles = [explanation.title for explanation in EXPLAINED.values()]
    assert len(set(titles)) == len(titles)


def test_every_heading_has_a_code_under_it() -> None:
    assert [group_of(Code(f"TIER{start:03}")) for start in GROUPS] == list(GROUPS.values())
    assert {group_of(code) for code in Code} == set(GROUPS.values())


def test_the_page_has_an_anchor_for_each_code_and_each_once() -> None:
    assert re.findall(r"^### (\S+)$", page(), re.MULTILINE) == [str(code) for code in Code]
    assert re.findall(r"^## (.+)$", page(), re.MULTILINE) == list(GROUPS.values())
    assert "**One server carries everything** (warning)." in page()


def test_findings_of_bad_stack_files_have_the_explained_severities() -> None:
    reported = set()
    for path in BAD:
        raw = parse_stack(path.read_text(encoding="utf-8"), "bad", path.name)
        for finding in examine(parse(raw), load_catalog()).findings:
            assert finding.severity in EXPLAINED[finding.code].severities, (path.name, finding)
            reported.add(finding.code)
    assert len(reported) > 40


def test_codes_that_are_always_errors_cannot_be_accepted() -> None:
    assert Code.ONE_FAILURE_DOMAIN in ACCEPTABLE
    assert Code.WEIGHTS_DO_NOT_FIT not in ACCEPTABLE
    assert {worst_severity(code) for code in set(Code) - {*ACCEPTABLE, Code.STALE_ACCEPTANCE}} == {
        Severity.ERROR
    }
