"""Decides nothing: reports how long `tierup cost --plan` takes on a saved preview of 1,000 resources.

    python benchmarks/cost_plan.py --resources 1000 --rounds 9

The whole command is timed, the start of Python too, against `tierup --help`: what it takes before it reads a plan.
"""

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.large_plan import write_large_plan
from benchmarks.measure import CommandFailed, Run, median
from benchmarks.measure import run as timed
from benchmarks.report import goal, run

ROOT = Path(__file__).parents[1]
MAX_S = 1.0


def main() -> int:
    """Measure and report; the exit status."""
    parser = argparse.ArgumentParser(description="How long the cost of a large plan takes")
    parser.add_argument("--resources", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    said = parser.parse_args()
    return run(partial(_measure, said.resources, said.rounds), (CommandFailed,))


def _measure(resources: int, rounds: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        write_large_plan(plan, resources)
        cost, start = ("cost", "--plan", str(plan), "--format", "markdown"), ("--help",)
        turns = [(_tierup(start), _tierup(cost)) for _ in range(rounds + 1)][1:]  # the first warms the caches
        starts, costs = [turn[0] for turn in turns], [turn[1] for turn in turns]
        size = plan.stat().st_size
    whole, cpu, before = median(costs), median(costs, lambda one: one.cpu), median(starts)
    print(
        f"cost of a plan of {resources} resources, {size / 1e6:.0f} MB: {cpu:.2f} s of CPU, {before:.2f} s to start"
    )
    goal(f"the whole command {whole:.2f} s", f"< {MAX_S:.0f} s", whole < MAX_S)
    figures = {"seconds": whole, "cpu_seconds": cpu, "start_seconds": before}
    return {"resources": resources, "bytes": size, **{key: round(value, 3) for key, value in figures.items()}}


def _tierup(words: tuple[str, ...]) -> Run:
    return timed([str(Path(sys.prefix) / "bin" / "tierup"), *words], ROOT, os.environ)


if __name__ == "__main__":
    sys.exit(main())
