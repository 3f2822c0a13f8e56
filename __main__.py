"""Turn a stack file into a running LLM service."""

from components.program import main

main()
