"""The index of a repository's weights (model.safetensors.index.json): their size, compared with the shape's."""

from collections.abc import Mapping
from dataclasses import replace

from tierup.catalog import Precision
from tierup.sizing.config.keys import ShapeError
from tierup.sizing.shape import ModelShape

AGREES = 0.02  # of the size by the shape; a larger difference is told


def with_index(shape: ModelShape, index: object, path: str, unloaded: int) -> ModelShape:
    """The shape with the size of the files; `unloaded` are bytes of layers that the engine leaves out.

    Raises:
        ShapeError: the index states no size.
    """
    metadata = index.get("metadata") if isinstance(index, Mapping) else None
    total = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    if isinstance(total, bool) or not isinstance(total, int | float) or not 0 < total < 1e15:
        raise ShapeError(f"{path}: metadata.total_size is missing or no number of bytes")
    found = int(total) - unloaded
    precision = shape.stored.precision if shape.stored is not None else Precision.BF16
    expected = shape.computed_bytes(precision)
    notes = shape.notes
    if abs(found / expected - 1) > AGREES:
        gib, by_shape = found / 2**30, expected / 2**30
        difference = f"{found / expected - 1:+.1%}"
        told = f"the weights' index has {gib:.2f} GiB, the shape {by_shape:.2f} GiB ({difference}): the index counts"
        notes = (*notes, told)
    return replace(shape, found_bytes=max(1, found), notes=notes)
