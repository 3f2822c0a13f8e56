"""Decides whether an engine's parallelism is what its pods have GPUs for, read off its command line."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Final

from tierup.catalog.engine import CommandLine, load_engines
from tierup.policies.pods import LEADER, LEADER_WORKER_SET, WORKER, Part, containers, pods
from tierup.policies.rule import Problem
from tierup.resources.kinds import kind_of
from tierup.resources.model import Resource
from tierup.resources.reading import dig, elements, is_hidden, mappings

GPUS = ("nvidia.com/gpu", "amd.com/gpu")
_SPLIT: Final = ("tensor", "pipeline")
_COPIES: Final = ("context", "data", "nodes")
_SHELLS = ("sh", "bash", "dash", "ash")
_ENDS = frozenset({";", "&", "&&", "|", "||", ")", "\n"})
_VARIABLE = re.compile(r"\$\((\w+)\)|\$\{(\w+)\}|\$(\w+)")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine's parallelism: `gpus` is what one server of it takes, over `nodes` pods; `ray` finds them itself."""

    tensor: int
    pipeline: int
    others: int
    nodes: int
    ray: bool

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline * self.others

    def __str__(self) -> str:
        others = f" x {self.others} (data, context)" if self.others != 1 else ""
        return f"tensor {self.tensor} x pipeline {self.pipeline}{others} = {self.gpus} GPUs"


def parallelism(resource: Resource) -> Iterator[Problem]:
    """Engines whose GPUs are more or fewer than their pods'; what cannot be told is passed over."""
    grouped = kind_of(resource) == LEADER_WORKER_SET
    group = _group_gpus(resource) if grouped else None
    for pod in pods(resource):
        for item in containers(pod):
            own, engine = container_gpus(item), engine_of(item)
            found_elsewhere = engine is not None and engine.ray and not grouped
            if not own or engine is None or found_elsewhere or (grouped and group is None):
                continue
            # In a group, an engine runs on all of it, or beside others in one pod of it.
            if engine.gpus not in ((own, group) if grouped else (own * engine.nodes,)):
                pods_of = f"{engine.nodes} pods of " if engine.nodes > 1 and not grouped else ""
                got = f"{pods_of}{own} GPUs" + (f", {group} in the group" if grouped else "")
                yield Problem(f"{item.path}.resources", f"the engine takes {engine}", got)


def container_gpus(item: Part) -> int | None:
    """GPUs that a container is given; None where the plan does not tell."""
    limits = dig(item.spec, "resources", "limits")
    counts = [_number(_said(dig(limits, name), 0)) for name in GPUS]
    return None if None in counts else sum(filter(None, counts))


def _group_gpus(resource: Resource) -> int | None:
    """GPUs of one leader and its workers; the leader is a worker where it has no template of its own."""
    size = _number(_said(dig(resource.inputs, "spec", "leaderWorkerTemplate", "size"), 1))
    worker = dig(resource.inputs, *WORKER)
    first, others = _pod_gpus(_said(dig(resource.inputs, *LEADER), worker)), _pod_gpus(worker)
    return None if size is None or first is None or others is None else first + (size - 1) * others


def _pod_gpus(spec: object) -> int | None:
    listed = dig(spec, "containers")
    if is_hidden(listed) or any(is_hidden(item) for item in elements(listed)):
        return None
    counts = [container_gpus(Part("", item)) for _, item in mappings(listed)]
    return None if None in counts else sum(filter(None, counts))


def _said(value: Any, otherwise: Any) -> Any:
    return value if value is not None else otherwise


def engine_of(item: Part) -> Engine | None:
    """The engine that a container starts; None where there is none, or the plan does not tell how it is started."""
    words = _words(item)
    if words is None:
        return None
    starts = list(_starts(words))
    if not starts and not elements(item.spec.get("command")):  # the image starts it
        starts = [(0, line) for line in _lines() if line.repository and line.repository in _repository(item)]
    if len(starts) != 1:
        return None
    place, line = starts[0]
    options = _options(words[place:])
    split = [_size(options, line.sizes.get(name, ()), *line.files, *line.split_files) for name in _SPLIT]
    split += [_size(options, line.sizes.get(name, ()), *line.files) for name in _COPIES]
    if None in split:
        return None
    tensor, pipeline, context, data, nodes = (size or 0 for size in split)
    if any(name in options for name in line.one_rank):
        data = 1
    ray = any(options.get(name) == "ray" for name in line.ray)
    return Engine(tensor, pipeline, context * data, nodes, ray)


def _lines() -> list[CommandLine]:
    """The command lines of the engines that are known."""
    lines = (facts.command_line.value for facts in load_engines().values())
    return [line for line in lines if line is not None]


def _starts(words: Sequence[str]) -> Iterator[tuple[int, CommandLine]]:
    """Every place where an engine's own arguments begin."""
    for place, word in enumerate(words):
        for line in _lines():
            for start in line.starts:
                patterns = start.split()
                found = [PurePosixPath(word).name, *words[place + 1 : place + len(patterns)]]
                if len(found) == len(patterns) and all(map(fnmatchcase, found, patterns)):
                    yield place + len(patterns), line


def _options(words: Sequence[str]) -> dict[str, str]:
    """Options with their values, up to the end of the command; a switch has the next option as its value."""
    found: dict[str, str] = {}
    for place, word in enumerate(words):
        if word in _ENDS:
            break
        if word.startswith("-"):
            name, equals, value = word.partition("=")
            following = words[place + 1] if place + 1 < len(words) else ""
            plain = name.replace("_", "-") if name.startswith("--") else name
            found[plain] = value if equals else following
    return found


def _size(options: Mapping[str, str], names: Sequence[str], *files: str) -> int | None:
    """A degree of parallelism, 1 if it is not said; None where one of the files or a variable may say it."""
    for name in names:
        if name in options:
            return _number(options[name])
    return None if any(name in options for name in files) else 1


def _words(item: Part) -> list[str] | None:
    """The command line as the engine gets it, variables of the pod filled in; None where it is not all known."""
    words = [*elements(item.spec.get("command")), *elements(item.spec.get("args"))]
    if any(not isinstance(word, str) or is_hidden(word) for word in words):
        return None
    values = {
        str(variable.get("name")): str(variable["value"])
        for _, variable in mappings(item.spec.get("env"))
        if variable.get("value") is not None and not is_hidden(variable["value"])
    }
    words = [_filled(word, values) for word in words]
    if len(words) > 2 and PurePosixPath(words[0]).name in _SHELLS and re.fullmatch(r"-\w*c", words[1]):
        return _script(words[2])
    return words


def _filled(word: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values.get(next(filter(None, found.groups())), found[0]), word)


def _script(text: str) -> list[str] | None:
    try:
        lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=";&|()\n")
        lexer.whitespace, lexer.whitespace_split = " \t\r", True
        return list(lexer)
    except ValueError:  # quotes that do not end
        return None


def _repository(item: Part) -> str:
    image = item.spec.get("image")
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0] if isinstance(image, str) else ""


def _number(value: object) -> int | None:
    """A whole number, also as text or as JSON's 2.0."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value) else None
