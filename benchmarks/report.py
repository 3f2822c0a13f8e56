"""Decides how a benchmark speaks: progress on standard error, goals as pass or MISS on standard output."""

import sys


def say(line: str) -> None:
    """One line of progress."""
    print(line, file=sys.stderr, flush=True)


def goal(what: str, wanted: str, met: bool) -> bool:
    """Print one goal and whether it is met; a benchmark reports and does not judge."""
    print(f"  {'pass' if met else 'MISS'}  {what} (goal: {wanted})")
    return met
