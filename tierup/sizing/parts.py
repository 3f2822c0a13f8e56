"""The parts of a model that differ between architectures: attention, experts, state, towers, stored weights."""

import math
from dataclasses import dataclass

from tierup.catalog import Precision


@dataclass(frozen=True)
class Attention:
    """Layers with the same attention.

    `values` are the keys and values that one layer keeps of a token, over all heads; `heads` is the most GPUs that can
    share them (1: a latent cache, which every GPU keeps whole). `width` is query heads x head size. `window` is how
    many tokens a layer looks back; None: all of them.
    """

    layers: int
    values: int
    heads: int
    width: int
    window: int | None = None

    def kept(self, tokens: float, chunk: int = 0) -> float:
        """Tokens in the cache of a sequence of `tokens`; a window moves on by `chunk` tokens at a time."""
        return tokens if self.window is None else min(tokens, self.window + max(0, chunk - 1))


@dataclass(frozen=True)
class Experts:
    """Routed experts: `weights` of one expert over all of its layers; `active` of `count` compute a token.

    `intermediate` is the inner width of one expert.
    """

    count: int
    active: int
    weights: int
    intermediate: int

    @property
    def total(self) -> int:
        """Weights of all experts."""
        return self.count * self.weights

    def read(self, tokens: float) -> float:
        """Weights that a step of `tokens` reads: those of all experts that any token chooses, chosen alike."""
        missed = math.pow(1 - self.active / self.count, max(1.0, tokens))
        return self.count * (1 - missed) * self.weights


@dataclass(frozen=True)
class Tower:
    """The encoder of images: `params` in 16 bit with its projector, and `peak` bytes while it encodes the largest
    image, an estimate.
    """

    params: int
    peak: int


@dataclass(frozen=True)
class Stored:
    """How the repository stores its weights, which the engine takes as they are.

    `bits` of one quantized weight, scales included. `kept`: weights of the layers' matrices besides the experts that
    stay in 16 bit; `experts_kept`: those of the experts too. `head`: whether the output head is quantized.
    """

    method: str
    precision: Precision
    bits: float
    kept: int = 0
    experts_kept: bool = False
    head: bool = False
