"""Decides whether time and memory per object stay flat as the number of model servers grows."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Run, median
from benchmarks.report import goal, say
from benchmarks.subjects import SAME, UP, Tier, many_models, pulumi
from tierup.local.cluster import Cluster

FLAT = 1.5  # cost of one more object at the large end, against the small end

Figures = dict[str, list[float]]


def scale(sizes: Sequence[int], rounds: int, cluster: Cluster, folder: Path) -> dict[str, object]:
    """Up from nothing and a preview without changes, at each size in turn; memory is watched while they run."""
    tiers = []
    for size in sizes:
        at = folder / f"models-{size}"
        tiers.append((size, Tier.of(many_models(at, cluster, size), at)))
    ups: dict[int, list[Run]] = {size: [] for size in sizes}
    previews: dict[int, list[Run]] = {size: [] for size in sizes}
    for number in range(1, rounds + 1):
        for size, tier in tiers:
            tier.prepare()
            ups[size].append(pulumi(tier.project, *UP, memory=True))
            previews[size].append(pulumi(tier.project, "preview", SAME, memory=True))
            pulumi(tier.project, "destroy", "--yes", "--skip-preview")
            tier.clear()
            tier.remove_nodes()
            say(
                f"round {number}: {size} models, {tier.objects} objects:"
                f" up {ups[size][-1].wall:.2f} s, preview {previews[size][-1].wall:.2f} s"
            )
    return _scaled([(size, tier.objects, ups[size], previews[size]) for size, tier in tiers])


def _scaled(rows: Sequence[tuple[int, int, list[Run], list[Run]]]) -> dict[str, object]:
    print("\nmodels objects   up: wall    CPU   preview: wall    CPU (seconds)   peak MiB during `up`")
    figures: dict[str, list[float]] = {}
    peaks: list[dict[str, float]] = []
    for size, objects, ups, previews in rows:
        parts = sorted({part for run in ups for part in run.peaks})
        peak = {part: round(max(run.peaks.get(part, 0.0) for run in ups), 1) for part in parts}
        figure = {
            "models": size,
            "objects": objects,
            "up": median(ups),
            "up_cpu": median(ups, lambda run: run.cpu),
            "preview": median(previews),
            "preview_cpu": median(previews, lambda run: run.cpu),
            "peak_mib": sum(peak.values()),
        }
        for name, value in figure.items():
            figures.setdefault(name, []).append(round(value, 3))
        peaks.append(peak)
        print(
            f"{size:>6} {objects:>7} {figure['up']:>10.2f} {figure['up_cpu']:>6.2f}"
            f" {figure['preview']:>15.2f} {figure['preview_cpu']:>6.2f}             "
            + ", ".join(f"{part} {mib:.0f}" for part, mib in peak.items())
        )
    goals = [_growth(name, figures) for name in ("up", "up_cpu", "preview", "preview_cpu", "peak_mib")]
    return {**figures, "peak_mib_of": peaks, "goals_met": goals if len(rows) > 2 else None}


def _growth(name: str, figures: Figures) -> bool:
    """Whether one more object costs the same at the large end as at the small end."""
    values, objects, middle = figures[name], figures["objects"], len(figures["objects"]) // 2
    if middle == 0 or middle == len(objects) - 1:
        return False
    unit, factor = ("MiB", 1) if name == "peak_mib" else ("ms", 1000)
    small = (values[middle] - values[0]) / (objects[middle] - objects[0]) * factor
    large = (values[-1] - values[middle]) / (objects[-1] - objects[middle]) * factor
    what = (
        f"{name}: one more object costs {small:.2f} {unit} up to {objects[middle]}, {large:.2f} {unit} after"
    )
    return goal(what, f"at most {FLAT:g}x", large <= FLAT * small)
