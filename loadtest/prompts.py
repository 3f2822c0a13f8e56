"""Decides what a single request looks like, of which class it is, and when the next one comes."""

import random
from collections.abc import Sequence

from loadtest.profile import Kind, Profile, Words

# Common words of one syllable: about a token each for tokenizers of English.
_WORDS = (
    "time year way day thing man world life hand part child eye place work week case point night room book "
    "word fact side kind head house friend hour game line end law car name team air door art war plan"
)


def body(profile: Profile, kind: Kind, chance: random.Random) -> dict[str, object]:
    """One request of a class, streamed, with the server's count of tokens at its end."""
    return {
        **ask(profile.model, prompt(profile.words.of(kind.prompt_tokens), chance), kind.answer_tokens),
        **({"ignore_eos": True} if profile.ignore_eos else {}),
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def ask(model: str, text: str, answer_tokens: int) -> dict[str, object]:
    """A chat completion of one message."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": answer_tokens,
    }


def prompt(words: int, chance: random.Random) -> str:
    """So many words at random: no two prompts begin alike, so a prefix cache does not help."""
    return " ".join(chance.choices(_WORDS.split(), k=words))


def pick(kinds: Sequence[Kind], chance: random.Random) -> Kind:
    """A class by its share of the requests."""
    return chance.choices(kinds, weights=[kind.share for kind in kinds])[0]


def gap(rate: float, chance: random.Random) -> float:
    """Seconds to the next request when `rate` come each second, none knowing of the others (Poisson)."""
    return chance.expovariate(rate)


def learn(short: tuple[int, int], long: tuple[int, int]) -> Words:
    """What a word and the template are, from (words, tokens) of two prompts."""
    per_word = (long[1] - short[1]) / (long[0] - short[0])
    return Words(per_word, max(0.0, short[1] - per_word * short[0])) if per_word > 0 else Words()
