"""Decides what differs between the engines: the sign of a request's priority."""

from tierup.config import Engine

# Half of the 0..100 that a class may have: a class of this priority stands where a request without one does.
NEUTRAL_PRIORITY = 50


def engine_priority(engine: Engine, priority: int) -> int | None:
    """A class's priority (0..100, higher goes first) as the engine takes it in a request; None: it takes none.

    vLLM serves the lowest value first and takes a request without one for 0, so that chat is below it and long jobs
    are above. TensorRT-LLM's server has no such field.
    """
    return NEUTRAL_PRIORITY - priority if engine is Engine.VLLM else None
