"""Why a server ended, out of its log: the error that came first, not the lines that came last."""

import re
from collections.abc import Sequence

_TAIL_LINES = 10
_CAUSE_LINES = 12
# What servers put before their words: "(EngineCore pid=71) ERROR 11-27 12:34:56 [core.py:99] ", colours.
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(r"^(\([\w ]+ pid=\d+\) ?)?([A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d (\[[^\]]+\] ?)?)?")
_TRACEBACK = "Traceback (most recent call last):"
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning|Failed|Missing)\b")
# What ends a server: vLLM's arguments and commands, Go programs, Nginx, etcd, Kubernetes.
_FATAL = re.compile(
    r"^\S+: error: |^error: |^Error: |^panic: |^fatal error: |^F\d{4} |command failed"
    r'|"level":"fatal"|\[emerg\]|\[alert\]'
)
# What it may survive.
_GRAVE = re.compile(r'^E\d{4} |"level":"error"|level=error|level=ERROR|\[crit\]|\[error\]|\bERROR\b')


def root_cause(log: str) -> str:
    """What a reader of a dead server's log should see first.

    Its first exception, with the place that raised it, or its first fatal line; where neither is there, its first
    error, and its last lines.
    """
    lines = [_PREFIX.sub("", _COLOUR.sub("", line)) for line in log.splitlines()]
    cause = _exception(lines) or _first(_FATAL, lines)
    if not cause:
        tail = [line for line in lines if line.strip()][-_TAIL_LINES:]
        head = [line for line in _first(_GRAVE, lines) if line not in tail]
        cause = [*head, f"the last {len(tail)} lines:", *tail] if tail else ["the log is empty"]
    return "\n".join(cause[:_CAUSE_LINES])


def _exception(lines: Sequence[str]) -> list[str]:
    """Of the first traceback, which chained and later ones only repeat: its last frame and the exception."""
    for start, line in enumerate(lines):
        if not line.startswith(_TRACEBACK):
            continue
        frame: list[str] = []
        for at, text in enumerate(lines[start + 1 :], start + 1):
            if _EXCEPTION.match(text):
                return [*frame, *_message(lines[at:])]
            if text.startswith(_TRACEBACK):
                break
            if text.lstrip().startswith('File "'):
                frame = [text.strip()]
    return []


def _message(lines: Sequence[str]) -> list[str]:
    """An exception's line with those that continue it, indented: pydantic's list what they object to."""
    kept = [lines[0]]
    for line in lines[1:]:
        if not line.strip() or line.startswith(_TRACEBACK) or not line.startswith((" ", "\t")):
            break
        kept.append(line)
    return kept


def _first(sign: re.Pattern[str], lines: Sequence[str]) -> list[str]:
    return next(([line.strip()] for line in lines if sign.search(line)), [])
