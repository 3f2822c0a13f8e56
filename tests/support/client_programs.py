"""Run the programs of users that have an environment of their own: LangChain, LiteLLM and GuideLLM."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from engine_server import find_engine

from tierup.local.toolchain import clients_env
from tierup.local.toolchain.engine_env import EngineMissing

# Nothing asks a hub, or for a list of prices, or sends traces.
OFFLINE = {"HF_HUB_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}
DEADLINE_SECONDS = 300


def find_clients() -> Path:
    """The interpreter that has these programs; skips if they are not installed."""
    try:
        return clients_env.default().python()
    except EngineMissing as missing:
        pytest.skip(f"NOT PROVEN: {missing}")


def ask(program: str, folder: Path) -> str:
    """Run a Python program among these packages; what it prints."""
    return _ended([str(find_clients()), "-c", program], folder)


def shell(text: str, folder: Path) -> str:
    """Run lines of a shell that has `guidellm`; what they print."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    command = programs / "guidellm"
    # Behind its own packages it finds the engine's torch.
    torch = next((find_engine().parents[1] / "lib").glob("python*/site-packages"))
    code = f"import sys; sys.path.append('{torch}'); from guidellm.__main__ import cli; cli()"
    command.write_text(f'#!/bin/sh\nexec "{find_clients()}" -c "{code}" "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return _ended(
        ["env", f"PATH={programs}:{os.environ['PATH']}", "bash", "-euo", "pipefail", "-c", text], folder
    )


def _ended(command: list[str], folder: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **OFFLINE}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout
