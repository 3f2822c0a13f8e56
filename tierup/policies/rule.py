"""Decides what a policy is, and how what it refuses is told."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tierup.findings import redacted
from tierup.resources import Resource


class Level(StrEnum):
    """Whether a violation is only told, or stops the deployment."""

    ADVISORY = "advisory"
    MANDATORY = "mandatory"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place of a resource's inputs."""

    path: str
    what: str
    got: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """One rule: `name` is stable, `says` is what must hold, `fix` what to do where it does not."""

    name: str
    level: Level
    says: str
    fix: str


@dataclass(frozen=True, slots=True)
class ResourcePolicy(Policy):
    """A rule over each resource by itself; `check` takes resources of every type and never raises."""

    check: Callable[[Resource], Iterator[Problem]]


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
        got = "" if self.problem.got is None else f" (got {self.problem.got})"
        return redacted(f"{self.problem.path}: {self.problem.what}{got} - {self.policy.fix}")
