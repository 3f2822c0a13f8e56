"""The CI templates as files: valid for their forges, least rights, pinned, secrets only where they are needed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ci_templates import (
    ACTION,
    CI,
    GITLAB,
    ROOT,
    WORKFLOWS,
    github_steps,
    gitlab_documents,
    gitlab_jobs,
    load,
)

from tierup.local.toolchain import ToolMissing, tool
from tierup.local.toolchain.pins import load_pins

BIN = Path(sys.prefix) / "bin"
STACK = CI / "github" / "workflows" / "tierup-stack.yml"
JOBS: dict[str, dict[str, Any]] = load(STACK)["jobs"]
FORK = "github.event.pull_request.head.repo.full_name == github.repository"
DEPENDABOT = "github.event.pull_request.user.login != 'dependabot[bot]'"


def validate(schema: str, *files: Path) -> tuple[int, str]:
    """Against the forge's own schema as check-jsonschema carries it; nothing is downloaded."""
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_the_workflows_and_the_action_are_valid_for_github(tmp_path: Path) -> None:
    for schema, files in (("github-workflows", WORKFLOWS), ("github-actions", [ACTION])):
        status, output = validate(schema, *files)
        assert status == 0, output
    broken = tmp_path / "broken.yml"
    broken.write_text(STACK.read_text().replace("runs-on: ubuntu-24.04", "run-on: ubuntu-24.04", 1))
    assert validate("github-workflows", broken)[0] == 1


def test_the_template_is_valid_for_gitlab(tmp_path: Path) -> None:
    for number, text in enumerate(gitlab_documents(stack="standard", strict="false")):
        file = tmp_path / f"{number}.yml"
        file.write_text(text)
        status, output = validate("gitlab-ci", file)
        assert status == 0, output
    file.write_text(text.replace("when: manual", "when: by-hand"))
    assert validate("gitlab-ci", file)[0] == 1


def actionlint(folder: Path) -> tuple[int, str]:
    """The output of actionlint, with shellcheck for each `run`, for the templates where a user puts them."""
    try:
        program = tool("actionlint")
    except ToolMissing as missing:
        pytest.skip(f"NOT PROVEN, actionlint is not there: run `make toolchain` ({missing})")
    command = [str(program), "-shellcheck", str(BIN / "shellcheck"), "-pyflakes", "", "-no-color"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout + result.stderr


def test_actionlint_finds_nothing_in_the_workflows_and_their_shell(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)  # it searches for a repository's root
    shutil.copytree(CI, tmp_path / "ci")
    placed = tmp_path / ".github" / "workflows"
    shutil.copytree(CI / "github" / "workflows", placed)
    assert actionlint(tmp_path) == (0, "")
    stack = placed / "tierup-stack.yml"
    stack.write_text(stack.read_text().replace("secrets.KUBECONFIG", "secrets.KUBECONFG", 1))
    status, output = actionlint(tmp_path)
    assert status == 1
    assert "kubeconfg" in output.lower()


@pytest.mark.parametrize("script", sorted(CI.rglob("*.sh")), ids=lambda script: str(script.relative_to(CI)))
def test_shellcheck_finds_nothing_and_errors_end_each_script(script: Path) -> None:
    result = subprocess.run([BIN / "shellcheck", script], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")
    assert "\nset -euo pipefail\n" in script.read_text()


def test_shellcheck_finds_nothing_in_what_actionlint_does_not_read() -> None:
    """GitLab's scripts and the composite action's steps."""
    jobs = gitlab_jobs(stack="standard", strict="false").values()
    shells = ["\n".join([*job["before_script"], *job["script"]]) for job in jobs]
    shells += [step.run for step in github_steps() if step.job == "setup"]
    for shell in shells:
        command = [str(BIN / "shellcheck"), "--shell=bash", "-"]
        result = subprocess.run(command, input=shell, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout) == (0, "")


def test_every_step_of_several_lines_ends_with_its_first_error() -> None:
    for step in github_steps():
        assert "\n" not in step.run or step.run.startswith("set -euo pipefail\n"), step.name
    for job in gitlab_jobs(stack="standard", strict="false").values():
        assert job["before_script"][0] == "set -euo pipefail"


def test_other_peoples_actions_are_pinned_by_commit_with_the_version_beside_it() -> None:
    lines = [line.strip() for file in (*WORKFLOWS, ACTION) for line in file.read_text().splitlines()]
    uses = [line.removeprefix("- ") for line in lines if line.removeprefix("- ").startswith("uses:")]
    assert uses
    for line in uses:
        assert re.fullmatch(r"uses: (\./[\w./-]+|[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)", line), line


def test_jobs_have_only_the_permissions_that_they_need() -> None:
    for file in WORKFLOWS:
        assert load(file)["permissions"] == {}
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "findings": {"contents": "read", "security-events": "write"},
        "preview": {"contents": "read", "pull-requests": "write"},
        "drift": {"contents": "read"},
        "up": {"contents": "read"},
    }
    caller = load(CI / "github" / "workflows" / "tierup.yml")["jobs"]["stack"]
    granted = {key: value for job in JOBS.values() for key, value in job["permissions"].items()}
    assert caller["permissions"] == granted, "a called workflow cannot have more permissions than its caller"
    for job in JOBS.values():
        for step in job["steps"]:
            if str(step.get("uses")).startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}


def test_pull_requests_run_without_the_rights_of_the_base_branch() -> None:
    for file in WORKFLOWS:
        events = load(file)["on"]
        assert not {"pull_request_target", "workflow_run"} & set(events)


def test_a_fork_runs_no_job_that_needs_a_secret() -> None:
    """Findings need none; preview is guarded; drift and up never run for a pull request."""
    assert "secrets." not in yaml.safe_dump(JOBS["findings"])
    assert FORK in JOBS["preview"]["if"]
    assert DEPENDABOT in JOBS["preview"]["if"]
    upload = next(step for step in JOBS["findings"]["steps"] if "codeql" in step.get("uses", ""))
    assert FORK in upload["if"], "a fork's token may not upload"
    assert JOBS["drift"]["if"] == "github.event_name == 'schedule'"
    assert "github.event_name == 'push'" in JOBS["up"]["if"]
    preview = gitlab_jobs(stack="standard", strict="false")["tierup-standard-preview"]
    assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_MERGE_REQUEST_PROJECT_ID" in preview["rules"][0]["if"]


def test_secrets_and_inputs_reach_the_shell_only_as_variables() -> None:
    for step in github_steps():
        assert "${{" not in step.run, f"{step.name}: an expression in a script is code"
    for job in gitlab_jobs(stack="INPUT", strict="INPUT").values():
        assert "INPUT" not in "\n".join(job["script"])


def test_after_a_failed_step_the_verdict_the_plan_and_the_findings_are_still_reported() -> None:
    conditions = {step.get("name"): step.get("if", "") for job in JOBS.values() for step in job["steps"]}
    for name in ("Show the findings in the pull request", "Cost of the stack file", "Keep the plan"):
        assert "!cancelled()" in conditions[name]
    verdict = "${{ !cancelled() && steps.preview.outcome != 'skipped' }}"
    assert conditions["Cost and policies"] == verdict, (
        "not after a failed setup: tierup is not installed then"
    )
    assert not conditions["Update the stack"]


def test_up_waits_for_approval_and_is_never_cancelled() -> None:
    up = JOBS["up"]
    assert up["environment"] == "tierup-${{ inputs.stack }}"
    assert up["concurrency"] == {"group": "tierup-up-${{ inputs.stack }}", "cancel-in-progress": False}
    assert set(up["needs"]) == {"findings", "preview"}
    assert JOBS["preview"]["concurrency"]["group"].startswith("tierup-preview-${{ inputs.stack }}-")
    job = gitlab_jobs(stack="standard", strict="false")["tierup-standard-up"]
    assert [rule["when"] for rule in job["rules"]] == ["manual"]
    assert job["environment"]["name"] == job["resource_group"] == "tierup-standard"
    assert "interruptible" not in job


def test_the_tools_that_are_installed_are_pinned_ones() -> None:
    known = load_pins(ROOT / "tierup/local/toolchain/pins.yaml")
    for text in (ACTION.read_text(), GITLAB.read_text()):
        named = re.search(r"toolchain install\s+\\?\s*([\w -]+)\n", text)
        assert named
        assert set(named[1].split()) <= known.keys()
        assert {"pulumi", "pulumi-language-python", "pulumi-resource-kubernetes"} <= set(named[1].split())
