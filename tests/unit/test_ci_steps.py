"""The shell of the CI templates, run as their forges run it: the comment comes first, then the job fails."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ci_runner import MARKER, TOOLS, Runner
from ci_templates import ROOT
from fake_comment_api import TOKEN, Answer, FakeGitHub, FakeGitLab, Trouble

from tierup.cli import app

TIERUP = str(Path(sys.prefix) / "bin" / "tierup")
URN = "urn:pulumi:standard::tierup::tierup:index:InferenceTier$kubernetes:apps/v1:Deployment::gateway"
PLAN = {
    "steps": [
        {"op": "update", "urn": URN, "newState": {"inputs": {"key": "a-value-not-to-be-shown"}}},
        {"op": "same", "urn": "urn:pulumi:standard::tierup::pulumi:pulumi:Stack::tierup-standard"},
    ],
    "diagnostics": [{"severity": "error", "message": "error: TIER036 models[0]: the weights do not fit\n"}],
}
# What GitLab's page on code quality reports asks for; no schema of it is published.
CODE_QUALITY = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "additionalProperties": False,
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "pattern": "^TIER\\d{3}$"},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^[^/]"},
                    "lines": {
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                        "required": ["begin"],
                    },
                },
            },
        },
    },
}


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.fixture(params=[FakeGitHub, FakeGitLab])
def fake(request: pytest.FixtureRequest, runner: Runner) -> Iterator[Any]:
    """Each forge's comment API; a call that it does not know fails the test."""
    api = request.param()
    runner.api = api.root
    yield api
    api.close()
    assert api.errors == []


def preview_job(runner: Runner, fake: Any) -> tuple[int, str]:
    """The job of a pull request, up to its end or failure: exit code and output."""
    if isinstance(fake, FakeGitLab):
        numbers = {"CI_MERGE_REQUEST_PROJECT_ID": "7", "CI_MERGE_REQUEST_IID": "5"}
        result = runner.gitlab("preview", TIERUP_COMMENT_TOKEN=TOKEN, **numbers)
        return result.code, result.output
    runner.github("setup", "Write the kubeconfig")
    first = runner.github("preview", "Preview")
    second = runner.github("preview", "Cost and policies")
    return first.code if first.code else second.code, first.output + second.output


@pytest.mark.parametrize(
    ("ends", "code", "reason"),
    [
        ({}, 0, ""),
        ({"cost": 3}, 3, "over budget"),
        ({"cost": 4}, 4, "without a price"),
        ({"policy": 1}, 1, "mandatory policy"),
        ({"cost": 3, "policy": 1}, 3, "mandatory policy"),
    ],
)
def test_the_comment_is_there_whatever_the_verdict_and_the_job_fails_after_it(
    runner: Runner, fake: Any, ends: dict[str, int], code: int, reason: str
) -> None:
    runner.answers("preview", json.dumps(PLAN))
    runner.ends(**ends)
    result, output = preview_job(runner, fake)
    assert result == code, output
    assert [comment["body"] for comment in fake.comments] == [f"{MARKER}\n## Cost\n"]
    assert reason in output
    assert "policies" in output, "policies are reported too when the budget is exceeded"
    if isinstance(fake, FakeGitHub):
        assert runner.left("GITHUB_STEP_SUMMARY") == f"{MARKER}\n## Cost\n"
    assert (runner.checkout / "preview" / "plan.json").read_text() == json.dumps(PLAN)


def test_the_log_names_what_changes_and_no_value(runner: Runner, fake: Any) -> None:
    runner.answers("preview", json.dumps(PLAN))
    _, output = preview_job(runner, fake)
    assert "2 resources, 1 to change" in output
    assert "update               gateway  kubernetes:apps/v1:Deployment" in output
    assert "a-value-not-to-be-shown" not in output
    assert "tierup-standard" not in output


@pytest.mark.parametrize("plan", [json.dumps(PLAN), "", "{"])
def test_a_failed_preview_shows_pulumis_reason_and_its_partial_plan_is_not_priced(
    runner: Runner, fake: Any, plan: str
) -> None:
    """The engine writes its errors into the JSON; where it did not start, the JSON is empty."""
    earlier = runner.checkout / "preview" / "plan.json"
    earlier.parent.mkdir()
    earlier.write_text(json.dumps(PLAN))  # as a runner that is not cleaned would have it
    runner.answers("preview", plan)
    runner.ends(preview=6, cost=1)
    result, output = preview_job(runner, fake)
    assert result in (6, 1)
    assert "'pulumi preview' of stack 'standard' ended with 6" in output
    assert ("TIER036 models[0]: the weights do not fit" in output) == (plan == json.dumps(PLAN))
    assert "policies were not checked" in output
    assert not [call for call in runner.calls if "--plan" in call]
    assert not earlier.exists()
    assert fake.calls == []


@pytest.mark.parametrize("cost", [0, 3])
def test_a_budget_that_stops_the_preview_itself_still_has_its_comment(
    runner: Runner, fake: Any, cost: int
) -> None:
    """The program refuses a tier over a mandatory budget, so there is no plan; the stack file's cost is reported."""
    runner.ends(preview=1, cost=cost)
    result, output = preview_job(runner, fake)
    assert result != 0, output
    (comment,) = fake.comments
    assert comment["body"].startswith(f"{MARKER}\n**The preview failed**")
    assert "## Cost of the stack file" in comment["body"]
    assert ("over budget" in output) == (cost == 3)


def test_a_cost_that_cannot_be_computed_leaves_the_comment_as_it_was(runner: Runner, fake: Any) -> None:
    runner.answers("cost", "")
    runner.ends(cost=1)
    result, output = preview_job(runner, fake)
    assert result == 1
    assert "could not be computed ('tierup cost' ended with 1)" in output
    assert fake.calls == []


@pytest.mark.parametrize(("cost", "code"), [(0, 1), (3, 3)])
def test_a_comment_that_is_refused_fails_the_job_but_hides_no_verdict(
    runner: Runner, fake: Any, cost: int, code: int
) -> None:
    fake.trouble.append(Trouble("POST", Answer(403, {"message": "no"})))
    runner.ends(cost=cost)
    result, output = preview_job(runner, fake)
    assert result == code
    assert "could not be written" in output


def test_outside_of_a_pull_request_nothing_is_commented(runner: Runner) -> None:
    """After a merge the verdict is the job's end and, on GitHub, the run's summary."""
    runner.ends(cost=3)
    forge = {"github.event_name == 'pull_request' && 'github' || ''": ""}
    number = {"github.event.pull_request.number": ""}
    runner.github("setup", "Write the kubeconfig")
    assert runner.github("preview", "Preview").code == 0
    assert runner.github("preview", "Cost and policies", **forge, **number).code == 3
    assert MARKER in runner.left("GITHUB_STEP_SUMMARY")
    assert runner.gitlab("preview").code == 3


def test_without_a_token_for_comments_gitlab_says_where_the_text_is(runner: Runner) -> None:
    result = runner.gitlab("preview", CI_MERGE_REQUEST_IID="5", CI_MERGE_REQUEST_PROJECT_ID="7")
    assert result.code == 0
    assert "no comment: TIERUP_COMMENT_TOKEN is not set; the text is in preview/comment.md" in result.output


def test_strict_is_passed_on(runner: Runner) -> None:
    assert runner.gitlab("preview", strict="true").code == 0
    assert runner.calls[-2].endswith("--format markdown --strict")
    runner.github("setup", "Write the kubeconfig")
    runner.github("preview", "Preview")
    runner.api = "http://127.0.0.1:9"
    forge = {"github.event_name == 'pull_request' && 'github' || ''": ""}
    assert runner.github("preview", "Cost and policies", **{"inputs.strict": "true"}, **forge).code == 0
    assert runner.calls[-2].endswith("--format markdown --strict")


def test_drift_fails_the_scheduled_job(runner: Runner) -> None:
    runner.github("setup", "Write the kubeconfig")
    step = ("drift", "Compare the cluster with the stack")
    assert runner.github(*step).code == runner.gitlab("drift").code == 0
    runner.ends(drift=7)  # what pulumi 3.259 ends with where changes were proposed
    for result in (runner.github(*step), runner.gitlab("drift")):
        assert result.code == 7
        assert "stack 'standard' has drifted, or could not be compared" in result.output


def test_up_is_not_interactive(runner: Runner) -> None:
    runner.github("setup", "Write the kubeconfig")
    for result in (runner.github("up", "Update the stack"), runner.gitlab("up")):
        assert result.code == 0
        assert runner.calls[-1] == "pulumi up --stack standard --yes --non-interactive"


def test_findings_are_written_before_the_step_fails(runner: Runner) -> None:
    runner.ends(plan=1)
    result = runner.github("findings", "Check the stack file")
    assert result.code == 1
    assert (runner.checkout / "findings.sarif").read_text() == (runner.world / "plan").read_text()
    assert (runner.checkout / "findings.sarif").read_text() == runner.left("GITHUB_STEP_SUMMARY")
    result = runner.gitlab("findings")
    assert result.code == 1
    assert json.loads((runner.checkout / "gl-code-quality-report.json").read_text()) == []


def test_a_stack_file_that_is_over_budget_fails_without_a_plan(runner: Runner) -> None:
    """What a fork's pull request gets."""
    runner.ends(cost=3)
    assert runner.github("findings", "Cost of the stack file").code == 3
    assert "Cost of the stack file" in runner.left("GITHUB_STEP_SUMMARY")
    assert runner.gitlab("findings").code == 3


def test_setup_puts_the_pinned_tools_on_the_path(runner: Runner) -> None:
    assert runner.github("setup", "Install tierup").code == 0
    assert runner.github("setup", "Install pulumi").code == 0
    assert runner.left("GITHUB_PATH") == f"{runner.checkout}/.venv/bin\n{runner.world}/tools\n"
    assert runner.calls[:2] == ["make setup", f"python -m tierup.local.toolchain install {TOOLS}"]


def test_the_kubeconfig_is_for_the_jobs_user_alone(runner: Runner) -> None:
    result = runner.github("setup", "Write the kubeconfig")
    assert (result.code, result.output) == (0, "")
    file = runner.checkout / ".kubeconfig"
    assert file.read_text() == "kind: Config\nusers: []\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert runner.left("GITHUB_ENV") == "KUBECONFIG=.kubeconfig\n"
    file.unlink()
    assert runner.gitlab("drift").code == 0
    assert file.read_text() == "kind: Config\nusers: []\n"
    assert file.stat().st_mode & 0o777 == 0o600


def code_quality(folder: Path) -> list[dict[str, Any]]:
    """GitLab's report of what the real `tierup plan` finds in the project in `folder`."""
    command = [TIERUP, "plan", "--stack", "entry", "--json"]
    plan = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    script = [sys.executable, str(ROOT / "ci" / "shared" / "code_quality.py")]
    result = subprocess.run(script, input=plan.stdout, capture_output=True, text=True, check=True)
    report: list[dict[str, Any]] = json.loads(result.stdout)
    jsonschema.validate(report, CODE_QUALITY)
    return report


def test_findings_of_a_real_stack_file_have_their_lines_in_gitlabs_report(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    stack = tmp_path / "stacks" / "Pulumi.entry.yaml"
    stack.parent.mkdir()
    text = (ROOT / "stacks" / "Pulumi.entry.yaml").read_text()
    stack.write_text(text)
    codes = {issue["check_name"]: issue for issue in code_quality(tmp_path)}
    assert "TIER058" in codes
    assert "TIER052" not in codes, "it is accepted in the stack file"
    stack.write_text(text.replace("    users: 40\n", "    user: 40\n"))
    (typo, *_) = [issue for issue in code_quality(tmp_path) if issue["check_name"] == "TIER003"]
    line = 1 + stack.read_text().splitlines().index("    user: 40")
    assert typo["severity"] == "blocker"
    assert typo["location"] == {"path": "stacks/Pulumi.entry.yaml", "lines": {"begin": line}}


def test_every_command_of_the_templates_exists_with_its_options(runner: Runner) -> None:
    runner.github("setup", "Write the kubeconfig")
    forge = {"github.event_name == 'pull_request' && 'github' || ''": ""}
    for strict in ("false", "true"):
        for step in (("findings", "Check the stack file"), ("findings", "Cost of the stack file")):
            runner.github(*step)
        runner.github("preview", "Preview")
        runner.github("preview", "Cost and policies", **forge, **{"inputs.strict": strict})
        for job in ("findings", "preview", "drift", "up"):
            runner.gitlab(job, strict=strict)
    calls = {call for call in runner.calls if call.startswith("tierup ")}
    assert {call.split()[1] for call in calls} == {"plan", "cost", "policy"}
    for call in calls:
        _, command, *rest = call.split()
        with app.load(command).make_context(command, rest):  # an option it does not know is an error
            pass
