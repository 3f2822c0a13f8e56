"""What each API path of the gateway says of its requests, and which paths a model serves."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tierup.catalog import Task
from tierup.catalog.engine import engine_facts
from tierup.plan.model import ModelPlan
from tierup.stack.sections import GeneratePath


class Usage(StrEnum):
    """When the answers of a path have a usage object: always; in streams only if they are asked for it; never."""

    ALWAYS = "always"
    ASKED = "asked"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Api:
    """How requests to one path limit their answers, as vLLM 0.32 and TensorRT-LLM read them.

    `tasks`: the models that serve it. `limits` are the fields that limit the tokens of one answer; the first that has
    a number counts, and the last is the one that every engine knows; empty: no tokens are written. `least` is the
    smallest number that engines take. `unsaid` is what they take where a request names no number; None: what is left
    of the context; with `required` they refuse it. `anthropic`: it is one of Anthropic's, with its shape of errors.
    `usage`: when answers have it.
    """

    tasks: tuple[Task, ...] = ("generate",)
    limits: tuple[str, ...] = ()
    least: int = 1
    unsaid: int | None = None
    required: bool = False
    anthropic: bool = False
    usage: Usage = Usage.ALWAYS


APIS = {
    GeneratePath.CHAT: Api(limits=("max_completion_tokens", "max_tokens"), usage=Usage.ASKED),
    # Zero: only the log probabilities of the prompt.
    GeneratePath.COMPLETIONS: Api(limits=("max_tokens",), least=0, unsaid=16, usage=Usage.ASKED),
    GeneratePath.RESPONSES: Api(limits=("max_output_tokens",)),
    GeneratePath.MESSAGES: Api(limits=("max_tokens",), required=True, anthropic=True),
    GeneratePath.COUNT_TOKENS: Api(anthropic=True, usage=Usage.NEVER),
    GeneratePath.EMBEDDINGS: Api(tasks=("embed",)),
    # With a model that embeds, vLLM compares the vectors.
    GeneratePath.RERANK: Api(tasks=("embed", "score")),
    GeneratePath.SCORE: Api(tasks=("embed", "score")),
}
# Fields that multiply the answers of a request. vLLM ignores best_of.
MULTIPLES = ("n", "best_of")


def paths_of(model: ModelPlan) -> tuple[GeneratePath, ...]:
    """The paths that a model serves with its engine."""
    messages = engine_facts(model.engine).messages_api.value
    return tuple(
        path
        for path, api in APIS.items()
        if model.spec.serves in api.tasks and (messages or not api.anthropic)
    )


def open_paths(models: Iterable[ModelPlan]) -> tuple[GeneratePath, ...]:
    """The paths that at least one of the models serves."""
    served = {path for model in models for path in paths_of(model)}
    return tuple(path for path in APIS if path in served)
