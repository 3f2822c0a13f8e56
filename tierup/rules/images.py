"""Decides whether an image's name pins what runs."""

FLOATS = "a floating tag: the next pod may run another version"
PIN = "name a version or a digest"
_FLOATING = ("latest", "main", "master", "nightly", "stable", "edge")


def floats(image: str) -> bool:
    """Whether the same name may mean another image tomorrow; without a tag it means `latest`."""
    if "@" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]  # a colon before the last slash is a registry's port
    return tag in _FLOATING or tag.startswith("latest-") or not any(char.isdigit() for char in tag)
