"""Measure how long `tierup cost --plan` takes on a saved preview of 1,000 resources.

    python benchmarks/cost_plan.py --resources 1000 --rounds 9

The time includes the start of Python; `tierup --help` shows how much of it passes before a plan is read.
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
    """Measure and report; returns the exit status."""
    parser = argparse.ArgumentParser(description="How long the cost of a large plan takes")
    parser.add_argument("--resources", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    return run(partial(_measure, options.resources, options.rounds), (CommandFailed,))


def _measure(resources: int, rounds: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / "plan.json"
        write_large_plan(plan, resources)
        cost, start = ("cost", "--plan", str(plan), "--format", "markdown"), ("--help",)
        turns = [(_tierup(start), _tierup(cost)) for _ in range(rounds + 1)][1:]  # the first warms the caches
        starts, costs = [turn[0] for turn in turns], [turn[1] for turn in turns]
        size = plan.stat().st_size
    wall, cpu, start_wall = median(costs), median(costs, lambda one: one.cpu), median(starts)
    print(
        f"cost of a plan of {resources} resources, {size / 1e6:.0f} MB: {cpu:.2f} s of CPU, {start_wall:.2f} s to start"
    )
    goal(f"the whole command {wall:.2f} s", f"< {MAX_S:.0f} s", wall < MAX_S)
    figures = {"seconds": wall, "cpu_seconds": cpu, "start_seconds": start_wall}
    return {"resources": resources, "bytes": size, **{key: round(value, 3) for key, value in figures.items()}}


def _tierup(arguments: tuple[str, ...]) -> Run:
    return timed([str(Path(sys.prefix) / "bin" / "tierup"), *arguments], ROOT, os.environ)


if __name__ == "__main__":
    sys.exit(main())
