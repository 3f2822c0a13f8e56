"""How a model's weights are stored and computed."""

from enum import StrEnum


class Precision(StrEnum):
    """How a model's weights are stored and computed; a model has one variant per value.

    `bf16`, `fp16`: two bytes, from the same repository, served with another dtype. `fp8`: 8-bit floats.
    `int8`: W8A8, weights and activations. `gptq-int8`, `gptq-int4`, `awq`: weight-only integers in groups
    of 128, with embeddings in two bytes. `mxfp4`, `nvfp4`: four-bit floats with a scale for 32 or 16 of them.
    `bnb-nf4`: bitsandbytes in four bits. `q8_0`, `q5_k_m`: GGUF blocks, for engines that read them.
    What a GPU computes of them is in `tierup.catalog.capability`.
    """

    BF16 = "bf16"
    FP16 = "fp16"
    FP8 = "fp8"
    INT8 = "int8"
    GPTQ_INT8 = "gptq-int8"
    GPTQ_INT4 = "gptq-int4"
    AWQ = "awq"
    MXFP4 = "mxfp4"
    NVFP4 = "nvfp4"
    BNB_NF4 = "bnb-nf4"
    Q8_0 = "q8_0"
    Q5_K_M = "q5_k_m"


DEFAULT_PRECISION = Precision.BF16  # as trained: where nobody names another one
