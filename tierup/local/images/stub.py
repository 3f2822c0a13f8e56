"""Write shared objects that have nothing but a name, symbols and versions (64-bit ELF, little endian).

A program that is linked against a library starts only if the library is there, even if it never calls it. Such an
object is enough then, and is a thousandth of the library's size. Its functions return 0, its data is zero.
"""

import platform
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tierup.local.images.shared_object import Symbol

_MACHINES = {"x86_64": 62, "aarch64": 183}
_RETURN_0 = {"x86_64": b"\x31\xc0\xc3", "aarch64": struct.pack("<II", 0xD2800000, 0xD65F03C0)}
_PAGE = 0x10000  # the largest of these processors
_HEADER, _SEGMENT, _SYMBOL, _VERSION, _ENTRY = 64, 56, 24, 28, 16  # bytes
_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551
_READ_EXECUTE, _READ_WRITE = 5, 6
_SONAME, _HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT = 14, 4, 5, 6, 10, 11
_VERSYM, _VERDEF, _VERDEFNUM = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD


@dataclass(frozen=True)
class _Layout:
    """Where each part is; up to `code_at`, addresses are offsets in the file, and after `tables_end` all is zero."""

    hashes: int
    symbols: int
    versions_of_symbols: int
    versions: int
    dynamic: int
    strings: int
    tables_end: int
    data: int
    code_at: int
    code_offset: int


def write(soname: str, symbols: Iterable[Symbol]) -> bytes:
    """An object for this machine's processor that defines these symbols."""
    items = sorted(symbols, key=lambda symbol: (symbol.name, symbol.version))
    versions = sorted({symbol.version for symbol in items} - {""})
    strings = _Strings()
    own = strings.add(soname)
    names = [strings.add(symbol.name) for symbol in items]
    version_names = [strings.add(version) for version in versions]
    layout = _layout(items, len(versions), len(strings.data))
    code = _RETURN_0[platform.machine()]
    entries = {
        _SONAME: own,
        _HASH: layout.hashes,
        _SYMTAB: layout.symbols,
        _SYMENT: _SYMBOL,
        _STRTAB: layout.strings,
        _STRSZ: len(strings.data),
        _VERSYM: layout.versions_of_symbols,
        _VERDEF: layout.versions,
        _VERDEFNUM: len(versions) + 1,
        0: 0,
    }
    parts = {
        0: _header(layout, len(code)),
        layout.hashes: _hash_table(len(items)),
        layout.symbols: _symbol_table(items, names, layout, len(code)),
        layout.versions_of_symbols: _version_numbers(items, versions),
        layout.versions: _version_table([soname, *versions], [own, *version_names]),
        layout.dynamic: b"".join(struct.pack("<QQ", tag, value) for tag, value in entries.items()),
        layout.strings: bytes(strings.data),
        layout.code_offset: code,
    }
    out = bytearray(layout.code_offset + len(code))
    for at, part in parts.items():
        out[at : at + len(part)] = part
    return bytes(out)


class _Strings:
    """A string table; `add` returns a string's offset."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")

    def add(self, text: str) -> int:
        at = len(self.data)
        self.data += text.encode() + b"\0"
        return at


def _layout(items: Sequence[Symbol], versions: int, string_bytes: int) -> _Layout:
    hashes = _HEADER + 4 * _SEGMENT
    symbols = _aligned(hashes + 4 * (len(items) + 4), 8)
    versions_of_symbols = symbols + _SYMBOL * (len(items) + 1)
    versions_at = _aligned(versions_of_symbols + 2 * (len(items) + 1), 8)
    dynamic = _aligned(versions_at + _VERSION * (versions + 1), 8)
    strings = dynamic + 10 * _ENTRY
    end = strings + string_bytes
    data = _aligned(end, 16)
    data_size = max((symbol.size for symbol in items if symbol.data), default=0)
    code_at, code_offset = _aligned(data + data_size + 1, _PAGE), _aligned(end, _PAGE)
    return _Layout(
        hashes, symbols, versions_of_symbols, versions_at, dynamic, strings, end, data, code_at, code_offset
    )


def _header(layout: _Layout, code: int) -> bytes:
    """The file's header and its four segments: tables and data, code, the dynamic section, a stack without code."""
    end = layout.tables_end
    size = 10 * _ENTRY
    segments = (
        (_LOAD, _READ_WRITE, 0, 0, 0, end, layout.code_at - 1, _PAGE),
        (_LOAD, _READ_EXECUTE, layout.code_offset, layout.code_at, layout.code_at, code, code, _PAGE),
        (_DYNAMIC, _READ_WRITE, layout.dynamic, layout.dynamic, layout.dynamic, size, size, 8),
        (_STACK, _READ_WRITE, 0, 0, 0, 0, 0, 16),
    )
    machine, header = _MACHINES[platform.machine()], b"\x7fELF\x02\x01\x01" + bytes(9)
    fields = (3, machine, 1, 0, _HEADER, 0, 0, _HEADER, _SEGMENT, len(segments), 64, 0, 0)
    header += struct.pack("<HHIQQQIHHHHHH", *fields)
    return header + b"".join(struct.pack("<IIQQQQQQ", *segment) for segment in segments)


def _hash_table(count: int) -> bytes:
    """One chain of all symbols: the dynamic linker looks for few of them, once."""
    chain = (0, *range(2, count + 1), 0) if count else (0,)
    return struct.pack(f"<III{count + 1}I", 1, count + 1, 1 if count else 0, *chain)


def _symbol_table(items: Sequence[Symbol], names: Sequence[int], layout: _Layout, code: int) -> bytes:
    rows = [bytes(_SYMBOL)]
    for symbol, name in zip(items, names, strict=True):
        kind, at, size = (1, layout.data, symbol.size) if symbol.data else (2, layout.code_at, code)
        rows.append(struct.pack("<IBBHQQ", name, 1 << 4 | kind, 0, 1, at, size))
    return b"".join(rows)


def _version_numbers(items: Sequence[Symbol], versions: Sequence[str]) -> bytes:
    numbers = (versions.index(symbol.version) + 2 if symbol.version else 1 for symbol in items)
    return struct.pack(f"<{len(items) + 1}H", 0, *numbers)


def _version_table(texts: Sequence[str], names: Sequence[int]) -> bytes:
    """The versions; the first is the object's own name."""
    rows = []
    for number, (text, name) in enumerate(zip(texts, names, strict=True), 1):
        following = _VERSION if number < len(texts) else 0
        row = struct.pack("<HHHHIII", 1, 1 if number == 1 else 0, number, 1, _elf_hash(text), 20, following)
        rows.append(row + struct.pack("<II", name, 0))
    return b"".join(rows)


def _elf_hash(text: str) -> int:
    value = 0
    for byte in text.encode():
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def _aligned(number: int, to: int) -> int:
    return -(-number // to) * to
