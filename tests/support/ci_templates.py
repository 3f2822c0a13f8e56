"""Read the CI templates as GitHub and GitLab do: jobs and steps with their scripts and environments."""

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
    """One shell script and its environment, with expressions not yet replaced."""

    job: str
    name: str
    run: str
    env: Mapping[str, str]


def load(path: Path) -> dict[str, Any]:
    """A GitHub file; YAML 1.1 parses the key `on` as true."""
    document: dict[Any, Any] = yaml.safe_load(path.read_text())
    return {("on" if key is True else key): value for key, value in document.items()}


def github_steps() -> Iterator[Step]:
    """Every `run` of the reusable workflow and the composite action."""
    workflow = load(CI / "github" / "workflows" / "tierup-stack.yml")
    for job, definition in workflow["jobs"].items():
        for step in definition["steps"]:
            if "run" in step:
                env = {**workflow["env"], **definition.get("env", {}), **step.get("env", {})}
                yield Step(job, step["name"], step["run"], env)
    for step in load(ACTION)["runs"]["steps"]:
        if "run" in step:
            yield Step("setup", step["name"], step["run"], step.get("env", {}))


def github_step(job: str, name: str) -> Step:
    (match,) = (step for step in github_steps() if (step.job, step.name) == (job, name))
    return match


def filled(env: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The environment with its `${{ }}` expressions replaced; an unknown one raises KeyError."""
    return {key: _EXPRESSION.sub(lambda match: known[match[1]], str(value)) for key, value in env.items()}


def gitlab_documents(**inputs: str) -> tuple[str, str]:
    """The header, and the pipeline with its inputs replaced; a missing input raises KeyError."""
    header, pipeline = GITLAB.read_text().split("\n---\n")
    return header, _INPUT.sub(lambda match: inputs[match[1]], pipeline)


def gitlab_jobs(**inputs: str) -> dict[str, dict[str, Any]]:
    """Jobs that run, merged with the jobs they extend as GitLab does: maps by key, other values replaced."""
    document = yaml.safe_load(gitlab_documents(**inputs)[1])
    return {name: _merged(document, name) for name in document if not name.startswith(".")}


def _merged(document: dict[str, Any], name: str) -> dict[str, Any]:
    job = document[name]
    base = _merged(document, job["extends"]) if "extends" in job else {}
    merged = dict(base)
    for key, value in job.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = {**base[key], **value} if both else value
    return merged
