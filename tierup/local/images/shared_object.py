"""Read the dynamic symbols of shared objects (64-bit ELF, little endian)."""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAGIC = b"\x7fELF\x02\x01\x01"
_DYNAMIC, _DYNSYM, _VERDEF, _VERNEED, _VERSYM = 6, 11, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
_OBJECT, _THREAD_LOCAL = 1, 6


@dataclass(frozen=True)
class Symbol:
    """A dynamic symbol; its version is empty if it has none, `size` counts bytes."""

    name: str
    version: str
    defined: bool
    data: bool
    size: int


@dataclass(frozen=True)
class SharedObject:
    """What the dynamic linker reads: the object's own name, the libraries that it needs, its symbols."""

    soname: str
    needed: tuple[str, ...]
    symbols: tuple[Symbol, ...]


@dataclass(frozen=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int


def read(path: Path) -> SharedObject | None:
    """The file's dynamic symbols; None if it is no such object."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(data)


def _parse(data: mmap.mmap) -> SharedObject | None:
    (start,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = []
    for number in range(count):
        _, kind, _, _, offset, length, link, *_ = struct.unpack_from(
            "<IIQQQQIIQQ", data, start + number * size
        )
        sections.append(_Section(kind, offset, length, link))
    by_kind = {section.kind: section for section in sections}
    if _DYNAMIC not in by_kind or _DYNSYM not in by_kind:
        return None

    def text(section: _Section, at: int) -> str:
        begin = sections[section.link].offset + at
        return data[begin : data.find(b"\0", begin)].decode()

    dynamic = by_kind[_DYNAMIC]
    entries = list(struct.iter_unpack("<QQ", data[dynamic.offset : dynamic.offset + dynamic.size]))
    versions = _versions(data, by_kind, text)
    symbols = by_kind[_DYNSYM]
    return SharedObject(
        next((text(dynamic, value) for tag, value in entries if tag == 14), ""),
        tuple(text(dynamic, value) for tag, value in entries if tag == 1),
        tuple(_symbols(data, symbols, versions, text)),
    )


def _symbols(data: mmap.mmap, table: _Section, versions: list[str], text: Any) -> Iterator[Symbol]:
    rows = struct.iter_unpack("<IBBHQQ", data[table.offset : table.offset + table.size])
    for number, (name, info, _, section, _, size) in enumerate(rows):
        if name and info >> 4:  # a local symbol concerns nobody else
            version = versions[number] if number < len(versions) else ""
            yield Symbol(
                text(table, name), version, section != 0, info & 15 in (_OBJECT, _THREAD_LOCAL), size
            )


def _versions(data: mmap.mmap, sections: dict[int, _Section], text: Any) -> list[str]:
    """The version of each symbol, empty without one."""
    if _VERSYM not in sections:
        return []
    names = {0: "", 1: ""}
    for kind in (_VERDEF, _VERNEED):
        at = sections[kind].offset if kind in sections else None
        while at is not None:
            if kind == _VERDEF:
                _, _, index, _, _, first, following = struct.unpack_from("<HHHHIII", data, at)
                (name,) = struct.unpack_from("<I", data, at + first)
                names[index] = text(sections[kind], name)
            else:
                _, count, _, first, following = struct.unpack_from("<HHIII", data, at)
                entry = at + first
                for _ in range(count):
                    _, _, index, name, step = struct.unpack_from("<IHHII", data, entry)
                    names[index] = text(sections[kind], name)
                    entry += step
            at = at + following if following else None
    section = sections[_VERSYM]
    numbers = struct.iter_unpack("<H", data[section.offset : section.offset + section.size])
    return [names.get(number & 0x7FFF, "") for (number,) in numbers]
