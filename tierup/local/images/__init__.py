"""Images of a plan's pods, made of what this machine has: no registry, no container engine, no network."""

from tierup.local.images.oci import LocalImage
from tierup.local.images.of_plan import LocalImageError, busybox, canonical, for_plan

__all__ = ["LocalImage", "LocalImageError", "busybox", "canonical", "for_plan"]
