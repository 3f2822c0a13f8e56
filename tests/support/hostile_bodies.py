"""Bodies that try to get a longer answer than their class allows: path, and the text of the body."""

import json
from collections.abc import Iterator

MODEL = "qwen2.5-7b"
CHAT, COMPLETIONS, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
HELLO = [{"role": "user", "content": "Write a book."}]
PROMPTS: dict[str, dict[str, object]] = {
    CHAT: {"messages": HELLO},
    COMPLETIONS: {"prompt": "Write a book."},
    RESPONSES: {"input": "Write a book."},
}
NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens")
NUMBERS = ("8000", "8000.0", "8e3", "800000000000000000000", "1e999", "548", "0", "-1", "0.5", "8000.5")
WORDS = (
    "8000",
    " 8000 ",
    "+8000",
    "8_000",
    "8000.0",
    "8e3",
    "0x1f40",
    "08000",
    "\\u0038000",
    "",
    "many",
    "-1",
)
OTHERS = ("null", "true", "false", "[8000]", '{"tokens":8000}')
PAIRS = (
    '"max_tokens":5,"max_completion_tokens":8000',
    '"max_tokens":8000,"max_completion_tokens":5',
    '"max_tokens":null,"max_completion_tokens":8000',
    '"max_tokens":8000,"max_completion_tokens":null',
    '"max_completion_tokens":null,"max_output_tokens":5',
    '"max_tokens":5,"max_tokens":8000',
    '"max_tokens":8000,"max_tokens":5',
    '"max_tokens":5,"max_tokens":null',
    '"max_completion_tokens":5,"max_completion_tokens":null',
    '"max_output_tokens":5,"max_output_tokens":8000',
    '"max_output_tokens":5,"max_output_tokens":null',
    r'"max_tokens":5,"max\u005ftokens":8000',
    '"__proto__":{"max_tokens":5,"max_output_tokens":5}',
    '"__proto__":{"max_tokens":5},"max_completion_tokens":null',
    '"constructor":{"max_tokens":5}',
    '"extra_body":{"max_tokens":5}',
    '"Max_Tokens":5',
)
LEAST = ("8000", '"8000"', "8000.0", "548", "-8000", "null", "true", '"many"')
MANY = ("6", '"6"', "6.0", "600", "100000", "0", "-6", "null", "true", "1.5", '"six"')
COUNTS = (
    '"n":6,"best_of":1',
    '"n":6,"max_tokens":100',
    '"n":"6","max_tokens":"100"',
    '"best_of":20',
    '"n":2,"use_beam_search":true',
    '"n":8,"use_beam_search":true,"max_tokens":100',
    '"n":null,"max_tokens":547',
    '"max_tokens":300,"min_tokens":8000',
    '"min_tokens":400',
    '"ignore_eos":true',
    '"stream":"yes"',
    '"stream":1',
    '"echo":true,"max_tokens":0',
)
LISTS = (
    '["a","b","c"]',
    "[[1,2],[3,4],[5,6]]",
    "[1,2,3]",
    "[]",
    '["a",2,3]',
    '[1,"2"]',
    "[" + ",".join(['"a"'] * 60) + "]",
)


def fields() -> Iterator[str]:
    """What may stand beside the prompt."""
    yield ""
    for name in NAMES:
        yield from (f'"{name}":{value}' for value in (*NUMBERS, *OTHERS))
        yield from (f'"{name}":"{word}"' for word in WORDS)
    yield from PAIRS
    yield from (f'"min_tokens":{value}' for value in LEAST)
    yield from (f'"{name}":{value}' for name in ("n", "best_of") for value in MANY)
    yield from COUNTS


def hostile_bodies() -> Iterator[tuple[str, str]]:
    """Every kind of body on every path that writes answers."""
    for path, prompt in PROMPTS.items():
        begin = json.dumps({"model": MODEL, **prompt})[:-1]
        for field in fields():
            yield path, f"{begin}{', ' if field else ''}{field}}}"
    for prompts in LISTS:
        for field in ("", ',"max_tokens":200', ',"max_tokens":null', ',"n":3', ',"prompt_embeds":["QQ=="]'):
            yield COMPLETIONS, f'{{"model":"{MODEL}","prompt":{prompts}{field}}}'
