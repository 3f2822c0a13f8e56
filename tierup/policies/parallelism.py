"""The policy over parallelism: an engine's command line must use as many GPUs as its pods have."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from tierup.policies.pods import LEADER, LEADER_WORKER_SET, WORKER, Part, containers, pods
from tierup.policies.rule import Problem
from tierup.resources.kinds import kind_of
from tierup.resources.model import Resource
from tierup.resources.reading import dig, elements, is_hidden, mappings

GPUS = ("nvidia.com/gpu", "amd.com/gpu")
# Options of vLLM 0.32 and of trtllm-serve 1.2, with '_' written as '-'. The first option that is given counts.
_TENSOR = ("--tensor-parallel-size", "-tp", "--tp-size")
_PIPELINE = ("--pipeline-parallel-size", "-pp", "--pp-size")
_CONTEXT = ("--prefill-context-parallel-size", "-pcp", "--cp-size", "--context-parallel-size")
_DATA = ("--data-parallel-size-local", "-dpl", "--data-parallel-size", "-dp")
_NODES = ("--nnodes", "-n")
_FILE, _OPTIONS = "--config", "--extra-llm-api-options"  # may set what the command line does not
_ONE_RANK = (
    "--data-parallel-external-lb",
    "--data-parallel-rank",
    "-dpn",
)  # this server is one of several equal ones
_RAY = ("--distributed-executor-backend", "--data-parallel-backend", "-dpb")
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
    group = _group_gpus(resource) if grouped else None
    for pod in pods(resource):
        for item in containers(pod):
            own, engine = container_gpus(item), engine_of(item)
            ray_finds_gpus = engine is not None and engine.ray and not grouped
            if not own or engine is None or ray_finds_gpus or (grouped and group is None):
                continue
            # In a group, an engine runs on the whole group, or on one of its pods.
            if engine.gpus not in ((own, group) if grouped else (own * engine.nodes,)):
                pods_of = f"{engine.nodes} pods of " if engine.nodes > 1 and not grouped else ""
                got = f"{pods_of}{own} GPUs" + (f", {group} in the group" if grouped else "")
                yield Problem(f"{item.path}.resources", f"the engine uses {engine}", got)


def container_gpus(item: Part) -> int | None:
    """GPUs of a container; None if the plan does not show them."""
    limits = dig(item.spec, "resources", "limits")
    counts = [_number(_default(dig(limits, name), 0)) for name in GPUS]
    return None if None in counts else sum(filter(None, counts))


def _group_gpus(resource: Resource) -> int | None:
    """GPUs of a leader and its workers; a leader without a template uses that of the workers."""
    size = _number(_default(dig(resource.inputs, "spec", "leaderWorkerTemplate", "size"), 1))
    worker = dig(resource.inputs, *WORKER)
    first, others = _pod_gpus(_default(dig(resource.inputs, *LEADER), worker)), _pod_gpus(worker)
    return None if size is None or first is None or others is None else first + (size - 1) * others


def _pod_gpus(spec: object) -> int | None:
    listed = dig(spec, "containers")
    if is_hidden(listed) or any(is_hidden(item) for item in elements(listed)):
        return None
    counts = [container_gpus(Part("", item)) for _, item in mappings(listed)]
    return None if None in counts else sum(filter(None, counts))


def _default(value: Any, default: Any) -> Any:
    return value if value is not None else default


def engine_of(item: Part) -> Engine | None:
    """The engine that a container starts; None if there is none, or its command line is unknown."""
    words = _words(item)
    if words is None:
        return None
    starts = [end for place in range(len(words)) if (end := _after_engine(words, place)) is not None]
    if not starts and not elements(item.spec.get("command")) and "vllm" in _repository(item):
        starts = [0]  # the image starts it
    if len(starts) != 1:
        return None
    options = _options(words[starts[0] :])
    split = [_size(options, names, _FILE, _OPTIONS) for names in (_TENSOR, _PIPELINE)]
    split += [_size(options, names, _FILE) for names in (_CONTEXT, _DATA, _NODES)]
    if None in split:
        return None
    tensor, pipeline, context, data, nodes = (size or 0 for size in split)
    if any(name in options for name in _ONE_RANK):
        data = 1
    ray = any(options.get(name) == "ray" for name in _RAY)
    return Engine(tensor, pipeline, context * data, nodes, ray)


def _after_engine(words: Sequence[str], place: int) -> int | None:
    """The index of the engine's first argument, if the word at `place` starts it; else None."""
    name, following = PurePosixPath(words[place]).name, words[place + 1 : place + 2]
    if name == "trtllm-serve" or (name.startswith("vllm.entrypoints.") and words[place - 1] == "-m"):
        return place + 1
    return place + 2 if name == "vllm" and following == ["serve"] else None


def _options(words: Sequence[str]) -> dict[str, str]:
    """Options with their values, up to the end of the command; the value of a switch is the next option."""
    options: dict[str, str] = {}
    for place, word in enumerate(words):
        if word in _ENDS:
            break
        if word.startswith("-"):
            name, equals, value = word.partition("=")
            following = words[place + 1] if place + 1 < len(words) else ""
            plain = name.replace("_", "-") if name.startswith("--") else name
            options[plain] = value if equals else following
    return options


def _size(options: Mapping[str, str], names: Sequence[str], *files: str) -> int | None:
    """A degree of parallelism, 1 by default; None if a file or an unknown variable may set it."""
    for name in names:
        if name in options:
            return _number(options[name])
    return None if any(name in options for name in files) else 1


def _words(item: Part) -> list[str] | None:
    """The command line that the engine receives, with variables filled in; None if a part of it is unknown."""
    words = [*elements(item.spec.get("command")), *elements(item.spec.get("args"))]
    if any(not isinstance(word, str) or is_hidden(word) for word in words):
        return None
    values = {
        str(variable.get("name")): str(variable["value"])
        for _, variable in mappings(item.spec.get("env"))
        if variable.get("value") is not None and not is_hidden(variable["value"])
    }
    words = [_fill_variables(word, values) for word in words]
    if len(words) > 2 and PurePosixPath(words[0]).name in _SHELLS and re.fullmatch(r"-\w*c", words[1]):
        return _script(words[2])
    return words


def _fill_variables(word: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values.get(next(filter(None, match.groups())), match[0]), word)


def _script(text: str) -> list[str] | None:
    try:
        lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=";&|()\n")
        lexer.whitespace, lexer.whitespace_split = " \t\r", True
        return list(lexer)
    except ValueError:  # unclosed quotes
        return None


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
