"""Turn the configuration of Pulumi's engine back into the stack file that it came from."""

import json
from collections.abc import Iterable, Mapping

from tierup.io.stack.read import PROJECT, split_config
from tierup.stack.parse import SECRET_PREFIX, RawStack

_SECURE = {"secure": ""}  # replaces a secret value


def read_engine(stack: str, values: Mapping[str, str], secret_keys: Iterable[str]) -> RawStack:
    """The `tierup:` values of a running program; structured values are parsed from JSON, secrets are not read."""
    secrets = set(secret_keys)
    config = {key: _SECURE if key in secrets else _value(key, text) for key, text in values.items()}
    return split_config(stack, config)


def _value(key: str, text: str) -> object:
    if key.startswith(f"{PROJECT}:{SECRET_PREFIX}"):
        return text  # a secret that is not marked as one; parsing the stack reports it
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
