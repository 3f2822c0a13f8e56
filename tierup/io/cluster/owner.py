"""Decides which objects of a cluster are this stack's own: what its label marks and its state vouches for."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from tierup.resources.identity import RETAIN_ANNOTATION, STACK_LABEL


@dataclass(frozen=True)
class Owner:
    """Whose objects are ours: those of `stack` in a namespace, or among UIDs, that its state holds."""

    stack: str
    held: Set[str]
    established: bool

    def made(self, metadata: Mapping[str, Any]) -> bool:
        """Whether this deployment made an object that has the stack's label."""
        kept = metadata.get("annotations", {}).get(RETAIN_ANNOTATION) == "true"
        return self.established or kept or metadata["uid"] in self.held

    def owns(self, metadata: Mapping[str, Any]) -> bool:
        """Whether an object has the stack's label and this deployment made it."""
        return metadata.get("labels", {}).get(STACK_LABEL) == self.stack and self.made(metadata)
