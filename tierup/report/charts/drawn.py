"""What a picture of a board consists of: texts, lines and boxes in pixels; a template writes them as SVG."""

from dataclasses import dataclass, field

INK, QUIET, GRID, TRACK = "#24292f", "#57606a", "#d8dee4", "#eaeef2"
HUES = {
    "green": "#1a7f37",
    "yellow": "#9a6700",
    "red": "#cf222e",
    "blue": "#0969da",
}  # Grafana's names, dark enough to read
_LETTER = 6.3  # pixels of a letter of size 11


@dataclass(frozen=True, slots=True)
class Text:
    """Text at a point; `anchor` as in SVG."""

    x: float
    y: float
    text: str
    size: float = 11
    colour: str = INK
    anchor: str = "start"
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A path; `dash` as in SVG, empty for a solid line."""

    path: str
    colour: str
    dash: str = ""
    width: float = 1.3


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    fill: str


@dataclass(slots=True)
class Drawn:
    """What a picture consists of."""

    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Area:
    """The inside of a panel, in pixels."""

    x: float
    y: float
    width: float
    height: float

    def cut(self, text: str, size: float = 11) -> str:
        """The text as far as it fits in the width."""
        room = int(self.width / _LETTER * 11 / size)
        return text if len(text) <= room else f"{text[: room - 1]}…"
