"""Policies over containers: pinned images, requests and limits, and no secrets in plain text."""

from collections.abc import Iterator

from tierup.findings.model import holds_token, named_as_secret
from tierup.policies.pods import Part, containers, pods
from tierup.policies.rule import Problem
from tierup.resources.model import SECRET, Resource
from tierup.resources.reading import dig, elements, is_hidden, mappings
from tierup.rules.images import FLOATING_PROBLEM, is_floating

# What is required, and where it may be set: a limit without a request counts as both.
_NEEDS = {
    "CPU request": (("requests", "cpu"), ("limits", "cpu")),
    "memory request": (("requests", "memory"), ("limits", "memory")),
    "memory limit": (("limits", "memory"),),
}


def images(resource: Resource) -> Iterator[Problem]:
    """Images of containers and volumes that are not pinned."""
    for pod in pods(resource):
        named = [(f"{item.path}.image", item.spec.get("image")) for item in containers(pod)]
        for index, volume in mappings(pod.spec.get("volumes")):
            named.append((f"{pod.path}.volumes[{index}].image.reference", dig(volume, "image", "reference")))
        for path, image in named:
            if isinstance(image, str) and image and not is_hidden(image) and is_floating(image):
                yield Problem(path, FLOATING_PROBLEM, image)


def requests_and_limits(resource: Resource) -> Iterator[Problem]:
    """Containers without requests or limits, unless their pod sets them for all containers."""
    for pod in pods(resource):
        for item in containers(pod):
            if "ephemeralContainers" in item.path:  # the API allows no resources here
                continue
            missing = [name for name, places in _NEEDS.items() if not _is_set(item, pod, places)]
            if missing:
                yield Problem(f"{item.path}.resources", f"missing {', '.join(missing)}")


def _is_set(item: Part, pod: Part, places: tuple[tuple[str, str], ...]) -> bool:
    return any(dig(part.spec, "resources", *place) is not None for part in (item, pod) for place in places)


def secrets_in_clear(resource: Resource) -> Iterator[Problem]:
    """Values in a pod that are secrets by their form, by their name, or because Pulumi marks them as secret.

    Anyone who may read the pod can read them. The value itself is never shown.
    """
    for pod in pods(resource):
        for item in containers(pod):
            for index, variable in mappings(item.spec.get("env")):
                path = f"{item.path}.env[{index}].value"
                yield from _in_clear(path, variable.get("value"), variable.get("name"))
            for key in ("command", "args"):
                for index, word in enumerate(elements(item.spec.get(key))):
                    yield from _in_clear(f"{item.path}.{key}[{index}]", word, None)


def _in_clear(path: str, value: object, name: object) -> Iterator[Problem]:
    if not isinstance(value, str):
        return
    prefix = f"{name}: " if isinstance(name, str) else ""
    if value == SECRET:
        yield Problem(path, f"{prefix}a Pulumi secret becomes plain text in the pod")
    elif holds_token(value):
        yield Problem(path, f"{prefix}has the form of a secret")
    elif prefix and not is_hidden(value) and named_as_secret(str(name), value):
        yield Problem(path, f"{prefix}has the name of a secret")
