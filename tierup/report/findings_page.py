"""Writes docs/findings.md: every code under its heading, with its meaning and a fix."""

from itertools import groupby

from tierup.findings.explanations import EXPLAINED, group_of
from tierup.findings.model import Code

_HEAD = """\
# Findings

Written by `make generate` from `tierup/findings/explanations.py`; do not edit.

Every problem that tierup reports has a code. A code never changes its meaning and is never reused. A finding has the
form `CODE path: what is wrong (got X; allowed Y) - fix`.

- An **error** means that the service cannot work. `pulumi preview` fails, and `tierup plan` ends with exit code 1 (or
  3, if the only errors are about the budget).
- A **warning** means that the service works, but with a disadvantage. It is shown and does not stop a deployment. If
  you accept the disadvantage, say why in the stack file:

  ```yaml
  tierup:accept:
    - code: TIER052
      path: nodes.count # optional: only at this path
      reason: a test tier, an outage costs nothing
  ```

  The warning is still shown, as `accepted: <reason>`, but no longer counts as open. Errors cannot be accepted. An
  acceptance of a warning that is no longer reported is itself a warning.
- A **note** is for information. It may be accepted, but need not be.
"""


def page() -> str:
    """The page as Markdown; the anchor of a code is the code in lower case."""
    parts = [_HEAD]
    for heading, codes in groupby(Code, key=group_of):
        parts.append(f"## {heading}\n")
        parts.extend(_entry(code) for code in codes)
    return "\n".join(parts)


def _entry(code: Code) -> str:
    explanation = EXPLAINED[code]
    severity = " or ".join(map(str, explanation.severities))
    return f"### {code}\n\n**{explanation.title}** ({severity}). {explanation.meaning}\n\nFix: {explanation.fix}\n"
