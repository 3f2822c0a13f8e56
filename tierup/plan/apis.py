"""What each API path of the gateway says of its requests, and where."""

from dataclasses import dataclass

from tierup.stack.sections import GeneratePath


@dataclass(frozen=True, slots=True)
class Api:
    """How requests to one path limit their answers, as vLLM 0.32 and TensorRT-LLM read them.

    `limits` are the fields that limit the tokens of one answer; the first that has a number counts, and the last is
    the one that every engine knows; empty: no tokens are written. `least` is the smallest number that engines take.
    `unsaid` is what they take where a request names no number; None: what is left of the context.
    """

    limits: tuple[str, ...] = ()
    least: int = 1
    unsaid: int | None = None


APIS = {
    GeneratePath.CHAT: Api(("max_completion_tokens", "max_tokens")),
    # Zero: only the log probabilities of the prompt.
    GeneratePath.COMPLETIONS: Api(("max_tokens",), least=0, unsaid=16),
    GeneratePath.RESPONSES: Api(("max_output_tokens",)),
    GeneratePath.EMBEDDINGS: Api(),
}
# Fields that multiply the answers of a request. vLLM ignores best_of.
MULTIPLES = ("n", "best_of")
