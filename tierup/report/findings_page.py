"""Decides how docs/findings.md reads: every code under its heading, what it means and how it is mended."""

from itertools import groupby

from tierup.findings.explanations import EXPLAINED, group_of
from tierup.findings.model import Code

_HEAD = """\
# Findings

Written by `make generate` from `tierup/findings/explanations.py`; do not edit.

Every problem that tierup can name has a code, which keeps its meaning and is never used again. A finding reads
`CODE path: what is wrong (got X; allowed Y) - fix`.

- An **error** cannot work. `pulumi preview` fails, and `tierup plan` ends with exit code 1 (3 if being over budget is
  all there is).
- A **warning** works with a catch. It is shown and stops nothing. Where it is meant, the stack file says why:

  ```yaml
  tierup:accept:
    - code: TIER052
      path: nodes.count # optional: only there
      reason: a test tier, an outage costs nothing
  ```

  It is still shown, as `accepted: <reason>`, and no longer counts as open. Errors cannot be accepted, and an acceptance
  of a warning that is not told any more is itself a warning.
- A **note** explains. It needs no acceptance; one does no harm.
"""


def page() -> str:
    """The page as Markdown; the anchor of a code is the code in small letters."""
    parts = [_HEAD]
    for heading, codes in groupby(Code, key=group_of):
        parts.append(f"## {heading}\n")
        parts.extend(_entry(code) for code in codes)
    return "\n".join(parts)


def _entry(code: Code) -> str:
    said = EXPLAINED[code]
    severity = " or ".join(map(str, said.severities))
    return f"### {code}\n\n**{said.title}** ({severity}). {said.meaning}\n\nFix: {said.fix}\n"
