"""Which objects of a cluster are this stack's own: they have its label and its state contains them."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

from tierup.resources.identity import RETAIN_ANNOTATION, STACK_LABEL


@dataclass(frozen=True)
class Owner:
    """This deployment of `stack`; `held` has the UIDs in its state, `established`: its state has the namespace."""

    stack: str
    held: Set[str]
    established: bool

    def made(self, metadata: Mapping[str, Any]) -> bool:
        """Whether this deployment created an object that has the stack's label."""
        retained = metadata.get("annotations", {}).get(RETAIN_ANNOTATION) == "true"
        return self.established or retained or metadata["uid"] in self.held

    def owns(self, metadata: Mapping[str, Any]) -> bool:
        """Whether an object has the stack's label and this deployment created it."""
        return metadata.get("labels", {}).get(STACK_LABEL) == self.stack and self.made(metadata)
