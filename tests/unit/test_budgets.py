"""Budgets of tokens: windows that pay for earlier ones, counts that survive a restart, lines that are half written."""

import json
from pathlib import Path

import pytest
from reloader_budgets import Budgets, Window, at, free_at

NOON = 1_795_867_200  # a whole minute


@pytest.mark.parametrize(
    ("used", "seconds", "left"),
    [(0, 30, 0), (99, 59, 99), (99, 60, 0), (250, 60, 150), (250, 120, 50), (250, 180, 0), (250, 6000, 0)],
)
def test_each_window_pays_for_one_budget(used: int, seconds: int, left: int) -> None:
    window = at(Window(NOON, used), NOON + seconds, 60, 100)
    assert window == Window(NOON + seconds // 60 * 60, left)


@pytest.mark.parametrize(("used", "minutes"), [(0, 0), (99, 0), (100, 1), (199, 1), (200, 2), (1050, 10)])
def test_a_caller_is_free_in_the_window_whose_budget_is_not_used(used: int, minutes: int) -> None:
    until = free_at(Window(NOON, used), 60, 100)
    assert until == (NOON + 60 * minutes if minutes else 0)
    if until:
        assert free_at(at(Window(NOON, used), until - 1, 60, 100), 60, 100) == until
        assert free_at(at(Window(NOON, used), until, 60, 100), 60, 100) == 0


def test_over_any_time_a_caller_gets_its_budget_and_one_request_more() -> None:
    """A caller that sends requests of 70 tokens whenever it may, one at a time, through ten minutes."""
    window, total = Window(), 0
    for second in range(600):
        window = at(window, NOON + second, 60, 100)
        if free_at(window, 60, 100) == 0:
            window, total = window._replace(used=window.used + 70), total + 70
    assert 10 * 100 <= total <= 10 * 100 + 70


def budgets(folder: Path, **tokens: dict[str, int]) -> Budgets:
    return Budgets(folder, tokens)


def line(name: str, prompt: int, answer: int) -> str:
    return f"{name} {prompt} 0 {answer} usage {NOON}.123\n"


def test_lines_are_counted_once_and_half_a_line_waits(tmp_path: Path) -> None:
    state = budgets(tmp_path, web={"60": 100}, ops={"60": 100, "86400": 120})
    log = tmp_path / "tokens" / str(NOON // 100)
    log.write_text(
        line("web", 60, 20)
        + line("ops", 100, 0)
        + line("stranger", 999, 0)
        + "noise\n"
        + line("web", 30, 0)[:-3]
    )
    state.update(NOON + 1)
    assert {path.name: path.read_text() for path in (tmp_path / "spent").iterdir()} == {"ops": str(NOON + 60)}
    log.write_text(log.read_text()[:-4] + line("web", 30, 0)[-7:])
    state.update(NOON + 2)
    state.update(NOON + 3)
    assert state.windows["web"][60].used == 110
    assert {path.name for path in (tmp_path / "spent").iterdir()} == {"web", "ops"}
    state.update(NOON + 61)
    assert list((tmp_path / "spent").iterdir()) == []
    log.write_text(log.read_text() + line("ops", 30, 0))
    state.update(NOON + 62)
    day = (NOON // 86_400 + 1) * 86_400
    assert (tmp_path / "spent" / "ops").read_text() == str(day), "the longer of both windows"


def test_a_restart_forgets_nothing_and_old_files_go(tmp_path: Path) -> None:
    log = tmp_path / "tokens" / str(NOON // 100)
    first = budgets(tmp_path, web={"60": 100})
    log.write_text(line("web", 80, 0))
    first.update(NOON)
    again = budgets(tmp_path, web={"60": 100})
    log.write_text(log.read_text() + line("web", 80, 0))
    again.update(NOON + 1)
    assert again.windows["web"][60].used == 160
    again.update(NOON + 1000)
    assert list((tmp_path / "tokens").iterdir()) == []
    assert json.loads((tmp_path / "budgets.json").read_text())["read"] == {}


def test_counts_that_cannot_be_read_begin_anew(tmp_path: Path) -> None:
    (tmp_path / "budgets.json").write_text('{"read": 3')
    state = budgets(tmp_path, web={"60": 100})
    state.update(NOON)
    assert state.windows["web"][60].used == 0
