"""The run of all suites: no failure hides another suite, and the table has every result."""

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import suites
from polling import until
from suites import Row, Step, Suite, main

GOOD = "def test_good(): pass\n"
BAD = "def test_bad(): assert False\n"
SKIPPED = "import pytest\n@pytest.mark.skip(reason='NOT PROVEN: this processor lacks avx512f')\ndef test_s(): pass\n"
BROKEN = "import nothing_of_that_name\n"


def suite(folder: Path, name: str, text: str, *needs: Step) -> Suite:
    (folder / name).mkdir()
    (folder / name / f"test_{name}.py").write_text(text)
    return Suite(name, str(folder / name), needs=needs)


def rows(out: str) -> dict[str, list[str]]:
    """The summary's lines by their first word."""
    return {line.split()[0]: line.split()[1:] for line in out.partition("== summary\n")[2].splitlines()[1:]}


def test_a_failed_suite_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    absent = Step("tool", "no.such.module")
    wanted = (
        suite(tmp_path, "bad", BAD + GOOD),
        suite(tmp_path, "broken", BROKEN, absent),
        suite(tmp_path, "empty", ""),
        suite(tmp_path, "good", GOOD + SKIPPED, absent),
    )
    monkeypatch.setattr(suites, "SUITES", wanted)
    assert main([]) == 1
    out = capfd.readouterr().out
    found = rows(out)
    assert found["bad"] == ["1", "1", "0", found["bad"][3], "FAILED"]
    assert found["broken"][:3] == ["0", "1", "0"]
    assert found["empty"][-1] == "FAILED"
    assert "empty: no test ran" in out
    assert found["good"] == ["1", "0", "1", found["good"][3], "ok"]
    assert "good: 1 skipped: NOT PROVEN: this processor lacks avx512f" in out
    assert out.count("-m no.such.module") == 1, "a step runs once"
    assert "tool: could not be installed" in out
    assert out.splitlines()[-1] == "tests: 2 passed, 2 failed, 1 skipped"


def test_a_failed_installation_fails_the_run_unless_it_is_optional(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (optional, code) in enumerate([(False, 1), (True, 0)]):
        step = Step("tool", "no.such.module", optional=optional)
        monkeypatch.setattr(suites, "SUITES", (suite(tmp_path, f"good{number}", GOOD, step),))
        assert main([]) == code


def test_the_share_of_statements_that_ran_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    made = suite(tmp_path, "good", "from tierup.findings.model import did_you_mean\n" + GOOD)
    monkeypatch.setattr(suites, "SUITES", (Suite(made.name, made.folder, covers=("tierup.findings",)),))
    assert main([]) == 0
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("good: ")]
    share = re.fullmatch(r"good: (\d+) % of the statements of tierup\.findings were run", line)
    assert share, line
    assert 0 < int(share[1]) < 100


def test_what_a_suite_compiles_is_kept_for_its_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment forbids it, as images for CI do."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    text = """
import subprocess, sys
from pathlib import Path
def test_kept(tmp_path):
    (tmp_path / "part.py").write_text("")
    subprocess.run([sys.executable, "-c", "import part"], cwd=tmp_path, check=True)
    assert list(tmp_path.rglob("part.*.pyc"))
"""
    monkeypatch.setattr(suites, "SUITES", (suite(tmp_path, "good", text),))
    assert main([]) == 0


def test_one_suite_runs_alone_and_an_unknown_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suites, "SUITES", (suite(tmp_path, "bad", BAD), suite(tmp_path, "good", GOOD)))
    assert main(["good"]) == 0
    assert rows(capfd.readouterr().out).keys() == {"good", "tests:"}
    assert main(["good", "--only", str(tmp_path / "bad")]) == 1
    with pytest.raises(SystemExit) as result:
        main(["godo"])
    assert result.value.code == 2


def test_an_interrupted_run_prints_what_it_has(tmp_path: Path) -> None:
    sleeps = f"import time\ndef test_slow():\n    open({str(tmp_path / 'on')!r}, 'w')\n    time.sleep(60)\n"
    wanted = (suite(tmp_path, "good", GOOD), suite(tmp_path, "slow", sleeps))
    program = (
        f"import sys, suites\nfrom suites import Suite\nsuites.SUITES = {wanted!r}\nsys.exit(suites.main([]))"
    )
    command = ["env", "--default-signal=INT", sys.executable, "-c", program]
    out = tmp_path / "out"
    with out.open("w") as stream:
        child = subprocess.Popen(command, stdout=stream, cwd=Path(suites.__file__).parent)
    until(lambda: (tmp_path / "on").exists() or child.poll() is not None, "the slow test runs")
    began = time.monotonic()
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 130
    assert time.monotonic() - began < 30
    assert rows(out.read_text()).keys() == {"good", "tests:"}


def test_a_suite_that_hangs_is_stopped_and_has_printed_its_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also if it takes no notice of the interrupt."""
    hangs = """
import signal, sys, time
def test_bad():
    print("what the server printed")
    assert 1 + 1 == 3, "a wrong sum"
def test_hangs():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(60)
"""
    made = suite(tmp_path, "hangs", hangs)
    monkeypatch.setattr(suites, "STOPPING_SECONDS", 0.5)
    monkeypatch.setattr(suites, "SUITES", (replace(made, minutes=0.25), suite(tmp_path, "good", GOOD)))
    began = time.monotonic()
    assert main([]) == 1
    assert time.monotonic() - began < 50
    out = capfd.readouterr().out
    assert rows(out)["hangs"][-1] == "FAILED"
    assert "hangs: stopped, because it had not ended after 0.25 minutes" in out
    assert "a wrong sum" in out, "although pytest never came to its own report"
    assert "what the server printed" in out
    assert rows(out)["good"][-1] == "ok"


def test_the_table_lines_up() -> None:
    lines = list(suites.table([Row("unit", True, 61.4, Counter(passed=4540)), Row("lint", False, 7)]))
    assert lines[:3] == [
        "                passed  failed skipped  seconds",
        "unit              4540       0       0       61  ok",
        "lint                                          7  FAILED",
    ]
    assert re.fullmatch(r"tests: \d+ passed, \d+ failed, \d+ skipped", lines[-1])
