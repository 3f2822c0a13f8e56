"""Decides nothing: reads the calibrated coefficients and the model's known errors, as `calibrate` wrote
them.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierup.catalog import Gpu, read_yaml
from tierup.sizing.shape import MEASUREMENTS

Coefficients = Mapping[str, float]
GPU_CLASSES = {"a100": "A100", "hopper": "Hopper", "ada": "Ada", "ga10x": "Ampere GA10x"}


def gpu_class(gpu_id: str, gpu: Gpu) -> str:
    """The class whose measurements speak for a GPU: same chip family, same kind of memory."""
    architecture = gpu.architecture.value.value
    if architecture != "ampere":
        return architecture
    return "a100" if gpu_id.startswith("a100") else "ga10x"


def memory_kind(chip_class: str) -> str:
    """HBM or GDDR: what the efficiency of memory access depends on."""
    return "hbm" if chip_class in ("a100", "hopper") else "gddr"


@dataclass(frozen=True)
class Spread:
    """Error of a metric on a GPU class, leaving each group out in turn: `q` is the 81st percentile of
    |ln(ours/theirs)|.
    """

    q: float
    rows: int
    groups: tuple[str, ...]
    gpus: tuple[str, ...]


@dataclass(frozen=True)
class Calibration:
    values: Coefficients
    spreads: Mapping[tuple[str, str], Spread]
    anywhere: Mapping[str, float]


@functools.cache
def load_calibration() -> Calibration:
    """The committed calibration."""
    tree: dict[str, Any] = read_yaml(MEASUREMENTS / "coefficients.yaml")
    spreads = {
        (metric, chip): Spread(row["q"], row["rows"], tuple(row["groups"]), tuple(row["gpus"]))
        for metric, classes in tree["spreads"].items()
        for chip, row in classes.items()
    }
    values = {name: float(row["value"]) for name, row in tree["coefficients"].items()}
    return Calibration(values, spreads, tree["anywhere"])
