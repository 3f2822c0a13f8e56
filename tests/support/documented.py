"""The keys that a page of documentation lists, for tests that compare them with an output."""

import re


def documented_keys(page: str) -> list[set[str]]:
    """The keys in the first column of each table of a Markdown page."""
    tables: list[set[str]] = [set()]
    for line in page.splitlines():
        if line.startswith("| `"):
            tables[-1].update(re.findall(r"`(\w+)`", line.split(" | ")[0]))
        elif not line.startswith("|") and tables[-1]:
            tables.append(set())
    return [table for table in tables if table]
