"""Decides whether a claim holds against our range."""

from enum import StrEnum

from tierup.sizing import Range


class Verdict(StrEnum):
    """`optimistic`: better than the best end of our range. `not what is computed`: a fixed quantity outside of it."""

    HOLDS = "holds"
    OPTIMISTIC = "optimistic"
    OTHER = "not what is computed"


def at_least(claimed: float, computed: Range) -> Verdict:
    """A promise of so many: it holds unless even the best end of our range is fewer."""
    return Verdict.HOLDS if claimed <= computed.high else Verdict.OPTIMISTIC


def at_most(claimed: float, computed: Range) -> Verdict:
    """A promise of so little: it holds unless even the best end of our range is more."""
    return Verdict.HOLDS if claimed >= computed.low else Verdict.OPTIMISTIC


def exactly(low: float, high: float, computed: Range) -> Verdict:
    """A quantity that is what it is: the claim, as roundly as it is written, overlaps our range or not."""
    return Verdict.HOLDS if low <= computed.high and high >= computed.low else Verdict.OTHER
