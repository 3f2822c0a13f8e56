"""Run a program under the interpreter that has vLLM."""

import json
import subprocess
from pathlib import Path

import processor


def run_in_engine(python: Path, folder: Path, program: str, given: object) -> object:
    """Give the program JSON on its standard input; the JSON of its last line is the result."""
    done = subprocess.run(
        [python, "-c", program],
        input=json.dumps(given),
        env={"HOME": str(folder), "VLLM_LOGGING_LEVEL": "ERROR"} | processor.environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])
