"""How many requests a replica runs at once, if the stack file does not say: as many as keep every promise."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace

from tierup.plan.load import Classes, Load, fits, mean_running_tokens
from tierup.sizing import SizingInput
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import memory

FEWEST = 2  # a cap of half the slots must leave one to long jobs and one to chat


@functools.lru_cache(maxsize=256)
def default_slots(inputs: SizingInput, classes: Classes) -> tuple[int, str]:
    """The slots of a replica, and why that many; `inputs` has one replica, and no slots of its own.

    The most requests that run together while each class keeps its promises and the KV cache holds all of them, up to
    the engine's own bound. Rounded down by less than a tenth, so that a change of the calibration is rarely one of
    the tier.
    """
    bound = max(FEWEST, min(inputs.slots, inputs.batched_tokens // inputs.step_tokens))
    if not fits(replace(inputs, max_num_seqs=FEWEST)):
        return FEWEST, "the model does not fit these GPUs"
    in_memory = _most(bound, lambda slots: _in_memory(inputs, classes, slots))
    if in_memory < FEWEST:
        return FEWEST, "the fewest; the KV cache does not hold them"
    if _missed(inputs, classes, FEWEST):
        return min(_rounded(in_memory), 8), "the promises cannot be kept with any number"
    promised = _most(in_memory, lambda slots: not _missed(inputs, classes, slots))
    most = _rounded(promised)
    if promised < in_memory:
        return (
            most,
            f"with more at once, the {_missed(inputs, classes, promised + 1)} would break its promise",
        )
    if in_memory < bound:
        return most, "as many requests of mean length as the KV cache holds; all promises are kept"
    return most, "the engine's own bound; all promises are kept"


def _in_memory(inputs: SizingInput, classes: Classes, slots: int) -> bool:
    room = memory(replace(inputs, max_num_seqs=slots), load_calibration().values)
    tokens = mean_running_tokens(item for _, item in classes) + inputs.draft_tokens
    return room.fits and slots * tokens <= room.kv_tokens


def _missed(inputs: SizingInput, classes: Classes, slots: int) -> str:
    """What is too late for its class with every slot in use."""
    return Load(replace(inputs, max_num_seqs=slots), classes).missed_target(slots)


def _most(bound: int, condition: Callable[[int], bool]) -> int:
    """The largest number up to `bound` that meets the condition, which every smaller one meets too; 0: none does."""
    low, high = 0, bound + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if condition(middle) else (low, middle)
    return low


def _rounded(slots: int) -> int:
    """A rounder number, less than a tenth lower: a multiple of the largest power of two up to a tenth of it."""
    step = 2 ** max(0, math.floor(math.log2(slots / 10))) if slots else 1
    return slots // step * step
