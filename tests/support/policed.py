"""Resources for tests of policies, as a foreign program could create them."""

import copy
from collections.abc import Iterator
from typing import Any

from tierup.policies.pack import violations
from tierup.resources.model import Resource

Tree = dict[str, Any]
SAFE: Tree = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SIZES: Tree = {"cpu": "1", "memory": "1Gi"}


def container(**changes: Any) -> Tree:
    """A container that passes all policies, with changes; None removes a key."""
    plain: Tree = {"name": "app", "image": "registry.example.com/app:1.2.3", "securityContext": SAFE}
    plain["resources"] = {"requests": SIZES, "limits": SIZES}
    return {key: value for key, value in (plain | changes).items() if value is not None}


def engine(*args: str, gpus: object = 1, **changes: Any) -> Tree:
    """A container that runs an engine on so many GPUs."""
    sizes = {**SIZES, "nvidia.com/gpu": gpus}
    fields = {"command": list(args), "resources": {"requests": sizes, "limits": sizes}, **changes}
    return container(**fields)


def pod(*containers: Tree, **spec: Any) -> Tree:
    return {"containers": list(containers) if containers else [container()], **spec}


def resource(token: str, inputs: Tree, name: str = "theirs") -> Resource:
    urn = f"urn:pulumi:prod::shop::{token}::{name}"
    return Resource(urn, token, name, None, inputs)


def deployment(spec: Tree, **metadata: Any) -> Resource:
    inputs = {"metadata": {"name": "app", **metadata}, "spec": {"template": {"spec": spec}}}
    return resource("kubernetes:apps/v1:Deployment", inputs)


def group(leader: Tree | None, worker: Tree, size: object) -> Resource:
    """A LeaderWorkerSet."""
    template: Tree = {"workerTemplate": {"spec": worker}, "size": size}
    if leader is not None:
        template["leaderTemplate"] = {"spec": leader}
    inputs = {"metadata": {"name": "group"}, "spec": {"leaderWorkerTemplate": template}}
    return resource("kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet", inputs)


def service(annotations: Tree | None = None, **spec: Any) -> Resource:
    inputs: Tree = {"metadata": {"name": "app", "annotations": annotations or {}}, "spec": spec}
    return resource("kubernetes:core/v1:Service", inputs)


def refused(*resources: Resource) -> list[tuple[str, str]]:
    """Policy and path of each violation."""
    return [(item.policy.name, item.problem.path) for item in violations(resources)]


def messages(*resources: Resource) -> list[str]:
    return [item.message for item in violations(resources)]


def variants(tree: Tree, value: object) -> Iterator[Tree]:
    """Copies of the tree, each with another part replaced by the value."""
    for path in list(_paths(tree)):
        changed = copy.deepcopy(tree)
        at: Any = changed
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        yield changed


def _paths(tree: Any) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (key,)
        yield from ((key, *rest) for rest in _paths(value))
