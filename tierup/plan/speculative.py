"""Speculative decoding of a model: what the engine guesses with, and how far ahead."""

from dataclasses import dataclass

from tierup.stack.sections import Speculative, SpeculativeMethod

DEFAULT_LOOKUP = 5  # vLLM's prompt_lookup_min and prompt_lookup_max, where neither is given


@dataclass(frozen=True, slots=True)
class SpeculativePlan:
    """`tokens` are guessed after the last `lookup_min` to `lookup_max` tokens occurred before in the same request."""

    method: SpeculativeMethod
    tokens: int
    lookup_min: int
    lookup_max: int

    @property
    def config(self) -> dict[str, str | int]:
        """The value of vLLM's --speculative-config."""
        return {
            "method": self.method.value,
            "num_speculative_tokens": self.tokens,
            "prompt_lookup_min": self.lookup_min,
            "prompt_lookup_max": self.lookup_max,
        }


def speculative_plan(section: Speculative) -> SpeculativePlan:
    """The section with the engine's defaults: a bound that is not given equals the other."""
    low, high = section.prompt_lookup_min, section.prompt_lookup_max
    return SpeculativePlan(
        section.method,
        section.tokens,
        lookup_min=low if low is not None else (high if high is not None else DEFAULT_LOOKUP),
        lookup_max=high if high is not None else (low if low is not None else DEFAULT_LOOKUP),
    )
