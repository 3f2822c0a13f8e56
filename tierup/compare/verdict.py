"""The verdict on a claim: whether it is compatible with the computed range."""

from enum import StrEnum

from tierup.sizing import Range


class Verdict(StrEnum):
    """`optimistic`: better than the best end of the range. `not what is computed`: a fixed quantity outside of it."""

    HOLDS = "holds"
    OPTIMISTIC = "optimistic"
    OTHER = "not what is computed"


def at_least(claimed: float, computed: Range) -> Verdict:
    """A claim of at least so much holds unless even the best end of the range is lower."""
    return Verdict.HOLDS if claimed <= computed.high else Verdict.OPTIMISTIC


def at_most(claimed: float, computed: Range) -> Verdict:
    """A claim of at most so much holds unless even the best end of the range is higher."""
    return Verdict.HOLDS if claimed >= computed.low else Verdict.OPTIMISTIC


def exactly(low: float, high: float, computed: Range) -> Verdict:
    """A claim of a fixed quantity holds if its bounds overlap the computed range."""
    return Verdict.HOLDS if low <= computed.high and high >= computed.low else Verdict.OTHER
