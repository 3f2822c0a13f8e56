"""Reads the command lines of containers: the words of a script, and the values that its words name."""

import re
import shlex
from collections.abc import Iterator, Sequence

_OPTION = re.compile(r"-{1,2}[A-Za-z][\w.-]*")
_SETTING = re.compile(r"(-{0,2}[A-Za-z_][\w.-]*)=((?:(?:bearer|basic|token)\s+)?\S+)", re.IGNORECASE)
_HEADER = re.compile(  # a name of one word is more often a message: "token: missing"
    r"^(?:-H|--header[= ])?[ \t]*([a-z]\w*(?:[-_]\w+)+|authorization|apikey)[ \t]*:[ \t]*(.+)$",
    re.IGNORECASE | re.MULTILINE,
)
_QUOTED = re.compile(r"""(\w[\w.-]*)["']?\s*[:=]\s*["']([^"'\n]+)["']""")  # in JSON or a program
_DEEPEST = 4  # scripts within scripts


def script_words(text: str, comments: str = "#") -> list[str] | None:
    """The words of a shell script, `;`, `&&` and line ends among them; None if a quote is not closed."""
    try:
        lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=";&|()\n")
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, comments
        return list(lexer)
    except ValueError:
        return None


def named_values(words: Sequence[object], depth: int = 0) -> Iterator[tuple[int, str, str]]:
    """Each value that a command line names, as index of its word, name and value.

    Read are `--name value`, `--name=value`, `NAME=value`, `Name: value` (a header), and `"name": "value"` of JSON and
    programs. A word with spaces may be a script or a list of options, so its own words are read too.
    """
    previous = ""
    for index, word in enumerate(words):
        if not isinstance(word, str):
            previous = ""
            continue
        if _OPTION.fullmatch(previous) and not (_OPTION.fullmatch(word) or word.startswith("--")):
            yield index, previous, word
        if given := _SETTING.fullmatch(word):
            yield index, given[1], given[2]
        for form in (_HEADER, _QUOTED):
            yield from ((index, name, value) for name, value in form.findall(word))
        if depth < _DEEPEST and re.search(r"\s", word):
            inner = script_words(word, "") or script_words(word) or word.split()
            yield from ((index, name, value) for _, name, value in named_values(inner, depth + 1))
        previous = word
