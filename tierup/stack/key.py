"""What is written about a key of the stack file, once for editors, for its reference page and for readers of code."""

from typing import Any

from pydantic import Field


def key(about: str, example: object = None, unit: str | None = None, **bounds: Any) -> Any:
    """A field with its description, a valid value, the unit of a number, and pydantic's bounds.

    A key that holds further keys has no example of its own.
    """
    return Field(
        description=about,
        examples=None if example is None else [example],
        json_schema_extra=None if unit is None else {"unit": unit},
        **bounds,
    )
