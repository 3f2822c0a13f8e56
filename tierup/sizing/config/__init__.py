"""Reads a repository's config.json into the shape that sizing uses, or refuses it with the reason."""

from tierup.sizing.config.keys import ShapeError
from tierup.sizing.config.read import shape_from_config, shape_of_file, shape_of_repository

__all__ = ["ShapeError", "shape_from_config", "shape_of_file", "shape_of_repository"]
