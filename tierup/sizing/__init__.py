"""Predicts what a model on given GPUs can hold and how fast it answers, before anything is deployed.

`size(SizingInput(...))` returns a `Sizing`. The physical model is in `memory` and `step`. Its few calibrated
coefficients and their sources are in `catalog/measurements/coefficients.yaml`, its errors in `docs/accuracy.md`.
"""

from tierup.sizing.config import ShapeError, shape_from_config
from tierup.sizing.shape import ModelShape
from tierup.sizing.shapes import load_shapes
from tierup.sizing.size import size
from tierup.sizing.types import Bottleneck, Range, Sizing, SizingInput

__all__ = [
    "Bottleneck",
    "ModelShape",
    "Range",
    "ShapeError",
    "Sizing",
    "SizingInput",
    "load_shapes",
    "shape_from_config",
    "size",
]
