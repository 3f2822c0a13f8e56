"""Every code is explained, once, truthfully, and under the heading that its enumeration gives it."""

import re
from pathlib import Path

import pytest

from tierup.catalog import load_catalog
from tierup.findings.explanations import ACCEPTABLE, EXPLAINED, GROUPS, gravest, group_of
from tierup.findings.model import Code, Severity
from tierup.io.stack.read import parse_stack
from tierup.report.findings_page import page
from tierup.rules.preflight import examine
from tierup.stack.parse import parse

ROOT = Path(__file__).parents[2]
BAD = sorted((Path(__file__).parent / "bad_stacks").glob("*.yaml"))


def test_every_code_is_explained() -> None:
    assert {code for code in Code if code not in EXPLAINED} == set()


@pytest.mark.parametrize("code", Code)
def test_an_explanation_has_plain_sentences_and_a_severity(code: Code) -> None:
    said = EXPLAINED[code]
    assert said.title[0].isupper()
    assert not said.title.endswith(".")
    for text in (said.meaning, said.fix):
        assert re.fullmatch(r"[A-Z`][^\n]*\.", text), text
    assert 30 < len(said.meaning) < 300
    assert said.severities
    assert len(set(said.severities)) == len(said.severities)


def test_no_two_codes_have_one_name() -> None:
    titles = [said.title for said in EXPLAINED.values()]
    assert len(set(titles)) == len(titles)


def test_headings_are_the_enumeration_s_comments() -> None:
    source = (ROOT / "tierup/findings/model.py").read_text(encoding="utf-8")
    body = source[source.index("class Code(") : source.index("@dataclass")]
    heading, headings = "", {}
    for line in body.splitlines():
        if comment := re.fullmatch(r"    # (.*)", line):
            heading = comment[1]
        elif member := re.fullmatch(r'    \w+ = "(TIER\d+)"', line):
            headings[member[1]] = heading
    assert headings == {str(code): group_of(code) for code in Code}
    assert set(headings.values()) == set(GROUPS.values())


def test_the_page_has_an_anchor_for_each_code_and_each_once() -> None:
    assert re.findall(r"^### (\S+)$", page(), re.MULTILINE) == [str(code) for code in Code]
    assert re.findall(r"^## (.+)$", page(), re.MULTILINE) == list(GROUPS.values())
    assert "**One server carries everything** (warning)." in page()


def test_mistakes_of_the_file_are_told_with_the_severities_that_are_explained() -> None:
    told = set()
    for path in BAD:
        raw = parse_stack(path.read_text(encoding="utf-8"), "bad", path.name)
        for finding in examine(parse(raw), load_catalog()).findings:
            assert finding.severity in EXPLAINED[finding.code].severities, (path.name, finding)
            told.add(finding.code)
    assert len(told) > 40


def test_what_can_be_accepted_is_what_is_not_always_an_error() -> None:
    assert Code.ONE_FAILURE_DOMAIN in ACCEPTABLE
    assert Code.WEIGHTS_DO_NOT_FIT not in ACCEPTABLE
    assert {gravest(code) for code in set(Code) - {*ACCEPTABLE, Code.STALE_ACCEPTANCE}} == {Severity.ERROR}
