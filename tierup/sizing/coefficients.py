"""Reads the calibration file: the coefficients and the errors of the model, as `calibrate` wrote them."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tierup.catalog import CatalogError, read_yaml
from tierup.catalog.engine import load_engines
from tierup.sizing.shape import MEASUREMENTS

Coefficients = Mapping[str, float]


@dataclass(frozen=True)
class ChipClass:
    """A class of GPUs: same chip family, same kind of memory. `like` is the class whose coefficients it has.

    A class without measurements has those of another one (assumption), and its ranges are wider.
    """

    title: str
    memory: Literal["hbm", "gddr"]
    like: str

    @property
    def measured(self) -> bool:
        """Whether coefficients were fitted to the class itself."""
        return GPU_CLASSES[self.like] is self


GPU_CLASSES = {
    "a100": ChipClass("A100", "hbm", "a100"),
    "hopper": ChipClass("Hopper", "hbm", "hopper"),
    "ada": ChipClass("Ada", "gddr", "ada"),
    "ga10x": ChipClass("Ampere GA10x", "gddr", "ga10x"),
    "volta": ChipClass("Volta", "hbm", "a100"),
    "turing": ChipClass("Turing", "gddr", "ga10x"),
    "blackwell": ChipClass("Blackwell with HBM", "hbm", "hopper"),
    "gb20x": ChipClass("Blackwell GB20x and GB10", "gddr", "ada"),
    "cdna3": ChipClass("CDNA 3", "hbm", "hopper"),
}
MEASURED = {name: chip for name, chip in GPU_CLASSES.items() if chip.measured}


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
