"""How long Pulumi waits for an object: as long as the object itself allows."""

from tierup.manifests.common import Manifest

_API_SECONDS = 300  # for objects that only have to be accepted
_MARGIN_SECONDS = 60


def ready_seconds(manifest: Manifest) -> int:
    """Seconds until an object must be ready: a rollout's deadline, a Job's, or that of an API call."""
    spec = manifest.get("spec", {})
    deadline = spec.get("progressDeadlineSeconds", spec.get("activeDeadlineSeconds"))
    return _API_SECONDS if deadline is None else int(deadline) + _MARGIN_SECONDS


def delete_seconds(manifest: Manifest) -> int:
    """Seconds until an object must be gone: its pods' grace period included."""
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    return _API_SECONDS + int(pod.get("terminationGracePeriodSeconds", 0))
