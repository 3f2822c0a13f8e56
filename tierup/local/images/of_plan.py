"""The local images: of a plan, each under the very name of the image that it stands in for, and of a node itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tierup.catalog import WeightFormat
from tierup.catalog.engine import engine_facts
from tierup.findings.model import TierError
from tierup.local.images import vllm
from tierup.local.images.base import SEARCH_PATH, base
from tierup.local.images.coredns import coredns as coredns_layer
from tierup.local.images.grafana import COMMAND, grafana
from tierup.local.images.nginx import has_current_nginx, nginx
from tierup.local.images.oci import LocalImage
from tierup.local.images.prometheus import prometheus
from tierup.local.images.python import python
from tierup.local.images.store import Echo, Layer, finish
from tierup.plan.balance import balanced
from tierup.plan.model import Plan

_NOBODY = "65534:65534"


class LocalImageError(TierError):
    """This machine cannot stand in for an image of a plan."""


@dataclass(frozen=True)
class _Recipe:
    """A kind of local image: its layers, the lowest first, and what differs from the defaults in its configuration."""

    title: str
    layers: Sequence[Callable[[], Layer]]
    description: str
    config: dict[str, Any]


_NGINX = _Recipe(
    "nginx", (base, nginx), "a current Nginx, or this machine's", {"User": "101:101", "Cmd": ["nginx"]}
)
_RELOADER = _Recipe(
    "reloader", (base, python), "this machine's Python", {"User": _NOBODY, "Cmd": ["python3"]}
)
_PROMETHEUS = _Recipe(
    "prometheus",
    (base, prometheus),
    "Prometheus of the toolchain",
    {"User": _NOBODY, "Entrypoint": ["/bin/prometheus"]},
)
_GRAFANA = _Recipe(
    COMMAND,
    (base, python, grafana),
    "a program that reads Grafana's files and shows no dashboard",
    {"User": "472:472", "Entrypoint": ["/run.sh"]},
)
_VLLM = _Recipe(
    "vllm",
    (base, python, vllm.packages, vllm.command),
    "vLLM's CPU build, which has random weights",
    {"User": "2000:2000", "Entrypoint": ["vllm", "serve"]},
)


def for_plan(plan: Plan, echo: Echo) -> list[LocalImage]:
    """An image for every name in the plan's pods, ready to import; each layer is made once and kept in the cache.

    Raises:
        LocalImageError: this machine cannot stand in for some images; the message lists every reason.
        ToolchainError: a tool or the engine's environment is not installed.
    """
    if problems := _problems(plan):
        raise LocalImageError("local images cannot be made:\n" + "\n".join(problems))
    images = {
        plan.images.nginx: _NGINX,
        plan.images.reloader: _RELOADER,
        plan.images.prometheus: _PROMETHEUS,
        plan.images.grafana: _GRAFANA,
        **{plan.images.serving(model.engine, model.variant.format): _VLLM for model in plan.models},
    }
    return [_image(canonical(name), recipe, echo) for name, recipe in images.items()]


def _problems(plan: Plan) -> list[str]:
    """What of the plan no local image can run, as `path: what - fix`."""
    problems = []
    if plan.gateway.tls and not has_current_nginx():
        problems.append(
            "gateway.tls: needs a current Nginx for its pods - `make local-node` gets it from Debian 13"
        )
    if balanced(plan) and not has_current_nginx():
        problems.append(
            "gateway.balance: prefix needs a current Nginx for its pods - `make local-node` gets it from Debian 13, "
            "or use leastConnections"
        )
    for number, model in enumerate(plan.models):
        if not engine_facts(model.engine).cpu_build:
            problems.append(f"models[{number}].engine: there is no CPU build of {model.engine} - use vllm")
        elif model.variant.format is WeightFormat.GGUF:
            problems.append(f"models[{number}].precision: the CPU build does not read GGUF - use another")
    return problems


def busybox(name: str) -> LocalImage:
    """The lowest layer alone, as an image that sleeps; it also holds the namespaces of pods."""
    command = ["/bin/busybox", "sleep", "2147483647"]
    recipe = _Recipe("busybox", (base,), "a static shell", {"User": _NOBODY, "Cmd": command})
    return _image(name, recipe, lambda _: None)


def coredns(name: str) -> LocalImage:
    """The DNS server of a cluster, alone in its image."""
    config = {"User": _NOBODY, "Entrypoint": ["/bin/coredns"]}
    return _image(
        name, _Recipe("coredns", (coredns_layer,), "CoreDNS of the toolchain", config), lambda _: None
    )


def canonical(name: str) -> str:
    """The full form of an image's name, by which a container runtime looks for it.

    A name without a registry is one of docker.io; one without a tag has `latest`; with a digest, the tag goes.
    """
    registry, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not ("." in registry or ":" in registry or registry == "localhost"):
        name = f"docker.io/{name}"
    path, at, digest = name.partition("@")
    folder, _, last = path.rpartition("/")
    repository, colon, _ = last.partition(":")
    if at:
        return f"{folder}/{repository}@{digest}"
    return path if colon else f"{path}:latest"


def _image(name: str, recipe: _Recipe, echo: Echo) -> LocalImage:
    labels = {
        "org.opencontainers.image.title": recipe.title,
        "org.opencontainers.image.description": f"local stand-in, made of {recipe.description}",
        "tierup/stand-in-for": name,
    }
    config = {"Env": [f"PATH={SEARCH_PATH}"], "WorkingDir": "/", "Labels": labels, **recipe.config}
    layers = tuple(finish(layer(), echo) for layer in recipe.layers)
    return LocalImage(name, recipe.title, layers, config, labels)
