"""Which texts are secrets: by their form, or by the name under which they stand; placeholders are none."""

import re

# Tokens of model hubs, services, source hosts and clouds, and private keys: messages end up in build logs.
_TOKEN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY(?s:.*)"  # a certificate is no secret
)
# Names of variables, options and headers whose values are secrets, in capitals with `_` between words.
_SECRET_NAME = re.compile(
    r"(?:(?:^|_)(?:TOKEN|API_?KEYS?|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY|CLIENT_SECRET|PASSPHRASE|REQUIREPASS"
    r"|AUTHORIZATION)|PASSWORD|PASSWD|_PWD)$"
)
# Names that end so and hold none: special tokens of a tokenizer, and switches.
_OTHER_NAME = re.compile(
    r"(?:^|_)(?:BOS|EOS|PAD|UNK|SEP|CLS|MASK|START|END|STOP|SPECIAL|IMAGE|VIDEO|AUDIO|THINK)_TOKEN$"
    r"|^(?:NO|USE|SKIP|ALLOW|ENABLE|DISABLE|REQUIRE|PRINT|RETURN|PER)_"
)
# Values that are no secret whatever the name: signs, numbers, switches, paths, references and special tokens.
_NO_SECRET = re.compile(
    r"\W*|[0-9.]*|true|false|yes|on|off|@?\.{0,2}/\S*|\$\w+|\$\{.*\}|\$\(.*|`.*|\{\{.*\}\}|<[^<>]*>|\[[A-Z]+\]"
    r"|os\.environ\b.*",
    re.IGNORECASE | re.DOTALL,
)
_SCHEME = re.compile(r"(?:bearer|basic|token)\s+", re.IGNORECASE)  # before the value of a header
_DEFAULT = re.compile(
    r"\$\{\w+:?[-=](.*)\}", re.DOTALL
)  # the value that a script takes where a variable is not set
# Words of placeholders that clients send to a server without keys: EMPTY, sk-no-key-required, your-api-key.
_EMPTY = re.compile(
    r"any|anything|blank|dummy|empty|example|fake|ignored?|irrelevant|mock|n|na|nil|no|nokey|none|not|null"
    r"|(?:no|not)(?:needed|required)|ollama|placeholder|redacted|sample|studio|test|todo|undefined|unneeded|unset"
    r"|unused|whatever|your|[x*.•…0]{3,}"  # also xxxx, ****
)
_BESIDE_EMPTY = re.compile(
    r"a|access|an|api|apikey|auth|bearer|for|here|hf|in|insert|is|it|keys?|lm|local|me|my|necessary|needed|of|openai"
    r"|or|password|put|real|required|secret|set|sk|string|the|this|token|used?|value|vllm|with|[0-9]{1,4}"
)


def holds_token(text: str) -> bool:
    """Whether a text contains something with the form of a well-known kind of secret."""
    return any(not _is_placeholder(match[0]) for match in _TOKEN.finditer(text))


def redacted(text: str) -> str:
    """The text with such secrets replaced by `(a secret)`."""
    return _TOKEN.sub(lambda match: match[0] if _is_placeholder(match[0]) else "(a secret)", text)


def names_secret(name: str) -> bool:
    """Whether a variable, an option (`--api-key`, `apiKey`) or a header of this name has a secret as its value."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    plain = re.sub(r"\W+", "_", spaced).strip("_").upper()
    return _SECRET_NAME.search(plain) is not None and _OTHER_NAME.search(plain) is None


def may_be_secret(value: str) -> bool:
    """Whether a value could be a secret: it is no number, switch, path, reference or placeholder."""
    value = _SCHEME.sub("", value, count=1) if _SCHEME.match(value) else value
    default = _DEFAULT.fullmatch(value)
    if default is not None:
        return may_be_secret(default[1])
    return _NO_SECRET.fullmatch(value) is None and not _is_placeholder(value)


def named_as_secret(name: str, value: str) -> bool:
    """Whether a variable of this name holds a secret: by the name, unless the value is plainly none."""
    return names_secret(name) and may_be_secret(value)


def _is_placeholder(value: str) -> bool:
    """Whether all words of a value are those of a placeholder, and one of them says that it is empty."""
    words = re.findall(r"[^\W_]+|[*.•…]{3,}", value.lower())
    others = [word for word in words if not _EMPTY.fullmatch(word)]
    return len(others) < len(words) and all(map(_BESIDE_EMPTY.fullmatch, others))
