"""The requests of a load test: their class, their body, and the time to the next one."""

import random
from collections.abc import Sequence

from loadtest.profile import Profile, RequestClass, TokenRatio

# Common words of one syllable: about one token each.
_WORDS = (
    "time year way day thing man world life hand part child eye place work week case point night room book "
    "word fact side request_class head house friend hour game line end law car name team air door art war plan"
)


def request_body(profile: Profile, request_class: RequestClass, rng: random.Random) -> dict[str, object]:
    """A streamed request of a class, which asks the server for token counts at the end."""
    return {
        **chat_request(
            profile.model,
            prompt_of(request_class, profile.token_ratio.words_for(request_class.prompt_tokens), rng),
            request_class.answer_tokens,
        ),
        **({"ignore_eos": True} if profile.ignore_eos else {}),
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def chat_request(model: str, text: str, answer_tokens: int) -> dict[str, object]:
    """The body of a chat completion with one message."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": answer_tokens,
    }


def prompt_of(request_class: RequestClass, words: int, rng: random.Random) -> str:
    """A prompt that begins as every other of its class does, as far as the stack says, and goes on at random."""
    shared = round(words * request_class.shared_prefix)
    same = random_prompt(shared, random.Random(request_class.name))
    return f"{same} {random_prompt(words - shared, rng)}".strip()


def random_prompt(words: int, rng: random.Random) -> str:
    """A prompt of random words: no two prompts have the same beginning, so a prefix cache does not help."""
    return " ".join(rng.choices(_WORDS.split(), k=words))


def pick_class(classes: Sequence[RequestClass], rng: random.Random) -> RequestClass:
    """A random class, by its share of the requests."""
    return rng.choices(classes, weights=[request_class.share for request_class in classes])[0]


def next_gap(rate: float, rng: random.Random) -> float:
    """Seconds to the next request of a Poisson process with `rate` requests per second."""
    return rng.expovariate(rate)


def fit_token_ratio(short: tuple[int, int], long: tuple[int, int]) -> TokenRatio:
    """The token ratio from (words, tokens) of two prompts; the default if the counts make no sense."""
    per_word = (long[1] - short[1]) / (long[0] - short[0])
    return TokenRatio(per_word, max(0.0, short[1] - per_word * short[0])) if per_word > 0 else TokenRatio()
