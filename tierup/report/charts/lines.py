"""Lines of charts as paths of SVG."""

from collections.abc import Sequence

Point = tuple[float, float]  # pixels from the left and from the top


def path(points: Sequence[Point]) -> str:
    """One line through the points, in their order."""
    return "M" + " L".join(f"{left:g} {down:g}" for left, down in points)


def band(upper: Sequence[Point], lower: Sequence[Point]) -> str:
    """The outline of the area between two lines."""
    return path([*upper, *reversed(lower)])
