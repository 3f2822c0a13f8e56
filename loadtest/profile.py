"""The profile of a load test: what it sends, from the users, classes and pauses of the stack."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from tierup.plan.model import ModelPlan, Plan
from tierup.tuning.results import Arrival

FEWEST_WARMUP_SECONDS = 5.0  # for connections and the first steps of the server, if users do not pause


@dataclass(frozen=True, slots=True)
class RequestClass:
    """The requests of one workload class, in tokens; all its prompts begin alike for `shared_prefix` (0..1) of them."""

    name: str
    prompt_tokens: int
    answer_tokens: int
    share: float
    shared_prefix: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenRatio:
    """Tokens per word, and tokens of the chat template around a prompt.

    Four tokens for three words is OpenAI's rule of thumb for English; a run first measures both on the server.
    """

    tokens_per_word: float = 4 / 3
    template_tokens: float = 0.0

    def words_for(self, tokens: int) -> int:
        """The number of words in a prompt of `tokens` tokens, at least one."""
        return max(1, round((tokens - self.template_tokens) / self.tokens_per_word))


@dataclass(frozen=True, slots=True)
class Profile:
    """The input of the sending process for one run, without secrets. Times are seconds, `rate` is requests per second.

    `timeout` is the longest wait for data on a connection, and for answers after the end of the run.
    """

    url: str
    model: str
    classes: tuple[RequestClass, ...]
    token_ratio: TokenRatio
    arrival: Arrival
    users: int
    rate: float
    think: float
    warmup: float
    seconds: float
    timeout: float
    ignore_eos: bool

    def text(self) -> str:
        """The profile as one line of JSON."""
        return json.dumps(asdict(self))


def read(line: str) -> Profile:
    """The profile from a line of `Profile.text`."""
    tree: dict[str, Any] = json.loads(line)
    classes = tuple(RequestClass(**kind) for kind in tree["classes"])
    token_ratio, arrival = TokenRatio(**tree["token_ratio"]), Arrival(tree["arrival"])
    return Profile(**{**tree, "classes": classes, "token_ratio": token_ratio, "arrival": arrival})


def request_classes(model: ModelPlan) -> tuple[RequestClass, ...]:
    """The requests of the workload classes that the model serves."""
    return tuple(
        RequestClass(name, item.prompt_tokens, item.answer_tokens, item.share, item.cached_part)
        for name, item in model.traffic.classes.items()
    )


def users_of(plan: Plan, model: ModelPlan) -> int:
    """The users of one model, at least one."""
    return max(1, round(plan.users_of(model)))


def model_of(plan: Plan, name: str | None) -> ModelPlan | None:
    """The stack's model with that name, else the only model; None if there are several."""
    named = plan.model(name) if name is not None else None
    if named is not None:
        return named
    return plan.models[0] if len(plan.models) == 1 else None


def warmup_of(plan: Plan) -> float:
    """Seconds until all users have sent their first request, if each starts at a random moment of the pause."""
    return max(FEWEST_WARMUP_SECONDS, plan.think_seconds)


def timeout_of(plan: Plan) -> float:
    """Seconds that the gateway waits for an engine: a full queue, then the longest answer at the promised pace."""
    return float(plan.gateway.read_timeout_seconds)
