"""Decides what is kept of one request: when it was sent, how it ended, and when each part of the answer came."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """A refusal (429) is the queue's verdict; `cut` was still running when the run was interrupted."""

    ANSWERED = "answered"
    REFUSED = "refused"
    FAILED = "failed"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request; all times in seconds, `sent` since the run began, the others since it was sent.

    `chunks` are the moments at which text came: the first is the time to the first token. `reason` says why it
    failed. Tokens are those of the server's `usage`; 0 where it gave none.
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
        """When it ended, since the run began."""
        return self.sent + self.seconds

    @property
    def ttft(self) -> float:
        """To the first text; an answer without text is as late as its end."""
        return self.chunks[0] if self.chunks else self.seconds

    @property
    def gaps(self) -> list[float]:
        """Between one chunk and the next."""
        return [later - earlier for earlier, later in zip(self.chunks, self.chunks[1:], strict=False)]

    @property
    def tpot(self) -> float | None:
        """Per output token after the first; None for an answer of one token."""
        if self.answer_tokens < 2 or not self.chunks:
            return None
        return (self.chunks[-1] - self.chunks[0]) / (self.answer_tokens - 1)


def to_line(sample: Sample) -> str:
    """One line of JSON; times to a tenth of a millisecond."""
    tree = asdict(sample)
    tree |= {"chunks": [round(moment, 4) for moment in sample.chunks]}
    tree |= {"sent": round(sample.sent, 4), "seconds": round(sample.seconds, 4)}
    return json.dumps(tree)


def of(tree: dict[str, Any]) -> Sample:
    """The sample of such a line, parsed."""
    return Sample(**{**tree, "outcome": Outcome(tree["outcome"]), "chunks": tuple(tree["chunks"])})
