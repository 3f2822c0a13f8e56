"""Shorten the output of `pulumi up` to finished resources, long waiting and the final summary."""

import re
from collections.abc import Callable

_FINISHED = re.compile(
    r"\s*[-+~]+\s+\S+ (?P<resource>\S+) (?P<result>(created|updated|replaced|deleted)\b.*|\*\*.*failed.*)"
)
_WAITING = re.compile(r"\s*[-+~]+\s+\S+ (?P<resource>\S+) [a-z ]+ing \((?P<seconds>\d+)s\) (?P<reason>.*\S)")
_LONG_WAIT_S = 10  # shorter waiting are not reported
_SUMMARY_HEADINGS = ("Diagnostics:", "Outputs:", "Resources:")


class Progress:
    """Reads pulumi's output line by line; `summary` collects the lines of its final summary, errors first."""

    def __init__(self, echo: Callable[[str], None]) -> None:
        self.summary: list[str] = []
        self._echo = echo
        self._reasons: dict[str, str] = {}

    def read(self, line: str) -> None:
        """Read one line and print it if it is of interest."""
        if self.summary or line.startswith(_SUMMARY_HEADINGS):
            if "Resources:" in self.summary and line.strip():
                self._echo(line.strip())
            self.summary.append(line.rstrip())
        elif finished := _FINISHED.match(line):
            self._echo(f"  {finished['resource']} {finished['result']}")
        elif (waiting := _WAITING.match(line)) and int(waiting["seconds"]) >= _LONG_WAIT_S:
            if self._reasons.get(waiting["resource"]) != waiting["reason"]:
                self._echo(f"  {waiting['resource']} waits ({waiting['seconds']} s): {waiting['reason']}")
            self._reasons[waiting["resource"]] = waiting["reason"]
