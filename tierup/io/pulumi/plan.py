"""Decides what a Pulumi plan says: a saved preview or a state export becomes changes, one per resource.

Three things that the engine writes are read: `pulumi preview --json`, the same as a stream of events
(PULUMI_ENABLE_STREAMING_JSON_PREVIEW), and `pulumi stack export`. Lines around them are passed over.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tierup.findings.model import TierError, redacted
from tierup.resources.model import SECRET, UNKNOWN, Change, Resource

# How the engine marks a secret in a state, and what it writes for a value that is known only after `up`.
_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
_COMPUTED = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# Steps about the old copy of a resource that is replaced: its change is told by the other steps.
_OLD_COPY = frozenset({"delete-replaced", "discard-replaced", "remove-pending-replace"})
_STACK = re.compile(r"urn:pulumi:([A-Za-z0-9._-]{1,100})::")  # as Pulumi names stacks
_HOW = "make one with `pulumi preview --json --show-sames` or `pulumi stack export`"

Tree = Mapping[str, Any]


class PlanError(TierError):
    """What was given is no plan, or none that can be trusted; the message says what to do."""


def read_plan(source: str) -> tuple[Change, ...]:
    """The changes of a saved plan or state; `source` is a file, or `-` for standard input. Raises `PlanError`."""
    if source == "-":
        return parse_plan(sys.stdin.buffer.read(), "standard input")
    try:
        return parse_plan(Path(source).read_bytes(), source)
    except OSError as error:
        raise PlanError(f"{source} cannot be read: {error.strerror}") from error


def parse_plan(content: bytes, name: str) -> tuple[Change, ...]:
    """The changes in a document; of a state, every resource as it is. Raises `PlanError`, which calls it `name`."""
    documents = list(_documents(content, name))
    try:
        for document in documents:
            if isinstance(document.get("deployment"), dict):
                return _state(document["deployment"])
            if isinstance(document.get("changeSummary"), dict):
                # A stack without resources has no steps at all.
                steps = [_step(s, "oldState", "newState") for s in document.get("steps") or ()]
                return _preview(steps, document["changeSummary"], document.get("diagnostics") or (), name)
        return _events(documents, name)
    except (AttributeError, KeyError, TypeError) as error:
        raise PlanError(
            f"{name} is not a Pulumi plan as this version knows it ({error!r}) - {_HOW}"
        ) from error


def _documents(content: bytes, name: str) -> Iterator[Tree]:
    """Every JSON object that begins a line; what is between them is somebody's log."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(f"{name} is not text in UTF-8 (byte {error.start}) - {_HOW}") from error
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at] == "{":
            try:
                found, at = decoder.raw_decode(text, at)
                yield found
            except (json.JSONDecodeError, RecursionError):
                pass
        at = text.find("\n", at) + 1
        if not at:
            return


def _events(documents: Iterable[Tree], name: str) -> tuple[Change, ...]:
    steps, diagnostics = [], []
    summary: Tree | None = None
    for event in documents:
        if "resourcePreEvent" in event:
            steps.append(_step(event["resourcePreEvent"]["metadata"], "old", "new"))
        elif "diagnosticEvent" in event:
            diagnostics.append(event["diagnosticEvent"])
        elif "summaryEvent" in event:
            summary = event["summaryEvent"]["resourceChanges"]
    if summary is not None:
        return _preview(steps, summary, diagnostics, name)
    if steps or diagnostics:
        raise PlanError(f"{name} ends before the preview does - {_HOW}")
    raise PlanError(f"{name} is not a Pulumi plan - {_HOW}")


_Step = tuple[str, str, Tree | None, Tree | None]


def _step(step: Tree, past: str, now: str) -> _Step:
    return step["op"], step["urn"], step.get(past), step.get(now)


def _preview(steps: list[_Step], summary: Tree, diagnostics: Iterable[Tree], name: str) -> tuple[Change, ...]:
    for diagnostic in diagnostics:
        if diagnostic.get("severity") == "error":
            said = redacted(" ".join(diagnostic["message"].removeprefix("error: ").split()))
            raise PlanError(
                f"{name} is a preview that failed, so it is not complete ({said}) - mend it first"
            )
    shown = sum(operation in ("same", "refresh") for operation, *_ in steps)
    if shown < summary.get("same", 0):
        raise PlanError(
            f"{name} leaves out {summary['same'] - shown} unchanged resources, so a total of it would be wrong - "
            "make it with `pulumi preview --json --show-sames`"
        )
    return _changes(steps)


def _changes(steps: Iterable[_Step]) -> tuple[Change, ...]:
    """One change per resource; where it has several steps, the first past and the last now count."""
    found: dict[str, Change] = {}
    for operation, urn, old, new in steps:
        state = new if new is not None else old
        # What is only read belongs to somebody else; a copy that waits for deletion is no longer the resource.
        if operation in _OLD_COPY or state is None or state.get("external") or state.get("delete"):
            continue
        before = found.get(urn)
        past = before.past if before is not None else _resource(old)
        kept = old if operation == "delete" and state.get("retainOnDelete") else None
        word = "replace" if operation == "create-replacement" else operation
        found[urn] = Change(word, past, _resource(new if new is not None else kept))
    return tuple(found.values())


def _state(deployment: Tree) -> tuple[Change, ...]:
    states = deployment.get("resources") or ()
    return _changes([("same", state["urn"], state, state) for state in states])


def _resource(state: Tree | None) -> Resource | None:
    if state is None:
        return None
    urn = state["urn"]
    parent, custom = state.get("parent"), state.get("custom", False)
    inputs = state.get("inputs") or {}
    return Resource(
        urn, state["type"], urn.rpartition("::")[2], parent if parent else None, _told(inputs), custom
    )


def _told(value: Any) -> Any:
    """The value with markers for what is secret or not known yet."""
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return SECRET
        return {key: _told(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_told(item) for item in value]
    return UNKNOWN if value == _COMPUTED else value


def stack_of(changes: tuple[Change, ...], name: str) -> str:
    """The stack that the changes are of, by their URNs. Raises `PlanError`, which calls the plan `name`."""
    for change in changes:
        side = change.now if change.now is not None else change.past
        if side is not None and (found := _STACK.match(side.urn)):
            return found[1]
    raise PlanError(f"{name} holds no resource, so nothing says of which stack it is")
