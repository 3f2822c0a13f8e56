"""The alternatives written in a stack file: blocks from `# variant: NAME` to `# end`, one of them in use."""

import re

_HEAD = re.compile(r"^  # variant: (?P<name>[\w.-]+)(?P<used> \(in use\))?:")
_END = "  # end"


def variants(text: str) -> list[str]:
    """Names of the alternatives, the one in use first of them where the file has it first."""
    return [head["name"] for line in text.splitlines() if (head := _HEAD.match(line))]


def in_use(text: str) -> str:
    """The name of the alternative in use."""
    used = [head["name"] for line in text.splitlines() if (head := _HEAD.match(line)) and head["used"]]
    if len(used) != 1:
        raise ValueError(f"one variant must be in use, not {used}")
    return used[0]


def uncomment_variant(text: str, name: str) -> str:
    """The text with the block in use commented out and the named one in, as a user would edit it."""
    if name not in variants(text):
        raise ValueError(f"no variant {name} among {variants(text)}")
    before = in_use(text)
    if name == before:
        return text
    lines, block = [], ""
    for line in text.splitlines():
        if head := _HEAD.match(line):
            block = head["name"]
            lines.append(_marked(line, head, block == name))
        else:
            block = "" if line == _END else block
            lines.append(_turned(line, commented=block == before, uncommented=block == name))
    return "\n".join(lines) + "\n"


def _turned(line: str, *, commented: bool, uncommented: bool) -> str:
    if commented:
        return f"  # {line[2:]}"
    if uncommented and not line.startswith("  # "):
        raise ValueError(f"not a commented line of a variant: {line!r}")
    return f"  {line[4:]}" if uncommented else line


def _marked(line: str, head: re.Match[str], used: bool) -> str:
    rest = line[head.end() :]
    return f"  # variant: {head['name']}{' (in use)' if used else ''}:{rest}"
