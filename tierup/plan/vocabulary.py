"""The vocabulary that an engine needs beside the weights of some models, and would download if it had none."""

from tierup.catalog import ModelSpec

# vLLM 0.32.0 reads the chats of these architectures with openai-harmony, which loads this file from the folder that
# the variable names.
_FILES = {"GptOssForCausalLM": "o200k_base.tiktoken"}
VARIABLE = "TIKTOKEN_ENCODINGS_BASE"


def vocabulary_of(spec: ModelSpec) -> str | None:
    """The name of the file; None for a model that needs none."""
    return _FILES.get(spec.architecture.value)
