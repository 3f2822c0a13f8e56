"""Pages and pictures on a phone, a tablet and a screen, light and dark: nothing sticks out, all can be read."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from bills import TODAY
from load_pages import unmeasured_page
from tier_plans import TIERS, plan_of

from tierup.cli.cost import priced_stack
from tierup.cli.generate import ROOT
from tierup.plan.model import CurrencyPlan
from tierup.report import cost_html

Browse = Callable[..., str]
PROBE = (Path(__file__).parent / "probe.js").read_text(encoding="utf-8")
WIDTHS = (500, 900, 1400)
DARK = "--blink-settings=preferredColorScheme=0"
READABLE = 9.5  # pixels: the smallest text of a picture on a phone


@dataclass(frozen=True)
class Look:
    width: int
    scheme: str

    @property
    def words(self) -> list[str]:
        return [f"--window-size={self.width},1200", *([DARK] if self.scheme == "dark" else [])]


LOOKS = [Look(width, scheme) for width in WIDTHS for scheme in ("light", "dark")]
every_look = pytest.mark.parametrize("look", LOOKS, ids=lambda look: f"{look.width}-{look.scheme}")


def probed(browse: Browse, page: str, folder: Path, look: Look) -> dict[str, Any]:
    """What the probe measures on the page in this look."""
    file = folder / "probed.html"
    file.write_text(page.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    (found,) = re.findall(r'<pre id="probe">(.*?)</pre>', browse(file, "--dump-dom", *look.words), re.DOTALL)
    measured: dict[str, Any] = json.loads(unescape(found))
    assert measured["width"] == look.width
    return measured


def check(measured: dict[str, Any]) -> None:
    assert measured["scrolls"] is False
    assert measured["out"] == measured["cut"] == measured["touching"] == []
    assert len(measured["texts"]) > 20
    faint = [item for item in measured["texts"] if item["contrast"] < 4.5]
    small = [item for item in measured["texts"] if item["pixels"] < READABLE]
    assert (faint, small) == ([], [])


@pytest.fixture(scope="module")
def cost_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of all tiers, as the command writes it."""
    file = tmp_path_factory.mktemp("cost") / "cost.html"
    words = ["--stack", "entry", "--beside", "standard", "--beside", "premium", "--api", "0.10/0.40"]
    command = [
        sys.executable,
        "-c",
        "from tierup.cli import main; main()",
        "cost",
        *words,
        "--report",
        str(file),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return file.read_text(encoding="utf-8")


@every_look
def test_the_cost_page(browse: Browse, cost_page: str, tmp_path: Path, look: Look) -> None:
    measured = probed(browse, cost_page, tmp_path, look)
    check(measured)
    dark = measured["page"] == "rgb(13, 17, 23)"
    assert dark is (look.scheme == "dark")
    first = [item["text"] for item in measured["texts"][:4]]
    assert any(re.fullmatch(r"\$[\d,.]+ a month", text) for text in first)  # the figure leads


@pytest.mark.parametrize(("code", "per_usd"), [("EUR", "0.86"), ("JPY", "155")])
def test_the_cost_page_of_another_currency_on_a_phone(
    browse: Browse, tmp_path: Path, code: str, per_usd: str
) -> None:
    currency = CurrencyPlan(code, Decimal(per_usd), "our bank", TODAY)
    tiers = [
        priced_stack(replace(plan_of(name), currency=currency), TODAY, None, "0.10/0.40") for name in TIERS
    ]
    page = cost_html.render([(tier.report, tier.outlook) for tier in tiers])
    check(probed(browse, page, tmp_path, LOOKS[0]))


@every_look
def test_the_page_of_a_load_test(browse: Browse, tmp_path: Path, look: Look) -> None:
    measured = probed(browse, unmeasured_page(), tmp_path, look)
    check(measured)
    assert "not measured" in measured["texts"][1]["text"]


@every_look
def test_the_picture_of_the_comparison_has_a_ground_of_its_own(
    browse: Browse, tmp_path: Path, look: Look
) -> None:
    picture = (ROOT / "docs/compare.svg").read_text(encoding="utf-8")
    style = "<style>:root{color-scheme: light dark} svg{width: 100%; height: auto}</style>"
    page = f"<!doctype html><html><head>{style}</head><body>{picture}</body></html>"
    measured = probed(browse, page, tmp_path, look)
    assert measured["out"] == measured["cut"] == measured["touching"] == []
    assert [item for item in measured["texts"] if item["contrast"] < 4.5] == []


def test_the_probe_sees_what_is_wrong(browse: Browse, tmp_path: Path) -> None:
    page = (
        '<!doctype html><html><body style="background: #fff"><p style="color: #999">faint</p>'
        '<p style="width: 2000px; color: #000">long</p>'
        '<svg viewBox="0 0 880 100" width="400" fill="#000"><text x="850" y="50">cut off</text>'
        '<text x="10" y="20">one</text><text x="12" y="22">two</text></svg></body></html>'
    )
    measured = probed(browse, page, tmp_path, LOOKS[0])
    assert measured["scrolls"] is True
    assert [item["text"] for item in measured["texts"] if item["contrast"] < 4.5] == ["faint"]
    assert (measured["cut"], measured["touching"]) == (["cut off"], ["one / two"])
    assert any("long" in item for item in measured["out"])
