"""Turn a stack file into a running LLM service."""

import atexit
import gc

# The program lives for seconds: looking for garbage takes a fifth of its CPU time, in it and on its way out.
gc.disable()
atexit.register(gc.freeze)

from components.program import main  # noqa: E402

main()
