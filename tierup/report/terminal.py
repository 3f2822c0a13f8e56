"""Text as a picture of a terminal, for pages that show what a command prints."""

import io
import re
from collections.abc import Iterable

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

_WIDTH = 118
# Pages must not load fonts from elsewhere: any monospaced font of the reader's serves.
_FORMAT = re.sub(r"@font-face \{\{.*?\n    \}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def svg(title: str, lines: Iterable[str], name: str) -> str:
    """An SVG of a terminal with these lines, wrapped; a line that starts with `$ ` is a command.

    `name` makes the identifiers of the picture unique on a page.
    """
    console = Console(record=True, width=_WIDTH, file=io.StringIO(), color_system="truecolor")
    for line in lines:
        console.print(Text(line, style="bold" if line.startswith("$ ") else ""))
    return console.export_svg(title=title, code_format=_FORMAT, unique_id=name)
