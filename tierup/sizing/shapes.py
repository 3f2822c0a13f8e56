"""The shapes of the models that can be named: those of the catalogue, of a stack's own, and of measurements."""

import csv
import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tierup.catalog import Catalog, ModelSpec, load_catalog
from tierup.sizing.config import shape_of_repository
from tierup.sizing.shape import MEASUREMENTS, ModelShape

_SAME_WORDS = 0.02  # fine-tunes add tokens, and round their number up


@functools.cache
def load_shapes() -> dict[str, ModelShape]:
    """Every model that can be sized by name: those of the catalogue, and those that only measurements use."""
    shapes = _measured_shapes()
    return {**shapes, **catalog_shapes(load_catalog())}


def catalog_shapes(catalog: Catalog) -> dict[str, ModelShape]:
    """The catalogue's models."""
    return {name: spec_shape(name, spec) for name, spec in catalog.models.items()}


def spec_shape(name: str, spec: ModelSpec) -> ModelShape:
    """The shape of one entry of the catalogue, or of a model of one's own.

    Raises:
        ShapeError: its config.json is not one that is sized.
    """
    shape = _written(name, spec)
    if spec.serves == "generate":
        return shape
    kinds = [kind for kind in (shape.unproven, "models that write no tokens") if kind]
    return replace(shape, writes=False, unproven=", ".join(kinds))


def _written(name: str, spec: ModelSpec) -> ModelShape:
    """The shape of a model, as if its answers were tokens."""
    if spec.config is not None:
        size = spec.file_bytes.value if spec.file_bytes is not None else None
        return _read(name, json.dumps(spec.config.value), size, spec.untried is not None)
    return ModelShape(
        name=name,
        params=spec.params.value,
        layers=spec.layers.value,
        q_heads=spec.q_heads.value,
        kv_heads=spec.kv_heads.value,
        head_dim=spec.head_dim.value,
        hidden=spec.hidden.value,
        intermediate=spec.intermediate.value,
        vocab=spec.vocab.value,
        max_context=spec.max_context.value,
    )


@functools.lru_cache(maxsize=256)
def _read(name: str, config: str, file_bytes: int | None, untried: bool) -> ModelShape:
    shape = shape_of_repository(json.loads(config), name, file_bytes)
    return replace(shape, unproven=shape.unproven or "a model of this shape") if untried else shape


def is_like(shape: ModelShape, other: ModelShape) -> bool:
    """Whether two models are as fast: alike in all but their weights, and a few words more or fewer."""
    body = all(_body(shape)[key] == value for key, value in _body(other).items())
    return body and abs(shape.vocab / other.vocab - 1) < _SAME_WORDS


def _body(shape: ModelShape) -> Mapping[str, Any]:
    names = ("layers", "q_heads", "kv_heads", "head_dim", "hidden", "intermediate", "linear", "active")
    return {name: getattr(shape, name) for name in (*names, "experts", "kv_layers", "state_bytes", "tower")}


def _measured_shapes() -> dict[str, ModelShape]:
    with (MEASUREMENTS / "shapes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    shapes = {}
    for row in rows:
        counts: dict[str, Any] = {
            key: int(value) for key, value in row.items() if key not in {"name", "source"}
        }
        shapes[row["name"]] = ModelShape(name=row["name"], **counts)
    return shapes
