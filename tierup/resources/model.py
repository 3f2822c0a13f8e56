"""The resources of Pulumi's plans and states, as costs and policies read them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Placeholders in inputs for values that a plan hides.
SECRET = "[secret]"
UNKNOWN = "[unknown]"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as its program declares it. Secret inputs are markers, never values; `type` is Pulumi's token.

    `custom` is False for a component: a group of resources and nothing by itself.
    """

    urn: str
    type: str
    name: str
    parent: str | None
    inputs: Mapping[str, Any]
    custom: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """One resource before and after: `past` is None where it is new, `now` where it goes.

    `operation` is Pulumi's word: same, create, update, replace, delete, ... What Pulumi deletes from its state but
    retains in the cluster has a `now`.
    """

    operation: str
    past: Resource | None
    now: Resource | None


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """The resource that Pulumi will make of a rendered object; no stack has it yet, so its URN is kind and name."""
    kind, version, name = manifest["kind"], manifest["apiVersion"], manifest["metadata"]["name"]
    token = f"kubernetes:{version if '/' in version else f'core/{version}'}:{kind}"
    return Resource(f"{token}::{name}", token, name, None, manifest)


def resources_of(state: Mapping[str, Mapping[str, Any]]) -> list[Resource]:
    """Resources by URN, `type` and `outputs` each, as a program reads its own stack's state."""
    return [
        Resource(urn, held["type"], urn.rpartition("::")[2], None, held["outputs"])
        for urn, held in state.items()
    ]
