"""Measure whether time and memory per object stay constant as the number of model servers grows."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Run, median
from benchmarks.report import goal, progress
from benchmarks.subjects import SAME, UP, Tier, many_models, pulumi
from tierup.local.cluster.cluster import Cluster

MAX_GROWTH = 1.5  # cost of one more object at the large end, relative to the small end
# Pulumi's engine writes the whole state twice for every resource; without that, the cost grows only with the objects.
# For measurements only: an `up` that is killed without checkpoints loses the resources it created.
_ONE_WRITE = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}

_GROWING = ("up", "up_cpu", "up_one_write", "up_one_write_cpu", "preview", "preview_cpu", "peak_mib")

Figures = dict[str, list[float]]


def scale(sizes: Sequence[int], rounds: int, cluster: Cluster, folder: Path) -> dict[str, object]:
    """A first `up`, with and without checkpoints, and a preview without changes, at each size in turn."""
    tiers: list[tuple[int, Tier]] = []
    for size in sizes:
        at = folder / f"models-{size}"
        tiers.append((size, Tier.of(many_models(at, cluster, size), at)))
    runs: dict[int, tuple[list[Run], list[Run], list[Run]]] = {size: ([], [], []) for size in sizes}
    for number in range(1, rounds + 1):
        for size, tier in tiers:
            ups, once, previews = runs[size]
            tier.prepare()
            once.append(pulumi(tier.project, *UP, env=_ONE_WRITE))
            _take_down(tier)
            tier.prepare()
            ups.append(pulumi(tier.project, *UP, memory=True))
            previews.append(pulumi(tier.project, "preview", SAME, memory=True))
            _take_down(tier)
            progress(
                f"round {number}: {size} models, {tier.objects} objects: up {ups[-1].wall:.2f} s"
                f" (one write of the state {once[-1].wall:.2f} s), preview {previews[-1].wall:.2f} s"
            )
    return _scaled([(size, tier.objects, *runs[size]) for size, tier in tiers])


def _take_down(tier: Tier) -> None:
    pulumi(tier.project, "destroy", "--yes", "--skip-preview")
    tier.clear()
    tier.remove_nodes()


def _scaled(rows: Sequence[tuple[int, int, list[Run], list[Run], list[Run]]]) -> dict[str, object]:
    print(
        "\nmodels objects   up: wall    CPU   one write: wall    CPU   preview: wall    CPU (seconds)"
        "   peak MiB during `up`"
    )
    figures: dict[str, list[float]] = {}
    peaks: list[dict[str, float]] = []
    for size, objects, ups, once, previews in rows:
        parts = sorted({part for run in ups for part in run.peaks})
        peak = {part: round(max(run.peaks.get(part, 0.0) for run in ups), 1) for part in parts}
        figure = {
            "models": size,
            "objects": objects,
            "up": median(ups),
            "up_cpu": median(ups, lambda run: run.cpu),
            "up_one_write": median(once),
            "up_one_write_cpu": median(once, lambda run: run.cpu),
            "preview": median(previews),
            "preview_cpu": median(previews, lambda run: run.cpu),
            "peak_mib": sum(peak.values()),
        }
        for name, value in figure.items():
            figures.setdefault(name, []).append(round(value, 3))
        peaks.append(peak)
        print(
            f"{size:>6} {objects:>7} {figure['up']:>10.2f} {figure['up_cpu']:>6.2f}"
            f" {figure['up_one_write']:>17.2f} {figure['up_one_write_cpu']:>6.2f}"
            f" {figure['preview']:>15.2f} {figure['preview_cpu']:>6.2f}             "
            + ", ".join(f"{part} {mib:.0f}" for part, mib in peak.items())
        )
    goals = [_growth(name, figures) for name in _GROWING]
    return {**figures, "peak_mib_of": peaks, "goals_met": goals if len(rows) > 2 else None}


def _growth(name: str, figures: Figures) -> bool:
    """Report whether one more object costs about the same at the large end as at the small end."""
    values, objects, middle = figures[name], figures["objects"], len(figures["objects"]) // 2
    if middle == 0 or middle == len(objects) - 1:
        return False
    unit, factor = ("MiB", 1) if name == "peak_mib" else ("ms", 1000)
    small = (values[middle] - values[0]) / (objects[middle] - objects[0]) * factor
    large = (values[-1] - values[middle]) / (objects[-1] - objects[middle]) * factor
    what = (
        f"{name}: one more object costs {small:.2f} {unit} up to {objects[middle]}, {large:.2f} {unit} after"
    )
    return goal(what, f"at most {MAX_GROWTH:g}x", large <= MAX_GROWTH * small)
