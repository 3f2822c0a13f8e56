"""Read files that a user names, and write those that a command is asked for.

Whatever is named (a folder, a device, a pipe without end, somebody else's file), reading ends soon, with the content or
with one message. A written file is complete or not there.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

from tierup.findings.model import FileError

MIB = 1024 * 1024
MOST_OF_A_STACK_FILE = MIB  # a thousand models with all of their keys have a third of it
MOST_OF_A_DOCUMENT = 256 * MIB  # a preview has about 30 KiB per resource: this is one of eight thousand
_CHUNK = MIB


class UnreadableFile(FileError):
    """A file that cannot be read; `name` is its name, `reason` what is wrong, `fix` what to do."""

    def __init__(self, name: str, reason: str, fix: str) -> None:
        super().__init__(f"{name} {reason} - {fix}")
        self.name, self.reason, self.fix = name, reason, fix


class UnwritableFile(FileError):
    """A file that cannot be written; the message says why and what to do."""


def read_bytes(path: Path, limit: int, name: str | None = None) -> bytes:
    """The content of a file, device or pipe of at most `limit` bytes; `-` is standard input.

    Raises:
        UnreadableFile: it cannot be opened, or has more than `limit` bytes.
    """
    name = name if name is not None else str(path)
    try:
        if str(path) == "-":
            return _within(sys.stdin.buffer.read(limit + 1), limit, "standard input")
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe that nobody writes to is empty
        try:
            os.set_blocking(descriptor, True)
            return _bounded(descriptor, limit, name)
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = error.strerror if error.strerror is not None else str(error)
        raise UnreadableFile(
            name, f"cannot be read: {reason}", "name a file that exists and can be read"
        ) from error


def read_text(path: Path, limit: int, name: str | None = None) -> str:
    """The content of a file as UTF-8 text, without a byte order mark; as `read_bytes`."""
    return decoded(read_bytes(path, limit, name), name if name is not None else str(path))


def decoded(content: bytes, name: str) -> str:
    """UTF-8 text without a byte order mark; raises `UnreadableFile`."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(name, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error


def read_json(path: Path, limit: int = MOST_OF_A_DOCUMENT) -> Any:
    """The value in a JSON file; raises `UnreadableFile`."""
    return parse_json(read_text(path, limit), str(path))


def parse_json(text: str, name: str) -> Any:
    """The value of a JSON text; NaN and the infinities, which JSON does not have, are refused too."""
    try:
        return json.loads(text, parse_constant=not_json)
    except RecursionError as error:
        raise UnreadableFile(name, "is nested too deeply", "name the right file") from error
    except ValueError as error:
        raise UnreadableFile(name, f"is not JSON ({error})", "name a JSON file") from error


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step; an error leaves the old one. Devices and pipes are written to directly.

    Raises:
        UnwritableFile: naming the path and the reason.
    """
    import tempfile  # takes a while, and most commands write no file

    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8") as device:
                device.write(text)
            return
        target = path.resolve()  # of a symbolic link, the file is replaced and not the link
        descriptor, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(draft).chmod(_mode(target))
            Path(draft).replace(target)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UnwritableFile(
            f"{path} cannot be written: {error.strerror} - name a file in a folder that you can write to"
        ) from error


def _mode(target: Path) -> int:
    """The permissions of the file that is replaced, or those that a new one gets."""
    if target.exists():
        return target.stat().st_mode & 0o7777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _bounded(descriptor: int, limit: int, name: str) -> bytes:
    content = bytearray()
    while len(content) <= limit and (chunk := os.read(descriptor, _CHUNK)):
        content += chunk
    return _within(bytes(content), limit, name)


def _within(content: bytes, limit: int, name: str) -> bytes:
    if len(content) > limit:
        most = f"{limit // MIB} MiB" if limit >= MIB else f"{limit // 1024} KiB"
        raise UnreadableFile(name, f"has more than {most}", "name the right file, or make it smaller")
    return content


def not_json(constant: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python's reader of JSON would take; raises ValueError."""
    raise ValueError(f"{constant} is not a JSON number")
