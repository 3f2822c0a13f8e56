"""Writes docs/stack-file.md: every key of a stack file, from the models that validate it."""

from collections.abc import Iterator
from itertools import groupby

import yaml

from tierup.catalog import load_catalog
from tierup.findings.model import Code
from tierup.findings.paths import REPORTED_AT
from tierup.plan.model import Default
from tierup.report.tables import table
from tierup.rules.preflight import make_plan
from tierup.stack.parse import API_KEY_PREFIX, SECRET_PREFIX, SECRETS, RawStack, parse, set_secret
from tierup.stack.reference import Key, keys, sections

# The stack whose defaults stand on the page: only what a file must say.
_SMALLEST: dict[str, object] = {
    "workload": {"users": 20},
    "nodes": {"server": "entry-2x-rtx-4090"},
    "models": [{"id": "qwen2.5-7b"}],
}
_COLUMNS = ("key", "meaning", "type", "unit", "default", "example", "findings")
_HEAD = """\
# The stack file

Written by `make generate` from the models that validate a stack file; do not edit.

A stack file is `stacks/Pulumi.NAME.yaml`. Each section below is a key `tierup:SECTION` under `config:`. Only
`workload`, `nodes` and `models` are required. `tierup init` writes a first file, and editors complete keys from
[stacks/tierup.schema.json](../stacks/tierup.schema.json), which holds the same descriptions.

- `[]` stands for an entry of a list, NAME for a name that you choose.
- **Default** is the value for the smallest stack file: 20 users, `entry-2x-rtx-4090`, `qwen2.5-7b`. Many defaults
  depend on the rest of the file; `tierup plan --stack NAME` prints those of yours, each with its reason.
- **Findings** are the codes that a value here can cause, explained in [findings.md](findings.md). Any key can also
  cause those of form: TIER003 to TIER007 and TIER010.
- A decimal may be text (`"0.9"`), because `pulumi config set --path` writes it so.
"""


def page() -> str:
    """The page as Markdown."""
    plan = make_plan(parse(RawStack("team", _SMALLEST)), load_catalog())
    defaults = {item.path.replace("[0]", "[]"): item for item in plan.defaults}
    about = sections()
    parts = [_HEAD]
    for section, group in groupby(keys(), key=lambda item: item.section):
        top, *below = group
        parts.append(f"## {section}\n\n{about[section]}\n")
        codes = _codes(top.path) or _codes(section)
        if codes:
            parts.append(f"Findings about the whole section: {codes}.\n")
        parts.append("\n".join(table(_COLUMNS, (_row(item, defaults) for item in below))) + "\n")
    parts.append("\n".join(_secrets()) + "\n")
    return "\n".join(parts)


def _row(key: Key, defaults: dict[str, Default]) -> tuple[str, ...]:
    example = "" if key.example is None else f"`{_line(_yaml(key.example))}`"
    default = "required" if key.required else _default(key, defaults.get(key.path))
    return (f"`{key.path}`", key.about, key.type, key.unit or "", default, example, _codes(key.path))


def _default(key: Key, found: Default | None) -> str:
    if found is None:
        return "" if key.example is None else "none"
    return f"{found.value} ({found.why})"


def _codes(path: str) -> str:
    return ", ".join(_link(code) for code, paths in REPORTED_AT.items() if path in paths)


def _link(code: Code) -> str:
    return f"[{code}](findings.md#{code.lower()})"


def _line(text: str) -> str:
    """A text as one line of a table: of several, the first."""
    first, *more = text.splitlines()
    return f"{first} ..." if more else first


def _yaml(value: object) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()


def _secrets() -> Iterator[str]:
    caller = "API key of the caller NAME of `gateway.keys`; several while it is rotated"
    names = {**SECRETS, f"{API_KEY_PREFIX}NAME": caller}
    yield "## Secrets"
    yield ""
    yield f"A secret is not a section: `{set_secret('NAME', 'STACK')}` asks for its value and"
    yield "encrypts it. A plan can be made before secrets exist; `pulumi up` needs those that the file uses"
    yield f"({_link(Code.GATED_MODEL)}, {_link(Code.NO_SECRET)})."
    yield ""
    yield from table(
        ("key", "value"), ((f"`tierup:{SECRET_PREFIX}{name}`", what) for name, what in names.items())
    )
