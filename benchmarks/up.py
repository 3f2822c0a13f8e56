"""Compare how long a tier takes to deploy by Pulumi, by kubectl, and how long an empty program takes.

    python benchmarks/up.py                 one tier against kubectl and the empty program
    python benchmarks/up.py --scale         time and memory per object from 1 to 50 model servers

Everything runs in turns on one local cluster, so that a busy machine affects all equally. The table goes to standard
output, followed by the figures as one JSON line; goals are reported and never fail the run.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measure import CommandFailed, Run, median
from benchmarks.report import goal, progress, run
from benchmarks.scale import scale
from benchmarks.subjects import ROOT, SAME, UP, Tier, empty_project, local_cluster, pulumi
from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.folders import LocalClusterError
from tierup.local.cluster.project import LocalProject
from tierup.local.toolchain import ToolMissing

MAX_RATIO = 1.3  # of a first `up`, relative to kubectl
MAX_MS_PER_OBJECT = 10.0  # of a preview without changes, in addition to the empty program's

Results = dict[str, list[Run]]


def compare(stack: str, rounds: int, cluster: Cluster, folder: Path) -> dict[str, object]:
    """Run `rounds` rounds in alternating order, after one uncounted round that warms the caches."""
    tier = Tier.of(LocalProject(ROOT, stack, cluster), folder)
    empty = empty_project(folder / "empty", cluster)
    empty.prepare()
    pulumi(empty, *UP)
    results: Results = {}
    for number in range(rounds + 1):
        this: Results = {}
        turns: list[Callable[[], None]] = [
            partial(by_pulumi, tier, empty, this),
            partial(by_kubectl, tier, this),
        ]
        for turn in turns if number % 2 else reversed(turns):
            turn()
        progress(
            f"round {number or 'to warm up'}: " + ", ".join(f"{k} {r[0].wall:.2f} s" for k, r in this.items())
        )
        if number > 0:
            for name, runs in this.items():
                results.setdefault(name, []).extend(runs)
    return _compared(tier, results)


def by_pulumi(tier: Tier, empty: LocalProject[Cluster], results: Results) -> None:
    """Deploy and destroy the tier, with runs of the empty program in between."""

    def timed(name: str, project: LocalProject[Cluster], *arguments: str) -> None:
        results.setdefault(name, []).append(pulumi(project, *arguments))

    tier.prepare()
    timed("pulumi up", tier.project, *UP)
    for name, arguments in (("preview", ("preview",)), ("up", UP)):
        tier.project.prepare()
        timed(f"pulumi {name}, no change", tier.project, *arguments, SAME)
        empty.prepare()
        timed(f"empty program {name}", empty, *arguments, SAME)
    tier.project.prepare()
    timed("pulumi destroy", tier.project, "destroy", "--yes", "--skip-preview")
    tier.clear()


def by_kubectl(tier: Tier, results: Results) -> None:
    """Deploy and delete the same objects with the same waits."""
    tier.prepare()
    results.setdefault("kubectl apply + wait", []).append(tier.kubectl_up())
    results.setdefault("kubectl delete", []).append(tier.kubectl_down())
    tier.clear()


def _compared(tier: Tier, results: Results) -> dict[str, object]:
    wall = {name: median(runs) for name, runs in results.items()}
    print(
        f"\n{tier.plan.stack}: {tier.objects} objects, {len(results['pulumi up'])} rounds; seconds, median (min-max)"
    )
    for name, runs in results.items():
        spread = f"{min(run.wall for run in runs):.2f}-{max(run.wall for run in runs):.2f}"
        print(f"  {name:<26}{wall[name]:6.2f}  ({spread})   CPU {median(runs, lambda run: run.cpu):6.2f}")
    ratio = wall["pulumi up"] / wall["kubectl apply + wait"]
    per_object = (wall["pulumi preview, no change"] - wall["empty program preview"]) / tier.objects * 1000
    goals = [
        goal(f"from nothing, against kubectl: {ratio:.2f}x", f"at most {MAX_RATIO:g}x", ratio <= MAX_RATIO),
        goal(
            f"preview without changes, above the empty program: {per_object:.1f} ms per object",
            f"at most {MAX_MS_PER_OBJECT:g} ms",
            per_object <= MAX_MS_PER_OBJECT,
        ),
    ]
    figures = {
        name: {"wall": [round(r.wall, 3) for r in runs], "cpu": [round(r.cpu, 3) for r in runs]}
        for name, runs in results.items()
    }
    return {
        "stack": tier.plan.stack,
        "objects": tier.objects,
        "seconds": figures,
        "ratio_to_kubectl": round(ratio, 3),
        "preview_ms_per_object": round(per_object, 2),
        "goals_met": goals,
    }


def main() -> int:
    """Run the benchmark; returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", default="standard", help="the tier to bring up (default: standard)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default: 5)")
    parser.add_argument(
        "--scale", action="store_true", help="measure growth with the number of model servers instead"
    )
    parser.add_argument("--models", default="1,5,10,25,50", help="sizes for --scale (default: 1,5,10,25,50)")
    options = parser.parse_args()

    def measure() -> dict[str, object]:
        with local_cluster() as (cluster, folder):
            if options.scale:
                sizes = [int(size) for size in options.models.split(",")]
                return {"rounds": options.rounds, "scale": scale(sizes, options.rounds, cluster, folder)}
            return {"rounds": options.rounds, **compare(options.stack, options.rounds, cluster, folder)}

    return run(measure, (CommandFailed, LocalClusterError, ToolMissing))


if __name__ == "__main__":
    sys.exit(main())
