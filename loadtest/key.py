"""Decides where the API key comes from: the environment, so that no command line, log or result holds it."""

import os

KEY_VARIABLE = "TIERUP_API_KEY"


def api_key() -> str | None:
    """The key to send, without the line end that files have; None where none is set.

    Raises:
        ValueError: it cannot stand in a header; the message does not hold it.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not all("!" <= letter <= "~" for letter in key):
        raise ValueError(f"{KEY_VARIABLE} holds something that is no letter, digit or sign")
    return key if key else None
