"""Decides what a policy is, and how what it refuses is told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tierup.findings.model import redacted
from tierup.resources.model import Resource


class Level(StrEnum):
    """Whether a violation is only told, or stops the deployment."""

    ADVISORY = "advisory"
    MANDATORY = "mandatory"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place of a resource's inputs; `fix` where it is not the policy's own."""

    path: str
    what: str
    got: str | None = None
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule: `name` is stable, `says` is what must hold, `fix` what to do where it does not."""

    name: str
    level: Level
    says: str
    fix: str


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where a policy does not hold."""

    policy: Policy
    urn: str
    resource: str
    problem: Problem

    @property
    def message(self) -> str:
        """`path: what is wrong (got X) - fix`, free of well-known kinds of secrets."""
        return redacted(f"{self.problem.path}: {self.what} - {self.fix}")

    @property
    def what(self) -> str:
        """What is wrong, with the value found."""
        return redacted(
            self.problem.what + (f" (got {self.problem.got})" if self.problem.got is not None else "")
        )

    @property
    def fix(self) -> str:
        """What to do about it."""
        return redacted(self.problem.fix if self.problem.fix is not None else self.policy.fix)


@dataclass(frozen=True, slots=True)
class ResourcePolicy(Policy):
    """A rule over each resource by itself; `check` takes resources of every type and never raises."""

    check: Callable[[Resource], Iterator[Problem]]

    def violations(self, resource: Resource) -> Iterator[Violation]:
        """Where it does not hold in one resource."""
        for problem in self.check(resource):
            yield Violation(self, resource.urn, resource.name, problem)
