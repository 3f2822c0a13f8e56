"""A program that is forked behind the imports ends, prints and reads as one that Python has started."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from warm_python import WarmPython, warm_python

ECHO = "import os, sys; print(sys.argv[1:], sys.stdin.read(), os.environ['NAME'], os.getcwd())"


def test_it_has_its_own_streams_folder_and_environment(warm: WarmPython, tmp_path: Path) -> None:
    env = {**os.environ, "NAME": "its-own"}
    ended = warm.run(ECHO, "one", "two words", cwd=tmp_path, env=env, stdin=b"typed")
    assert ended.stdout == f"['one', 'two words'] typed its-own {tmp_path}\n"
    assert (ended.stderr, ended.returncode) == ("", 0)


def test_one_run_sees_nothing_of_another(warm: WarmPython, tmp_path: Path) -> None:
    warm.run("import os, tierup; tierup.left = 1; os.environ['LEFT'] = '1'", cwd=tmp_path)
    ended = warm.run("import os, tierup; print(hasattr(tierup, 'left'), 'LEFT' in os.environ)", cwd=tmp_path)
    assert ended.stdout == "False False\n"


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise ValueError", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    ],
)
def test_its_end_is_told(warm: WarmPython, tmp_path: Path, code: str, exit_code: int) -> None:
    ended = warm.run(code, cwd=tmp_path)
    assert ended.returncode == exit_code
    assert ("ValueError" in ended.stderr) is ("ValueError" in code)


def test_a_script_runs_there_too(warm: WarmPython, tmp_path: Path) -> None:
    script = tmp_path / "echo"
    script.write_text(warm.script(ECHO))
    script.chmod(0o755)
    run = subprocess.run(
        [script, "one"],
        input="piped",
        env={**os.environ, "NAME": "n"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == f"['one'] piped n {tmp_path}\n"


def test_a_module_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no_such_module"), warm_python(("no_such_module",), tmp_path):
        pass
