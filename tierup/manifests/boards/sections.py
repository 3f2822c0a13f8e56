"""The runbooks of docs/runbooks.md, by alert, with the names of a stack in place of the page's placeholders."""

import functools
import re

from tierup.plan.model import Plan
from tierup.templates import ROOT

_SECTION = re.compile(r"^## (Tierup\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@functools.cache
def sections() -> dict[str, str]:
    """The text of each alert's section, in the page's order."""
    page = (ROOT / "docs/runbooks.md").read_text(encoding="utf-8")
    return {name: text.strip() for name, text in _SECTION.findall(page)}


def of_stack(text: str, plan: Plan) -> str:
    """A section with the stack's own name and namespace, and its model's where there is only one."""
    names = {"NS": plan.namespace, "STACK": plan.stack}
    if len(plan.models) == 1:
        names["SLUG"] = plan.models[0].slug
    return re.sub(r"\b(NS|STACK|SLUG)\b", lambda match: names.get(match[1], match[1]), text)
