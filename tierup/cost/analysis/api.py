"""A stack beside an API: what the same tokens cost there, and from how many tokens a day on the stack is cheaper."""

from dataclasses import dataclass
from decimal import Decimal

from tierup.cost.analysis.tokens import MILLION, SECONDS_PER_HOUR, TokenCost

HOURS_PER_DAY = Decimal(24)


@dataclass(frozen=True, slots=True)
class ApiPrice:
    """What an API asks: USD per million tokens of prompts, of answers, and of prompts that its cache has.

    `usd_cached` is None where the user states no such price: then a cached token costs as much as any of a prompt.
    """

    usd_in: Decimal
    usd_out: Decimal
    usd_cached: Decimal | None = None

    def per_million(self, cost: TokenCost) -> Decimal:
        """USD for a million tokens of both kinds, as many of each as the model's requests have."""
        prompts, answers = cost.full_tokens_in_per_second.value, cost.full_tokens_out_per_second.value
        cached = self.usd_in if self.usd_cached is None else self.usd_cached
        prompt = (1 - cost.shared_prefix) * self.usd_in + cost.shared_prefix * cached
        return (prompts * prompt + answers * self.usd_out) / (prompts + answers)


@dataclass(frozen=True, slots=True)
class AgainstApi:
    """One model's part of a stack beside an API: a day of both, by the middle value of the sizing model.

    `utilisation` (0..1] is that from which on the stack costs no more, `tokens_per_day` (prompts and answers) what is
    served there; both None: not even at full use. The API takes nothing for an hour without requests, the stack does.
    """

    utilisation: Decimal | None
    tokens_per_day: Decimal | None
    full_tokens_per_day: Decimal
    usd_per_day: Decimal
    api_usd_per_day: Decimal
    api_usd_per_full_day: Decimal

    @classmethod
    def of(cls, cost: TokenCost, api: ApiPrice) -> "AgainstApi":
        """The break-even of a model with a known cost."""
        both = cost.full_tokens_in_per_second.value + cost.full_tokens_out_per_second.value
        full = both * SECONDS_PER_HOUR * HOURS_PER_DAY
        day, asked = cost.usd_per_hour.value * HOURS_PER_DAY, full * api.per_million(cost) / MILLION
        even = day / asked if asked and day <= asked else None
        return cls(
            utilisation=even,
            tokens_per_day=None if even is None else even * full,
            full_tokens_per_day=full,
            usd_per_day=day,
            api_usd_per_day=asked * cost.utilisation,
            api_usd_per_full_day=asked,
        )
