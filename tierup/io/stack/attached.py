"""Read the files that a stack file names."""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

from tierup.catalog.own import MOST_BYTES as MOST_OF_A_CATALOG
from tierup.catalog.repository import MOST_BYTES
from tierup.io.files import UnreadableFile, read_text
from tierup.stack.parse import Attached, RawStack
from tierup.stack.sections import OFF

MOST_OF_A_TEMPLATE = 512 * 1024  # bytes; a ConfigMap holds 1 MiB, and the longest templates have 40 KiB


def with_files(raw: RawStack, folder: Path) -> RawStack:
    """The stack with the content of its files, which are in the folder of the stack file; never raises."""
    files = _files(raw.values)
    return dataclasses.replace(raw, files={name: _read(folder, name, limit) for name, limit in files})


def file_names(values: Mapping[str, object]) -> Iterator[str]:
    """The files that the sections name, valid or not, relative to the folder of the stack file."""
    yield from (name for name, _ in _files(values))


def _files(values: Mapping[str, object]) -> Iterator[tuple[str, int]]:
    """The name of each file, and the most bytes that it may have."""
    catalog, models = values.get("catalog"), values.get("models")
    file = catalog.get("file") if isinstance(catalog, dict) else catalog
    if isinstance(file, str):
        yield file, MOST_OF_A_CATALOG
    for model in models if isinstance(models, list) else []:
        if not isinstance(model, dict):
            continue
        source = model.get("source")
        named = {
            MOST_OF_A_TEMPLATE: model.get("chatTemplate"),
            MOST_BYTES: source.get("config") if isinstance(source, dict) else None,
        }
        for limit, name in named.items():
            if isinstance(name, str) and name != OFF:
                yield name, limit


def _read(folder: Path, name: str, limit: int) -> Attached:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        return Attached(problem="is outside the folder of the stack file", fix="move it there")
    try:
        return Attached(read_text(path, limit, name))
    except UnreadableFile as error:
        return Attached(problem=error.reason, fix=error.fix)
