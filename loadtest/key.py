"""The API key. It comes from the environment, so that it is in no command line, log or result."""

import os

KEY_VARIABLE = "TIERUP_API_KEY"


def api_key() -> str | None:
    """The API key without surrounding white space; None if it is not set.

    Raises:
        ValueError: the key cannot be sent in a header; the message does not contain the key.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not all("!" <= letter <= "~" for letter in key):
        raise ValueError(
            f"{KEY_VARIABLE} contains a character that is not a letter, digit or ASCII punctuation"
        )
    return key if key else None
