"""Decides what a load test sends: the stack's own users, classes and pauses, and no second copy of them."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from tierup.plan.model import ModelPlan, Plan
from tierup.tuning.results import Arrival

FEWEST_WARMUP_SECONDS = 5.0  # for connections and a server's first steps, where users do not pause


@dataclass(frozen=True, slots=True)
class Kind:
    """The requests of one workload class, in tokens."""

    name: str
    prompt_tokens: int
    answer_tokens: int
    share: float


@dataclass(frozen=True, slots=True)
class Words:
    """Tokens of a word, and of the chat template around a prompt.

    Four tokens for three words is OpenAI's rule of thumb for English; a run asks the server before it begins.
    """

    tokens_per_word: float = 4 / 3
    template_tokens: float = 0.0

    def of(self, tokens: int) -> int:
        """Words for a prompt of so many tokens, at least one."""
        return max(1, round((tokens - self.template_tokens) / self.tokens_per_word))


@dataclass(frozen=True, slots=True)
class Profile:
    """One run, as the sending process is told; it holds no secret. Times in seconds, `rate` in requests per second.

    `patience` is how long a silent connection is waited for, and answers after the end.
    """

    url: str
    model: str
    kinds: tuple[Kind, ...]
    words: Words
    arrival: Arrival
    users: int
    rate: float
    think: float
    warmup: float
    seconds: float
    patience: float
    ignore_eos: bool

    def text(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def read(line: str) -> Profile:
    """The profile of such a line."""
    tree: dict[str, Any] = json.loads(line)
    kinds = tuple(Kind(**kind) for kind in tree["kinds"])
    words, arrival = Words(**tree["words"]), Arrival(tree["arrival"])
    return Profile(**{**tree, "kinds": kinds, "words": words, "arrival": arrival})


def kinds_of(plan: Plan) -> tuple[Kind, ...]:
    """The stack's workload classes."""
    return tuple(
        Kind(name, item.prompt_tokens, item.answer_tokens, item.share) for name, item in plan.classes.items()
    )


def users_of(plan: Plan) -> int:
    """One model's even part of the stack's users."""
    return max(1, round(plan.users_per_model))


def model_of(plan: Plan, name: str | None) -> ModelPlan | None:
    """The stack's model of that name; for no name or a foreign one the only model, None if there are several."""
    named = plan.model(name) if name is not None else None
    if named is not None:
        return named
    return plan.models[0] if len(plan.models) == 1 else None


def warmup_of(plan: Plan) -> float:
    """Until users who begin at any moment of their pause have all sent their first request."""
    return max(FEWEST_WARMUP_SECONDS, plan.think_seconds)


def patience_of(plan: Plan) -> float:
    """As long as the gateway waits for an engine: a full queue, then the longest answer as promised."""
    return float(plan.gateway.read_timeout_seconds)
