"""A sample: when one request was sent, how it ended, and when each part of the answer arrived."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """How a request ended. `refused`: 429, the queue was full. `cut`: still running when the run was interrupted."""

    ANSWERED = "answered"
    REFUSED = "refused"
    FAILED = "failed"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. All times are seconds: `sent` since the start of the run, the others since the request was sent.

    `chunks` are the times at which text arrived; the first is the time to the first token. `reason` says why the
    request failed. Tokens are those of the server's `usage`, 0 without one.
    """

    workload_class: str
    outcome: Outcome
    sent: float
    seconds: float
    chunks: tuple[float, ...] = ()
    prompt_tokens: int = 0
    answer_tokens: int = 0
    reason: str = ""
    retry_after: float | None = None

    @property
    def end(self) -> float:
        """Its end, in seconds since the start of the run."""
        return self.sent + self.seconds

    @property
    def ttft(self) -> float:
        """Seconds to the first text; for an answer without text, to its end."""
        return self.chunks[0] if self.chunks else self.seconds

    @property
    def gaps(self) -> list[float]:
        """Seconds between one chunk and the next."""
        return [later - earlier for earlier, later in zip(self.chunks, self.chunks[1:], strict=False)]

    @property
    def tpot(self) -> float | None:
        """Seconds per output token after the first; None for an answer of one token."""
        if self.answer_tokens < 2 or not self.chunks:
            return None
        return (self.chunks[-1] - self.chunks[0]) / (self.answer_tokens - 1)


def to_line(sample: Sample) -> str:
    """The sample as one line of JSON; times are rounded to 0.1 ms."""
    tree = asdict(sample)
    tree |= {"chunks": [round(moment, 4) for moment in sample.chunks]}
    tree |= {"sent": round(sample.sent, 4), "seconds": round(sample.seconds, 4)}
    return json.dumps(tree)


def from_data(tree: dict[str, Any]) -> Sample:
    """The sample from the parsed line of `to_line`."""
    return Sample(**{**tree, "outcome": Outcome(tree["outcome"]), "chunks": tuple(tree["chunks"])})
