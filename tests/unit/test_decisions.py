"""The record of decisions: each page has a status, and the index lists every page by its title."""

import re
from pathlib import Path

import pytest

ADR = Path(__file__).parents[2] / "docs" / "adr"
PAGES = sorted(ADR.glob("[0-9]*.md"))
STATUS = re.compile(r"Status: (accepted|proposed|superseded by (?P<by>\d{4})), 20\d\d-\d\d-\d\d")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_a_decision_has_a_status_and_is_in_the_index(page: Path) -> None:
    title, gap, status, *_ = page.read_text().splitlines()
    number, _, name = title.removeprefix("# ").partition(" ")
    assert page.name.startswith(f"{number}-")
    assert gap == ""
    match = STATUS.fullmatch(status)
    assert match, status
    if match["by"]:
        assert list(ADR.glob(f"{match['by']}-*.md")), "the decision that supersedes it exists"
    assert f"| [{number}]({page.name}) | {name} |" in (ADR / "README.md").read_text()
