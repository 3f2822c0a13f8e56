"""Reads the calibration file: the coefficients and the errors of the model, as `calibrate` wrote them."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierup.catalog import CatalogError, Gpu, read_yaml
from tierup.catalog.engine import load_engines
from tierup.sizing.shape import MEASUREMENTS

Coefficients = Mapping[str, float]
GPU_CLASSES = {"a100": "A100", "hopper": "Hopper", "ada": "Ada", "ga10x": "Ampere GA10x"}


def gpu_class(gpu_id: str, gpu: Gpu) -> str:
    """The class whose measurements apply to a GPU: same chip family, same kind of memory."""
    architecture = gpu.architecture.value.value
    if architecture != "ampere":
        return architecture
    return "a100" if gpu_id.startswith("a100") else "ga10x"


def memory_kind(chip_class: str) -> str:
    """`hbm` or `gddr`: the efficiency of memory access depends on it."""
    return "hbm" if chip_class in ("a100", "hopper") else "gddr"


@dataclass(frozen=True)
class Spread:
    """Error of a metric on a GPU class, leaving each group out in turn: `q` is the 81st percentile of
    |ln(predicted / published)|.
    """

    q: float
    rows: int
    groups: tuple[str, ...]
    gpus: tuple[str, ...]


@dataclass(frozen=True)
class Calibration:
    """The coefficients, and the errors they leave: `spreads` by metric and GPU class, `anywhere` by metric over all."""

    values: Coefficients
    spreads: Mapping[tuple[str, str], Spread]
    anywhere: Mapping[str, float]


def engine_overhead(engine: str) -> str:
    """The name of an engine's own coefficient of overhead."""
    return f"overhead.{engine}"


@functools.cache
def load_calibration() -> Calibration:
    """The committed calibration.

    Raises:
        CatalogError: naming every engine with `overhead.step_ms` whose coefficient was not fitted yet.
    """
    tree: dict[str, Any] = read_yaml(MEASUREMENTS / "coefficients.yaml")
    spreads = {
        (metric, chip): Spread(row["q"], row["rows"], tuple(row["groups"]), tuple(row["gpus"]))
        for metric, classes in tree["spreads"].items()
        for chip, row in classes.items()
    }
    values = {name: float(row["value"]) for name, row in tree["coefficients"].items()}
    missing = [
        f"engine.yaml: {name}.overhead.step_ms: measurements/coefficients.yaml has no {engine_overhead(name)} - "
        "run `python -m tierup.sizing.calibrate`, or set null for the coefficient of the GPU's class"
        for name, facts in load_engines().items()
        if facts.overhead.step_ms is not None and engine_overhead(name) not in values
    ]
    if missing:
        raise CatalogError(missing)
    return Calibration(values, spreads, tree["anywhere"])
