"""Reads the CI templates as their forges would: jobs, steps, what each runs and with which environment."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CI = ROOT / "ci"
WORKFLOWS = sorted((CI / "github" / "workflows").glob("*.yml"))
ACTION = CI / "github" / "setup" / "action.yml"
GITLAB = CI / "gitlab" / "tierup.gitlab-ci.yml"
_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
_INPUT = re.compile(r"\$\[\[ inputs\.(\w+) \]\]")


@dataclass(frozen=True)
class Step:
    """One piece of shell and the environment that the template gives it, expressions not yet filled in."""

    job: str
    name: str
    run: str
    env: Mapping[str, str]


def load(path: Path) -> dict[str, Any]:
    """A GitHub file; `on` is YAML 1.1's true."""
    document: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {("on" if key is True else key): value for key, value in document.items()}


def github_steps() -> Iterator[Step]:
    """Every `run` of the reusable workflow and the composite action."""
    workflow = load(CI / "github" / "workflows" / "tierup-stack.yml")
    for job, told in workflow["jobs"].items():
        for step in told["steps"]:
            if "run" in step:
                env = {**workflow["env"], **told.get("env", {}), **step.get("env", {})}
                yield Step(job, step["name"], step["run"], env)
    for step in load(ACTION)["runs"]["steps"]:
        if "run" in step:
            yield Step("setup", step["name"], step["run"], step.get("env", {}))


def github_step(job: str, name: str) -> Step:
    (found,) = (step for step in github_steps() if (step.job, step.name) == (job, name))
    return found


def filled(env: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The environment with its `${{ }}` replaced; one that the test does not know is a KeyError."""
    return {key: _EXPRESSION.sub(lambda match: known[match[1]], str(value)) for key, value in env.items()}


def gitlab_documents(**inputs: str) -> tuple[str, str]:
    """The header and, with the inputs filled in, the pipeline; an input that is not given is a KeyError."""
    header, pipeline = GITLAB.read_text().split("\n---\n")
    return header, _INPUT.sub(lambda match: inputs[match[1]], pipeline)


def gitlab_jobs(**inputs: str) -> dict[str, dict[str, Any]]:
    """Jobs that run, each with what it extends merged in as GitLab does: maps by key, all else replaced."""
    document = yaml.safe_load(gitlab_documents(**inputs)[1])
    return {name: _whole(document, name) for name in document if not name.startswith(".")}


def _whole(document: dict[str, Any], name: str) -> dict[str, Any]:
    job = document[name]
    base = _whole(document, job["extends"]) if "extends" in job else {}
    merged = dict(base)
    for key, value in job.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = {**base[key], **value} if both else value
    return merged
