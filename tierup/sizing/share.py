"""Decides how much of an engine's time goes into prompts, the rest into answers, when every slot is taken."""

from tierup.sizing.coefficients import Calibration, load_calibration
from tierup.sizing.load import Replica
from tierup.sizing.memory import memory
from tierup.sizing.step import total
from tierup.sizing.types import SizingInput


def prefill_share(ask: SizingInput, calibration: Calibration | None = None) -> float:
    """0..1: in the time of one whole answer all running sequences prefill once and decode it together."""
    known = calibration if calibration is not None else load_calibration()
    replica = Replica(ask, memory(ask, known.values), known.values)
    running = replica.limit
    prefill = running * total(replica.steps.prefill(), known.values)
    decode = ask.answer * total(replica.steps.decode(running, replica.held), known.values)
    return prefill / (prefill + decode)
