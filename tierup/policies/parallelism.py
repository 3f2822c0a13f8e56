"""The policy over parallelism: an engine's command line must use as many GPUs as its pods have."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any, Final

from tierup.catalog.engine import CommandLine, load_engines
from tierup.policies.commands import script_words
from tierup.policies.pods import GROUP, LEADER_WORKER_SET, Part, containers, pods
from tierup.policies.rule import Problem
from tierup.resources.gpus import container_gpus, group_gpus
from tierup.resources.kinds import kind_of
from tierup.resources.model import Resource
from tierup.resources.reading import Unreadable, dig, elements, fields, is_hidden, mappings

_SPLIT: Final = ("tensor", "pipeline")
_COPIES: Final = ("context", "data", "nodes")
_SHELLS = ("sh", "bash", "dash", "ash")
_ENDS = frozenset({";", "&", "&&", "|", "||", ")", "\n"})
_VARIABLE = re.compile(r"\$\((\w+)\)|\$\{(\w+)\}|\$(\w+)")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine's parallelism. One server uses `gpus` GPUs over `nodes` pods; `ray` may use other pods too."""

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
    """Engines that use more or fewer GPUs than their pods have; engines whose GPUs are unknown are skipped."""
    grouped = kind_of(resource) == LEADER_WORKER_SET
    group = _known(group_gpus, _group(resource)) if grouped else None
    for pod in pods(resource):
        for item in containers(pod):
            own, engine = _known(container_gpus, item.spec), engine_of(item)
            ray_finds_gpus = engine is not None and engine.ray and not grouped
            if not own or engine is None or ray_finds_gpus or (grouped and group is None):
                continue
            # In a group, an engine runs on the whole group, or on one of its pods.
            if engine.gpus not in ((own, group) if grouped else (own * engine.nodes,)):
                pods_of = f"{engine.nodes} pods of " if engine.nodes > 1 and not grouped else ""
                got = f"{pods_of}{own} GPUs" + (f", {group} in the group" if grouped else "")
                yield Problem(f"{item.path}.resources", f"the engine uses {engine}", got)


def _known(count: Callable[[Mapping[str, Any]], int], spec: Mapping[str, Any]) -> int | None:
    """A count of GPUs; None where the plan does not show it."""
    try:
        return count(spec)
    except Unreadable:
        return None


def _group(resource: Resource) -> Mapping[str, Any]:
    return fields(dig(resource.inputs, *GROUP))


def engine_of(item: Part) -> Engine | None:
    """The engine that a container starts; None if there is none, or its command line is unknown."""
    args = _args(item)
    if args is None:
        return None
    starts = list(_starts(args))
    if not starts and not elements(item.spec.get("command")):  # the image starts it
        starts = [(0, line) for line in _lines() if line.repository and line.repository in _repository(item)]
    if len(starts) != 1:
        return None
    index, line = starts[0]
    options = _options(args[index:])
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
    """The command line of each engine that has one in the catalogue."""
    lines = (facts.command_line.value for facts in load_engines().values())
    return [line for line in lines if line is not None]


def _starts(args: Sequence[str]) -> Iterator[tuple[int, CommandLine]]:
    """Each index at which an engine's own arguments begin, with that engine's command line."""
    for index, arg in enumerate(args):
        for line in _lines():
            for start in line.starts:
                patterns = start.split()
                given = [PurePosixPath(arg).name, *args[index + 1 : index + len(patterns)]]
                if len(given) == len(patterns) and all(map(fnmatchcase, given, patterns)):
                    yield index + len(patterns), line


def _options(args: Sequence[str]) -> dict[str, str]:
    """Options with their values, up to the end of the command; the value of a switch is the next option."""
    options: dict[str, str] = {}
    for index, arg in enumerate(args):
        if arg in _ENDS:
            break
        if arg.startswith("-"):
            name, equals, value = arg.partition("=")
            following = args[index + 1] if index + 1 < len(args) else ""
            plain = name.replace("_", "-") if name.startswith("--") else name
            options[plain] = value if equals else following
    return options


def _size(options: Mapping[str, str], names: Sequence[str], *files: str) -> int | None:
    """A degree of parallelism, 1 by default; None if a file or an unknown variable may set it."""
    for name in names:
        if name in options:
            return _number(options[name])
    return None if any(name in options for name in files) else 1


def _args(item: Part) -> list[str] | None:
    """The command line that the engine receives, with variables filled in; None if a part of it is unknown."""
    args = [*elements(item.spec.get("command")), *elements(item.spec.get("args"))]
    if any(not isinstance(arg, str) or is_hidden(arg) for arg in args):
        return None
    values = {
        str(variable.get("name")): str(variable["value"])
        for _, variable in mappings(item.spec.get("env"))
        if variable.get("value") is not None and not is_hidden(variable["value"])
    }
    args = [_fill_variables(arg, values) for arg in args]
    if len(args) > 2 and PurePosixPath(args[0]).name in _SHELLS and re.fullmatch(r"-\w*c", args[1]):
        return script_words(args[2])
    return args


def _fill_variables(arg: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values.get(next(filter(None, match.groups())), match[0]), arg)


def _repository(item: Part) -> str:
    image = item.spec.get("image")
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0] if isinstance(image, str) else ""


def _number(value: object) -> int | None:
    """A whole number, also from text or from JSON's 2.0; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,6}", value) else None
