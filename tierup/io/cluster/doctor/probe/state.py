"""What a probe's pod says about itself: whether its image is there, whether it really runs, and its answer."""

from typing import Any

from tierup.manifests.common import Manifest

_PULL_FAILED = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
}
_NOT_PULLED_YET = {None, "ContainerCreating", "PodInitializing"}


def _container(pod: Manifest) -> dict[str, Any]:
    statuses: list[dict[str, Any]] = pod.get("status", {}).get("containerStatuses") or [{}]
    return statuses[0]


def answer_of(pod: Manifest, token: str) -> str | None:
    """What the pod's program found out; None if it has not ended, or if it never ran."""
    ended = _container(pod).get("state", {}).get("terminated", {})
    first, _, rest = (ended.get("message") or "").strip().partition(" ")
    return rest if first == token else None


def ended(pod: Manifest) -> bool:
    """Whether the pod is said to have ended."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def end_reason(pod: Manifest) -> str:
    """Why a pod ended without an answer."""
    state = _container(pod).get("state", {}).get("terminated", {})
    reason = state.get("reason") or pod.get("status", {}).get("reason") or "no reason"
    message = state.get("message") or pod.get("status", {}).get("message")
    return f"{reason}: {message}" if message else str(reason)


def simulated(pod: Manifest) -> bool:
    """Whether the pod is said to run without a container, which only a simulated node says."""
    status = _container(pod)
    return "running" in status.get("state", {}) and not status.get("containerID")


def waiting_for_node(pod: Manifest) -> str | None:
    """Why the scheduler finds no node, None if it has found one or has not looked yet."""
    for condition in pod.get("status", {}).get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message", condition.get("reason", "")))
    return None


def pull_failure(pod: Manifest) -> str | None:
    """Why the image cannot be pulled."""
    waiting = _container(pod).get("state", {}).get("waiting", {})
    if waiting.get("reason") not in _PULL_FAILED:
        return None
    return str(waiting.get("message") or waiting["reason"])


def pulled(pod: Manifest) -> bool:
    """Whether the image is on the node: a container was made of it, whether or not its command exists."""
    status = _container(pod)
    state = status.get("state", {})
    waiting = state.get("waiting", {}).get("reason")
    made = {"running", "terminated"} & set(state) or waiting not in _NOT_PULLED_YET | _PULL_FAILED
    return bool(state) and bool(made) and not simulated(pod)
