"""Decides what of `pulumi up` a reader sees: what is done, what is waited for, and all of it when it fails."""

import re
from collections.abc import Callable

_FINISHED = re.compile(
    r"\s*[-+~]+\s+\S+ (?P<what>\S+) (?P<how>(created|updated|replaced|deleted)\b.*|\*\*.*failed.*)"
)
_WAITING = re.compile(r"\s*[-+~]+\s+\S+ (?P<what>\S+) [a-z ]+ing \((?P<seconds>\d+)s\) (?P<why>.*\S)")
_PATIENCE_S = 10  # what is ready sooner needs no explanation
_ENDING = ("Diagnostics:", "Outputs:", "Resources:")


class Progress:
    """Reads what pulumi says line by line; `ending` holds its own summary, errors first."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        self.ending: list[str] = []
        self._echo = echo
        self._why: dict[str, str] = {}

    def tell(self, line: str) -> None:
        """Tell the reader of one line, if it is worth it."""
        if self.ending or line.startswith(_ENDING):
            if "Resources:" in self.ending and line.strip():
                self._echo(line.strip())
            self.ending.append(line.rstrip())
        elif done := _FINISHED.match(line):
            self._echo(f"  {done['what']} {done['how']}")
        elif (waits := _WAITING.match(line)) and int(waits["seconds"]) >= _PATIENCE_S:
            if self._why.get(waits["what"]) != waits["why"]:
                self._echo(f"  {waits['what']} waits ({waits['seconds']} s): {waits['why']}")
            self._why[waits["what"]] = waits["why"]
