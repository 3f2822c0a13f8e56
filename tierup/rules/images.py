"""Checks whether the name of an image pins its version."""

FLOATING_PROBLEM = "a floating tag: the next pod may run another version"
FLOATING_FIX = "name a version or a digest"
_FLOATING = ("latest", "main", "master", "nightly", "stable", "edge")


def is_floating(image: str) -> bool:
    """Whether the name may refer to another image later; a name without a tag means `latest`."""
    if "@" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]  # a colon before the last slash is a registry's port
    return tag in _FLOATING or tag.startswith("latest-") or not any(char.isdigit() for char in tag)
