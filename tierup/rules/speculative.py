"""Checks the speculative decoding of a model."""

from collections.abc import Iterator

from tierup.catalog.engine import engine_facts
from tierup.findings.model import Code, Finding
from tierup.plan.capacity import sizing_input
from tierup.plan.model import ModelPlan, Plan


def speculative(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The bounds must be in order, the model must write answers, and a step must hold the guesses of every slot."""
    guess, at = model.settings.speculative, f"{at}.speculative"
    if guess is None or engine_facts(model.engine).options_problem is not None:
        return
    if model.spec.serves != "generate":
        problem = f"{model.spec.title} writes no answers, so there is nothing to guess"
        yield Finding(Code.SPECULATIVE, at, problem, "leave it out", guess.method)
    if guess.lookup_min > guess.lookup_max:
        problem = "is above promptLookupMax, and the engine does not start"
        fix = f"write at most {guess.lookup_max}, or raise promptLookupMax"
        yield Finding(Code.SPECULATIVE, f"{at}.promptLookupMin", problem, fix, str(guess.lookup_min))
    inputs = sizing_input(plan, model)
    if model.slots * inputs.step_tokens > inputs.batched_tokens:
        most = inputs.batched_tokens // model.slots - 1
        problem = (
            f"{model.slots} slots with {guess.tokens} guesses each need {model.slots * inputs.step_tokens} tokens "
            f"in one step of the engine, which holds {inputs.batched_tokens}"
        )
        fix = "lower maxNumSeqs, or raise engineArgs.max-num-batched-tokens"
        allowed = f"at most {most}" if most > 0 else "none with so many slots"
        yield Finding(Code.SPECULATIVE, f"{at}.tokens", problem, fix, str(guess.tokens), allowed)
