"""Reads the values of a config.json, and collects what is missing or wrong in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from tierup.findings.model import TierError

MOST = 1_000_000_000  # of a count in config.json; the longest contexts have ten million tokens
_TEXT = (
    "text_config",
    "language_config",
    "llm_config",
)  # where files of models with other inputs have the decoder


class ShapeError(TierError):
    """A config.json of a model that is not sized; the message says what is missing or why."""


def is_count(value: object, least: int = 1) -> bool:
    """Whether a value is a whole number that a count can be."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MOST


class Keys:
    """The decoder's keys of a config.json; `defaults` are those of its model type."""

    def __init__(self, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        inner = next((config[key] for key in _TEXT if isinstance(config.get(key), dict)), config)
        self._tree = {key: value for key, value in inner.items() if value is not None}
        self._defaults = defaults
        self.wrong: list[str] = []

    def get(self, key: str) -> Any:
        """The value as it stands, or the default; None if there is neither."""
        return self._tree.get(key, self._defaults.get(key))

    def count(self, *names: str, default: int | None = None, least: int = 1) -> int:
        """The first of these keys that the file has; without a default it must have one."""
        for name in names:
            value = self.get(name)
            if value is not None:
                if is_count(value, least):
                    return int(value)
                self.wrong.append(name)
                return 1
        if default is None:
            self.wrong.append(names[0])
        return 1 if default is None else default

    def flag(self, key: str, default: bool) -> bool:
        """A switch."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            self.wrong.append(key)
        return value if isinstance(value, bool) else default

    def texts(self, key: str, length: int) -> Sequence[str] | None:
        """A list with one text per layer; None if the file has none."""
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, list) and len(value) == length and all(isinstance(item, str) for item in value):
            return value
        self.wrong.append(key)
        return None

    def indexes(self, key: str) -> Sequence[int]:
        """A list of layers, empty if the file has none."""
        value = self.get(key)
        if value is None:
            return []
        if isinstance(value, list) and all(is_count(item, 0) for item in value):
            return value
        self.wrong.append(key)
        return []

    def check(self, name: str) -> None:
        """Raise `ShapeError` with every key that was missing or wrong."""
        if self.wrong:
            keys = ", ".join(dict.fromkeys(self.wrong))
            raise ShapeError(
                f"{name}: missing or wrong in config.json: {keys} (whole numbers, 1 to {MOST:,})"
            )
