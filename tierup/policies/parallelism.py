"""Decides whether an engine's parallelism is what its pods have GPUs for, read off its command line."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tierup.policies.pods import LEADER, LEADER_WORKER_SET, WORKER, Part, containers, group_kind, pods
from tierup.policies.reading import dig, elements, fields, is_hidden, mappings
from tierup.policies.rule import Problem
from tierup.resources import Resource

GPUS = ("nvidia.com/gpu", "amd.com/gpu")
# Options of vLLM 0.32 and of trtllm-serve 1.2, '_' as '-'. The first that is said counts.
_TENSOR = ("--tensor-parallel-size", "-tp", "--tp-size")
_PIPELINE = ("--pipeline-parallel-size", "-pp", "--pp-size")
_CONTEXT = ("--prefill-context-parallel-size", "-pcp", "--cp-size", "--context-parallel-size")
_DATA = ("--data-parallel-size-local", "-dpl", "--data-parallel-size", "-dp")
_NODES = ("--nnodes", "-n")
_FILES = ("--config", "--extra-llm-api-options", "--config-file")  # may say what the command line does not
_ONE_RANK = (
    "--data-parallel-external-lb",
    "--data-parallel-rank",
    "-dpn",
)  # this server is one of many alike
_RAY = ("--distributed-executor-backend", "--data-parallel-backend", "-dpb")
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
    group = _group_gpus(resource) if group_kind(resource) == LEADER_WORKER_SET else None
    for pod in pods(resource):
        for item in containers(pod):
            own, engine = container_gpus(item), engine_of(item)
            if not own or engine is None or (engine.ray and group is None):
                continue
            if engine.gpus not in (own * engine.nodes, group):
                over = f"{engine.nodes} pods of {own}" if engine.nodes > 1 else str(own)
                has = over if group is None else f"{over}; the group {group}"
                yield Problem(f"{item.path}.resources", f"the engine takes {engine}", f"{has} GPUs")


def container_gpus(item: Part) -> int | None:
    """GPUs that a container is given; None where the plan does not tell."""
    limits = dig(item.spec, "resources", "limits")
    said = [value for name in GPUS if (value := dig(limits, name)) is not None]
    return (
        sum(numbers)
        if len(numbers := [n for n in map(_number, said) if n is not None]) == len(said)
        else None
    )


def _group_gpus(resource: Resource) -> int | None:
    """GPUs of one leader and its workers."""
    size = _number(dig(resource.inputs, "spec", "leaderWorkerTemplate", "size"))
    worker, leader = (dig(resource.inputs, *keys) for keys in (WORKER, LEADER))
    each = [
        [container_gpus(item) for item in containers(Part("", fields(spec)))]
        for spec in (leader if leader is not None else worker, worker)
    ]
    if size is None or any(gpus is None for held in each for gpus in held):
        return None
    first, others = (sum(gpus or 0 for gpus in held) for held in each)
    return first + (size - 1) * others


def engine_of(item: Part) -> Engine | None:
    """The engine that a container starts; None where there is none, or the plan does not tell how it is started."""
    words = _words(item)
    if words is None:
        return None
    starts = [end for place in range(len(words)) if (end := _after_engine(words, place)) is not None]
    if not starts and not elements(item.spec.get("command")) and "vllm" in _repository(item):
        starts = [0]  # the image starts it
    if len(starts) != 1:
        return None
    options = _options(words[starts[0] :])
    split = [_size(options, names) for names in (_TENSOR, _PIPELINE, _CONTEXT, _DATA, _NODES)]
    if any(size is None for size in split):
        return None
    tensor, pipeline, context, data, nodes = (size or 0 for size in split)
    if any(name in options for name in _ONE_RANK):
        data = 1
    ray = any(options.get(name) == "ray" for name in _RAY)
    return Engine(tensor, pipeline, context * data, nodes, ray)


def _after_engine(words: Sequence[str], place: int) -> int | None:
    """Where the engine's own arguments begin, if it is started by the word at a place."""
    name, following = PurePosixPath(words[place]).name, words[place + 1 : place + 2]
    if name == "trtllm-serve" or (name.startswith("vllm.entrypoints.") and words[place - 1] == "-m"):
        return place + 1
    return place + 2 if name == "vllm" and following == ["serve"] else None


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


def _size(options: Mapping[str, str], names: Sequence[str]) -> int | None:
    """A degree of parallelism, 1 if it is not said; None where a file or a variable may say it."""
    for name in names:
        if name in options:
            return _number(options[name])
    return None if any(name in options for name in _FILES) else 1


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
