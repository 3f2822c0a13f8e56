"""Parse a saved Pulumi preview or state export into changes, one per resource.

Three formats are read: `pulumi preview --json`, the same as a stream of events
(PULUMI_ENABLE_STREAMING_JSON_PREVIEW), and `pulumi stack export`. Other lines, as of a log, are skipped.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tierup.findings.model import TierError
from tierup.findings.secrets import redacted
from tierup.io.files import MOST_OF_A_DOCUMENT, UnreadableFile, not_json, read_bytes
from tierup.resources.model import SECRET, UNKNOWN, Change, Resource

# Pulumi's mark of a secret in a state, and its placeholder for a value that is known only after `up`.
_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
_COMPUTED = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# Steps for the old copy of a replaced resource; its other steps have the change.
_OLD_COPY = frozenset({"delete-replaced", "discard-replaced", "remove-pending-replace"})
_STACK = re.compile(r"urn:pulumi:([A-Za-z0-9._-]{1,100})::")  # as Pulumi names stacks
_HINT = "make one with `pulumi preview --json --show-sames` or `pulumi stack export`"

_MAX_DEPTH = 100  # of a resource's inputs; rules walk through them
_MOST_OTHER_LINES = 1000  # that begin as a JSON object does and are none, as in a log

Tree = Mapping[str, Any]


class PlanError(TierError):
    """The input is not a complete Pulumi plan; the message says what to do."""


def read_plan(source: str) -> tuple[Change, ...]:
    """The changes of a saved plan or state; `source` is a file, or `-` for standard input. Raises `PlanError`."""
    name = "standard input" if source == "-" else source
    try:
        return parse_plan(read_bytes(Path(source), MOST_OF_A_DOCUMENT), name)
    except UnreadableFile as error:
        raise PlanError(str(error)) from error


def parse_plan(content: bytes, name: str) -> tuple[Change, ...]:
    """The changes in a document; the resources of a state are unchanged. Raises `PlanError`, which names it `name`."""
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
            f"{name} is not a Pulumi plan as this version knows it ({error!r}) - {_HINT}"
        ) from error


def _documents(content: bytes, name: str) -> Iterator[Tree]:
    """Every JSON object that begins a line; other lines are skipped."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(f"{name} is not text in UTF-8 (byte {error.start}) - {_HINT}") from error
    decoder, position, others = json.JSONDecoder(parse_constant=not_json), 0, 0
    while position < len(text):
        if text[position] == "{":
            try:
                document, position = decoder.raw_decode(text, position)
                yield document
            except (ValueError, RecursionError):
                others += 1
                if others > _MOST_OTHER_LINES:  # each costs a search to the end
                    raise PlanError(f"{name} is not a Pulumi plan - {_HINT}") from None
        position = text.find("\n", position) + 1
        if not position:
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
        raise PlanError(f"{name} ends before the preview does - {_HINT}")
    raise PlanError(f"{name} is not a Pulumi plan - {_HINT}")


_Step = tuple[str, str, Tree | None, Tree | None]


def _step(step: Tree, past: str, now: str) -> _Step:
    return step["op"], step["urn"], step.get(past), step.get(now)


def _preview(steps: list[_Step], summary: Tree, diagnostics: Iterable[Tree], name: str) -> tuple[Change, ...]:
    for diagnostic in diagnostics:
        if diagnostic.get("severity") == "error":
            message = redacted(" ".join(diagnostic["message"].removeprefix("error: ").split()))
            raise PlanError(
                f"{name} is a preview that failed, so it is not complete ({message}) - fix the error first"
            )
    unchanged = sum(operation in ("same", "refresh") for operation, *_ in steps)
    if unchanged < summary.get("same", 0):
        raise PlanError(
            f"{name} leaves out {summary['same'] - unchanged} unchanged resources, so a total would be wrong - "
            "make it with `pulumi preview --json --show-sames`"
        )
    return _changes(steps)


def _changes(steps: Iterable[_Step]) -> tuple[Change, ...]:
    """One change per resource; of several steps, the first old and the last new state count."""
    changes: dict[str, Change] = {}
    for operation, urn, old, new in steps:
        state = new if new is not None else old
        # Skip resources that are only read, and old copies that are pending deletion.
        if operation in _OLD_COPY or state is None or state.get("external") or state.get("delete"):
            continue
        before = changes.get(urn)
        past = before.past if before is not None else _resource(old)
        retained = old if operation == "delete" and state.get("retainOnDelete") else None
        kind = "replace" if operation == "create-replacement" else operation
        changes[urn] = Change(kind, past, _resource(new if new is not None else retained))
    return tuple(changes.values())


def _state(deployment: Tree) -> tuple[Change, ...]:
    states = deployment.get("resources") or ()
    return _changes([("same", state["urn"], state, state) for state in states])


def _resource(state: Tree | None) -> Resource | None:
    if state is None:
        return None
    urn = state["urn"]
    parent, custom = state.get("parent"), state.get("custom", False)
    inputs = state.get("inputs") or {}
    if not isinstance(inputs, dict):
        raise TypeError(f"the inputs of {urn} are not a mapping")
    return Resource(
        urn, state["type"], urn.rpartition("::")[2], parent if parent else None, _marked(inputs), custom
    )


def _marked(value: Any, depth: int = 0) -> Any:
    """The value with SECRET and UNKNOWN in place of secrets and of values that are not known yet."""
    if depth > _MAX_DEPTH:
        raise TypeError(f"inputs that are nested more than {_MAX_DEPTH} deep")
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return SECRET
        return {key: _marked(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, depth + 1) for item in value]
    return UNKNOWN if value == _COMPUTED else value


def stack_of(changes: tuple[Change, ...], name: str) -> str:
    """The stack of the changes, from their URNs. Raises `PlanError`, which names the plan `name`."""
    for change in changes:
        side = change.now if change.now is not None else change.past
        if side is not None and (match := _STACK.match(side.urn)):
            return match[1]
    raise PlanError(f"{name} has no resources, so its stack is not known")
