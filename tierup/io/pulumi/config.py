"""Decides how the configuration that Pulumi's engine hands over reads: as the stack file it came from."""

import json
from collections.abc import Iterable, Mapping

from tierup.io.stack.read import PROJECT, split_config
from tierup.stack.parse import SECRET_PREFIX, RawStack

_SECURE = {"secure": ""}  # stands for a value that the engine keeps secret


def read_engine(stack: str, values: Mapping[str, str], secret_keys: Iterable[str]) -> RawStack:
    """The `tierup:` values of a running program: structured ones are JSON text, secret ones stay unread."""
    hidden = set(secret_keys)
    config = {key: _SECURE if key in hidden else _value(key, text) for key, text in values.items()}
    return split_config(stack, config)


def _value(key: str, text: str) -> object:
    if key.startswith(f"{PROJECT}:{SECRET_PREFIX}"):
        return text  # a secret that is not marked as one: reported as such
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
