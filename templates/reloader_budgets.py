"""Token budgets of callers: counts the tokens that Nginx logs, and marks callers that have used theirs.

Nginx appends `CALLER PROMPT CACHED ANSWER SOURCE SECONDS` to FOLDER/tokens/N, a file for each 100 seconds, and refuses
a caller while FOLDER/spent/CALLER exists, whose text is the second at which it may send again. Counts are in
FOLDER/budgets.json, so a restart of either process forgets nothing. Only the standard library.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

INTERVAL_SECONDS = 0.5
FILE_SECONDS = 100
CHUNK_BYTES = 1 << 20
LINE = re.compile(rb"([A-Za-z0-9._-]{1,64}) ([0-9]{1,12}) [0-9]+ ([0-9]{1,12}) [a-z]+ [0-9.]+")


class Window(NamedTuple):
    """Tokens used in the window that began at `start`, with what earlier ones used beyond their budget."""

    start: int = 0
    used: int = 0


def at(window: Window, now: float, seconds: int, budget: int) -> Window:
    """The window of `now`: each one that has passed pays for one budget, and nothing is saved up."""
    start = int(now // seconds) * seconds
    passed = max(0, (start - window.start) // seconds)
    return Window(max(start, window.start), max(0, window.used - passed * budget))


def free_at(window: Window, seconds: int, budget: int) -> int:
    """The second at which there are tokens again; 0: there are some now."""
    return window.start + window.used // budget * seconds if window.used >= budget else 0


class Budgets:
    """The windows of all callers of one gateway."""

    def __init__(self, folder: Path, budgets: Mapping[str, Mapping[str, int]]) -> None:
        """`budgets`: tokens by caller and by the seconds of the window; creates the folders."""
        self.budgets = {
            name: {int(seconds): tokens for seconds, tokens in item.items()} for name, item in budgets.items()
        }
        self.tokens, self.spent, self.saved = folder / "tokens", folder / "spent", folder / "budgets.json"
        self.tokens.mkdir(parents=True, exist_ok=True)
        self.spent.mkdir(parents=True, exist_ok=True)
        self.read: dict[str, int] = {}  # bytes by file
        self.windows: dict[str, dict[int, Window]] = {name: {} for name in budgets}
        self.restore()

    def restore(self) -> None:
        """The counts of an earlier run; a file that cannot be read counts as none."""
        try:
            saved = json.loads(self.saved.read_text(encoding="utf-8"))
            read = {str(name): int(done) for name, done in saved["read"].items()}
            used = {
                name: {int(seconds): Window(*map(int, pair)) for seconds, pair in item.items()}
                for name, item in saved["windows"].items()
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        self.read = read
        self.windows = {name: used.get(name, {}) for name in self.budgets}

    def update(self, now: float) -> None:
        """Count what is new, and mark or free each caller."""
        before = (dict(self.read), self.windows)
        new = self.new_tokens(now)
        self.windows = {
            name: {
                seconds: self.window(name, seconds, now, new.get(name, 0)) for seconds in self.budgets[name]
            }
            for name in self.budgets
        }
        if (self.read, self.windows) != before:
            write(self.saved, json.dumps({"read": self.read, "windows": self.windows}))
        for name, budget in self.budgets.items():
            self.mark(
                name,
                max(free_at(self.windows[name][seconds], seconds, budget[seconds]) for seconds in budget),
            )

    def window(self, name: str, seconds: int, now: float, new: int) -> Window:
        """A caller's window with `new` tokens."""
        window = at(self.windows[name].get(seconds, Window()), now, seconds, self.budgets[name][seconds])
        return window._replace(used=window.used + new)

    def mark(self, name: str, until: int) -> None:
        """Refuse a caller until then; 0: no longer."""
        path = self.spent / name
        if until == 0:
            path.unlink(missing_ok=True)
        elif not path.exists() or path.read_text(encoding="utf-8") != str(until):
            write(path, str(until))

    def new_tokens(self, now: float) -> dict[str, int]:
        """Tokens by caller in the lines since the last call; files that no line can come to any more are removed."""
        new: dict[str, int] = {}
        for path in sorted(self.tokens.iterdir()):
            self.count(path, new)
            if path.name.isdigit() and (int(path.name) + 3) * FILE_SECONDS < now:
                path.unlink()
                self.read.pop(path.name, None)
        return new

    def count(self, path: Path, new: dict[str, int]) -> None:
        """Add the complete lines that are new in one file."""
        done = self.read.get(path.name, 0)
        with path.open("rb") as file:
            file.seek(done)
            while chunk := file.read(CHUNK_BYTES):
                lines, newline, _ = chunk.rpartition(b"\n")
                if not newline:
                    break  # the line is still being written
                done += len(lines) + 1
                file.seek(done)
                for name, prompt, answer in LINE.findall(lines):
                    caller = name.decode()
                    new[caller] = new.get(caller, 0) + int(prompt) + int(answer)
        self.read[path.name] = done


def write(path: Path, text: str) -> None:
    """Replace a file in one step; the draft is beside the folder, because each name in it is a caller's."""
    draft = path.parent.parent / f".{path.name}.draft"
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


async def keep(budgets: Budgets, report: Callable[[str, str | None], None]) -> None:
    """Update for ever; a failed round is reported and the next tries again."""
    while True:
        try:
            budgets.update(time.time())
            report("budgets", None)
        except OSError as error:
            report("budgets", f"{type(error).__name__}: {error}")
        await asyncio.sleep(INTERVAL_SECONDS)
