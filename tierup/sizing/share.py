"""The share of an engine's time that goes into prompts, with every slot in use; the rest goes into answers."""

from tierup.sizing.coefficients import Calibration, load_calibration
from tierup.sizing.load import Replica
from tierup.sizing.memory import memory
from tierup.sizing.step import total
from tierup.sizing.types import SizingInput


def prefill_share(inputs: SizingInput, calibration: Calibration | None = None) -> float:
    """The share (0..1) of prefill: while one answer is decoded, every running sequence is prefilled once."""
    if not inputs.model.writes:
        return 1.0
    calibration = calibration if calibration is not None else load_calibration()
    replica = Replica(inputs, memory(inputs, calibration.values), calibration.values)
    running = replica.limit
    prefill = running * total(replica.steps.prefill(), calibration.values)
    decode = inputs.answer * total(replica.steps.decode(running, replica.mean_kv_tokens), calibration.values)
    return prefill / (prefill + decode)
