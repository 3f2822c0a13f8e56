"""A policy, and its violations."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tierup.findings.secrets import redacted
from tierup.resources.model import Resource


class Level(StrEnum):
    """Whether a violation is only shown, or stops the deployment."""

    ADVISORY = "advisory"
    MANDATORY = "mandatory"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one path of a resource's inputs; `fix` replaces the fix of the policy."""

    path: str
    what: str
    got: str | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy: `name` is stable, `rule` is what must hold, `fix` is what to do otherwise."""

    name: str
    level: Level
    rule: str
    fix: str


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation of a policy by a resource."""

    policy: Policy
    urn: str
    resource: str
    problem: Problem

    @property
    def message(self) -> str:
        """`path: what is wrong (got X) - fix`, without well-known kinds of secrets."""
        return redacted(f"{self.problem.path}: {self.what} - {self.fix}")

    @property
    def what(self) -> str:
        """What is wrong, with the given value."""
        return redacted(
            self.problem.what + (f" (got {self.problem.got})" if self.problem.got is not None else "")
        )

    @property
    def fix(self) -> str:
        """What to do about the violation."""
        return redacted(self.problem.fix if self.problem.fix is not None else self.policy.fix)


@dataclass(frozen=True, slots=True)
class ResourcePolicy(Policy):
    """A policy that checks each resource separately; `check` accepts resources of every type and never raises."""

    check: Callable[[Resource], Iterator[Problem]]

    def violations(self, resource: Resource) -> Iterator[Violation]:
        """The violations by one resource."""
        for problem in self.check(resource):
            yield Violation(self, resource.urn, resource.name, problem)
