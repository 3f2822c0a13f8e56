"""Policies over containers: pinned images, requests and limits, and no secrets in plain text."""

from collections.abc import Iterator, Sequence

from tierup.findings.secrets import holds_token, named_as_secret
from tierup.policies.commands import named_values
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

    The name is that of a variable, or of an option, a variable or a header in a command line. Anyone who may read the
    pod can read them. The value itself is never shown, and each path is a problem once.
    """
    for pod in pods(resource):
        for item in containers(pod):
            yield from _in_variables(item)
            yield from _in_command_line(item)


def _in_variables(item: Part) -> Iterator[Problem]:
    for index, variable in mappings(item.spec.get("env")):
        name, value = variable.get("name"), variable.get("value")
        own = [(name, value)] if isinstance(name, str) and isinstance(value, str) else []
        named = [*own, *((inner, text) for _, inner, text in named_values([value]))]
        yield from _in_clear(f"{item.path}.env[{index}].value", value, named)


def _in_command_line(item: Part) -> Iterator[Problem]:
    words = [
        (f"{item.path}.{key}[{index}]", word)
        for key in ("command", "args")
        for index, word in enumerate(elements(item.spec.get(key)))
    ]
    values = list(named_values([word for _, word in words]))
    for index, (path, word) in enumerate(words):
        yield from _in_clear(path, word, [(name, value) for at, name, value in values if at == index])


def _in_clear(path: str, value: object, named: Sequence[tuple[str, str]]) -> Iterator[Problem]:
    if not isinstance(value, str):
        return
    prefix = f"{named[0][0]}: " if named else ""
    if value == SECRET:
        yield Problem(path, f"{prefix}a Pulumi secret becomes plain text in the pod")
    elif holds_token(value):
        yield Problem(path, f"{prefix}has the form of a secret")
    elif not is_hidden(value):
        secret = next((name for name, text in named if named_as_secret(name, text)), None)
        if secret is not None:
            yield Problem(path, f"{secret}: has the name of a secret")
