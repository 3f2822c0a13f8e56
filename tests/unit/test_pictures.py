"""The README's pictures show what the command prints and what a gateway answered, and load nothing from elsewhere."""

import json
import re
from xml.etree import ElementTree

import pytest

from tierup.cli.generate import GENERATED
from tierup.report.terminal import svg
from tierup.templates import ROOT

PICTURES = ["docs/plan.svg", "docs/answer.svg"]
RECORDED = (ROOT / "docs/answer.txt").read_text(encoding="utf-8")


def text_of(picture: str) -> str:
    """The text of a picture, without line ends."""
    root = ElementTree.fromstring(picture)
    lines = root.iter("{http://www.w3.org/2000/svg}text")
    return "".join("".join(line.itertext()).replace("\xa0", " ") for line in lines)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_loads_nothing(name: str) -> None:
    picture = GENERATED[name]()
    assert not re.search(r"url\((?!#)|<(?:image|script|use)\b|@import|@font-face", picture)
    assert (ROOT / "README.md").read_text(encoding="utf-8").count(f"]({name})") == 1


def test_the_plan_is_that_of_the_standard_tier() -> None:
    text = text_of(GENERATED["docs/plan.svg"]())
    assert "$ tierup plan --stack standard" in text
    for part in ("50 users on 1 x Standard: 2 x A100 80 GB PCIe", "KV cache", "warning: TIER052 nodes.count"):
        assert part in text


def test_the_answer_was_recorded_from_an_engine_behind_a_gateway() -> None:
    answered, refused = re.findall(r"^\$ curl [^\n]*\n(.*?)(?=^\$ |\Z)", RECORDED, re.MULTILINE | re.DOTALL)
    answer = json.loads(answered)
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{32}", answer["id"])
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] == 16
    assert re.search(r"^X-Request-Id: [0-9a-f]{32}$", refused, re.MULTILINE)
    assert json.loads(refused.splitlines()[-1])["error"]["code"] == 404


def test_a_line_is_wrapped_and_a_command_is_bold() -> None:
    picture = svg("a <title>", ["$ run", "x" * 130, "a & b"], "one")
    assert "a <title>" in text_of(picture)
    assert re.search(r"font-weight: bold", picture)
    assert text_of(picture).count("x") == 130
    assert "a & b" in text_of(picture)
