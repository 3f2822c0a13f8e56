"""Find the root cause in a dead server's log: the first error, not the last lines."""

import re
from collections.abc import Sequence

_TAIL_LINES = 10
_CAUSE_LINES = 12
# Prefixes and colours of log lines: "(EngineCore pid=71) ERROR 11-27 12:34:56 [core.py:99] ".
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(r"^(\([\w ]+ pid=\d+\) ?)?([A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d (\[[^\]]+\] ?)?)?")
_TRACEBACK = "Traceback (most recent call last):"
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning|Failed|Missing)\b")
# Fatal lines: of vLLM's command line, Go programs, Nginx, etcd and Kubernetes.
_FATAL = re.compile(
    r"^\S+: error: |^error: |^Error: |^panic: |^fatal error: |^F\d{4} |command failed"
    r'|"level":"fatal"|\[emerg\]|\[alert\]'
)
# Errors that a server may survive.
_ERROR = re.compile(r'^E\d{4} |"level":"error"|level=error|level=ERROR|\[crit\]|\[error\]|\bERROR\b')


def root_cause(log: str) -> str:
    """The lines of a dead server's log that explain why it ended.

    The first exception, with the line of code that raised it, or the first fatal line. If the log has neither: its
    first error and its last lines.
    """
    lines = [_PREFIX.sub("", _COLOUR.sub("", line)) for line in log.splitlines()]
    cause = _exception(lines) or _first(_FATAL, lines)
    if not cause:
        tail = [line for line in lines if line.strip()][-_TAIL_LINES:]
        head = [line for line in _first(_ERROR, lines) if line not in tail]
        cause = [*head, f"the last {len(tail)} lines:", *tail] if tail else ["the log is empty"]
    return "\n".join(cause[:_CAUSE_LINES])


def _exception(lines: Sequence[str]) -> list[str]:
    """The last frame and the exception of the first traceback; chained and later tracebacks only repeat it."""
    for start, line in enumerate(lines):
        if not line.startswith(_TRACEBACK):
            continue
        frame: list[str] = []
        for index, text in enumerate(lines[start + 1 :], start + 1):
            if _EXCEPTION.match(text):
                return [*frame, *_message(lines[index:])]
            if text.startswith(_TRACEBACK):
                break
            if text.lstrip().startswith('File "'):
                frame = [text.strip()]
    return []


def _message(lines: Sequence[str]) -> list[str]:
    """An exception's line and the indented lines that continue it, as in pydantic's errors."""
    message = [lines[0]]
    for line in lines[1:]:
        if not line.strip() or line.startswith(_TRACEBACK) or not line.startswith((" ", "\t")):
            break
        message.append(line)
    return message


def _first(pattern: re.Pattern[str], lines: Sequence[str]) -> list[str]:
    return next(([line.strip()] for line in lines if pattern.search(line)), [])
