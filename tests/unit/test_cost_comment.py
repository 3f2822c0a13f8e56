"""One cost comment per stack and pull request, updated in place, against fakes of both forges' APIs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import comment_api
import cost_comment
import pytest
from fake_comment_api import TOKEN, Answer, FakeCommentApi, FakeGitHub, FakeGitLab, Trouble

SCRIPT = Path(__file__).parents[2] / "ci" / "shared" / "cost_comment.py"
MARKER = "<!-- tierup-cost:standard -->"
BUSY = Answer(429, {"message": "slow down"}, {"Retry-After": "7"})
DOWN = Answer(502, {"message": "Bad Gateway"})


@pytest.fixture(params=[FakeGitHub, FakeGitLab])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeCommentApi]:
    """Each forge in turn; a call that it does not know fails the test."""
    api: FakeCommentApi = request.param()
    yield api
    api.close()
    assert api.errors == []


def variables(fake: FakeCommentApi, **changes: str | None) -> dict[str, str]:
    """What the forge's CI sets, with changes; None removes a variable."""
    names: dict[str, str | None] = {
        "TIERUP_COMMENT_TOKEN": TOKEN,
        "GITHUB_API_URL": fake.root,
        "GITHUB_REPOSITORY": "acme/llm",
        "TIERUP_PULL_REQUEST": "5",
        "CI_API_V4_URL": fake.root,
        "CI_MERGE_REQUEST_PROJECT_ID": "7",
        "CI_MERGE_REQUEST_IID": "5",
        **changes,
    }
    return {key: value for key, value in names.items() if value is not None}


def name(fake: FakeCommentApi) -> str:
    return "github" if isinstance(fake, FakeGitHub) else "gitlab"


class Script:
    """Runs the script as a job does, and checks that its output does not contain the token."""

    def __init__(self, fake: FakeCommentApi, folder: Path) -> None:
        self.fake, self.file = fake, folder / "comment.md"
        self.output = ""

    def __call__(self, text: str, **changes: str | None) -> int:
        self.file.write_bytes(text.encode())
        env = {"PATH": os.environ["PATH"], "no_proxy": "127.0.0.1", **variables(self.fake, **changes)}
        command = [sys.executable, str(SCRIPT), name(self.fake), str(self.file)]
        result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        self.output = result.stdout + result.stderr
        assert TOKEN not in self.output
        assert "Traceback" not in self.output
        return result.returncode


@pytest.fixture
def script(fake: FakeCommentApi, tmp_path: Path) -> Script:
    return Script(fake, tmp_path)


class Upsert:
    """The same in this process; waits are recorded instead of waited for."""

    def __init__(self, fake: FakeCommentApi, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        self.forge = cost_comment.forge_from_env(name(fake), variables(fake))
        self.waits: list[float] = []

    def __call__(self, text: str) -> str:
        return comment_api.with_retries(
            lambda: cost_comment.write_comment(self.forge, text), self.waits.append
        )


@pytest.fixture
def upsert(fake: FakeCommentApi, monkeypatch: pytest.MonkeyPatch) -> Upsert:
    return Upsert(fake, monkeypatch)


def bodies(fake: FakeCommentApi) -> list[str]:
    return [comment["body"] for comment in fake.comments]


def changes(fake: FakeCommentApi) -> list[str]:
    """Methods of the calls that write."""
    return [call.split()[0] for call in fake.calls if not call.startswith("GET")]


def test_the_first_push_creates_the_comment_and_the_next_one_updates_it(
    fake: FakeCommentApi, script: Script
) -> None:
    fake.add("someone" if name(fake) == "github" else 9, "Looks good", system=False)
    assert script(f"{MARKER}\n## Cost: $10\n") == 0
    assert "created" in script.output
    assert script(f"{MARKER}\n## Cost: $20\n") == 0
    assert "updated" in script.output
    assert bodies(fake) == ["Looks good", f"{MARKER}\n## Cost: $20\n"]
    assert changes(fake) == ["POST", "PATCH" if name(fake) == "github" else "PUT"]


def test_the_comment_is_found_on_the_second_page(fake: FakeCommentApi, script: Script) -> None:
    for number in range(130):
        fake.add("someone" if name(fake) == "github" else 9, f"comment {number}", system=False)
    mine = fake.add(fake.us, f"{MARKER}\r\n## Cost: $10\r\n", system=False)  # as a browser's edit leaves it
    assert script(f"{MARKER}\n## Cost: $20\n") == 0
    assert mine["body"] == f"{MARKER}\n## Cost: $20\n"
    assert len(fake.comments) == 131
    assert sum("page=2" in call for call in fake.calls) == 1


def test_two_stacks_have_two_comments(fake: FakeCommentApi, script: Script) -> None:
    for cost in (1, 2):
        for stack in ("standard", "standard-2"):
            assert script(f"<!-- tierup-cost:{stack} -->\n{stack}: ${cost}\n") == 0
    assert [body.splitlines()[1] for body in bodies(fake)] == ["standard: $2", "standard-2: $2"]


def test_of_two_comments_with_the_marker_the_first_is_updated_and_no_third_is_made(
    fake: FakeCommentApi, script: Script
) -> None:
    for text in ("old", "older"):
        fake.add(fake.us, f"{MARKER}\n{text}", system=False)
    assert script(f"{MARKER}\nnew\n") == 0
    assert bodies(fake) == [f"{MARKER}\nnew\n", f"{MARKER}\nolder"]


def test_another_users_comment_with_the_marker_or_one_that_quotes_it_is_left_alone(
    fake: FakeCommentApi, script: Script
) -> None:
    """The owner of a comment can edit it: the cost must not be in another user's comment."""
    strange = ["stranger", None] if name(fake) == "github" else [9]
    theirs = [fake.add(author, f"{MARKER}\nfree of charge", system=False) for author in strange]
    theirs.append(fake.add(fake.us, f"> see\n{MARKER}", system=False))
    before = [comment["body"] for comment in theirs]
    assert script(f"{MARKER}\n$20\n") == 0
    assert [comment["body"] for comment in theirs] == before
    assert bodies(fake)[-1] == f"{MARKER}\n$20\n"


def test_every_kind_of_character_arrives_as_it_is(fake: FakeCommentApi, script: Script) -> None:
    text = (
        f"{MARKER}\n"
        "\"'`$(id) ${{ secrets.X }} \\n \\ %0A ::error:: <b>&amp; | é € 語 \U0001f4b8 \u2028 \t\x7f"
    )
    assert script(f"{text}\n") == 0
    assert bodies(fake) == [f"{text}\n"]


def test_a_long_comment_is_not_passed_on_a_command_line(fake: FakeCommentApi, script: Script) -> None:
    text = f"{MARKER}\n" + "$" * (65_536 - len(MARKER) - 1)
    assert script(text) == 0
    assert bodies(fake) == [text]


def test_a_token_without_permission_to_comment_is_reported_at_once(
    fake: FakeCommentApi, script: Script
) -> None:
    answer = Answer(403, {"message": "Resource not accessible\n::warning::by integration"})
    fake.trouble.append(Trouble("POST", answer))
    assert script(f"{MARKER}\n$20\n") == 1
    assert "403 Resource not accessible ::warning::by integration" in script.output
    assert "pull-requests: write" in script.output
    assert "scope `api`" in script.output
    assert bodies(fake) == []


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "wrong or has expired"), (404, "no such pull request"), (422, "422 no")]
)
def test_an_error_that_a_retry_cannot_fix_ends_the_job_with_the_reason(
    fake: FakeCommentApi, script: Script, status: int, hint: str
) -> None:
    fake.trouble.append(Trouble("GET", Answer(status, {"message": "no"})))
    assert script(f"{MARKER}\n$20\n") == 1
    assert hint in script.output
    assert len(fake.calls) == 1


def test_after_too_many_requests_the_retry_waits_as_long_as_the_api_says(
    fake: FakeCommentApi, upsert: Upsert
) -> None:
    second_limit = Answer(403, {"message": "You have exceeded a secondary rate limit"}, {"Retry-After": "60"})
    fake.trouble += [Trouble("GET", BUSY), Trouble("POST", second_limit)]
    assert upsert(f"{MARKER}\n$20\n") == "created"
    assert upsert.waits == [7, 60]
    assert bodies(fake) == [f"{MARKER}\n$20\n"]


def test_retry_after_may_be_a_date_and_an_hour_is_not_waited(fake: FakeCommentApi, upsert: Upsert) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    fake.trouble.append(Trouble("GET", Answer(429, {}, {"Retry-After": later})))
    with pytest.raises(
        comment_api.RequestRefused, match=r"429 Too Many Requests \(asks to wait 3[56]\d\d s\)"
    ):
        upsert(f"{MARKER}\n$20\n")
    assert upsert.waits == []


def test_server_errors_are_retried_with_growing_pauses_and_then_reported(
    fake: FakeCommentApi, upsert: Upsert
) -> None:
    fake.trouble += [Trouble("GET", DOWN)] * 4
    assert upsert(f"{MARKER}\n$20\n") == "created"
    assert upsert.waits == [1, 2, 4, 8]
    fake.trouble += [Trouble("GET", DOWN)] * 5
    with pytest.raises(comment_api.RequestRefused, match=r"502 Bad Gateway \(tried 5 times\)"):
        upsert(f"{MARKER}\n$30\n")
    assert bodies(fake) == [f"{MARKER}\n$20\n"]


def test_a_comment_that_was_created_though_the_answer_was_an_error_is_not_created_twice(
    fake: FakeCommentApi, upsert: Upsert
) -> None:
    fake.trouble.append(Trouble("POST", DOWN, after_all=True))
    assert upsert(f"{MARKER}\n$20\n") == "updated"
    assert bodies(fake) == [f"{MARKER}\n$20\n"]


def test_an_unreachable_api_is_retried_and_then_reported(upsert: Upsert, fake: FakeCommentApi) -> None:
    fake.close()
    with pytest.raises(comment_api.RequestRefused, match="Connection refused"):
        upsert(f"{MARKER}\n$20\n")
    assert upsert.waits == [1, 2, 4, 8]


@pytest.mark.parametrize("status", [301, 302, 307])
def test_the_token_is_sent_to_the_api_only(fake: FakeCommentApi, script: Script, status: int) -> None:
    elsewhere = FakeGitHub()
    try:
        fake.trouble.append(Trouble("GET", Answer(status, {}, {"Location": f"{elsewhere.root}/user"})))
        assert script(f"{MARKER}\n$20\n") == 1
        assert str(status) in script.output
        if name(fake) == "github":
            link = f'<{elsewhere.root}/repos/acme/llm/issues/5/comments?page=2>; rel="next"'
            fake.trouble.append(Trouble("GET", Answer(200, [], {"Link": link})))
            assert script(f"{MARKER}\n$20\n") == 1
            assert "another address" in script.output
        assert elsewhere.calls == []
        assert changes(fake) == []
    finally:
        elsewhere.close()


@pytest.mark.parametrize("missing", ["TIERUP_COMMENT_TOKEN", "API", "PROJECT", "NUMBER"])
def test_a_variable_that_is_missing_is_named(fake: FakeCommentApi, script: Script, missing: str) -> None:
    github = {"API": "GITHUB_API_URL", "PROJECT": "GITHUB_REPOSITORY", "NUMBER": "TIERUP_PULL_REQUEST"}
    gitlab = {
        "API": "CI_API_V4_URL",
        "PROJECT": "CI_MERGE_REQUEST_PROJECT_ID",
        "NUMBER": "CI_MERGE_REQUEST_IID",
    }
    variable = (github if name(fake) == "github" else gitlab).get(missing, missing)
    unset: dict[str, Any] = {variable: None}
    assert script(f"{MARKER}\n$20\n", **unset) == 2
    assert variable in script.output
    assert fake.calls == []


def test_a_token_with_a_line_break_is_refused_without_being_shown(
    fake: FakeCommentApi, script: Script
) -> None:
    assert script(f"{MARKER}\n$20\n", TIERUP_COMMENT_TOKEN=f"{TOKEN}\nX-Other: y") == 2
    assert "not allowed in a token" in script.output


@pytest.mark.parametrize("text", ["", "## Cost\n", f"# Cost {MARKER}\n", "<!-- tierup-cost: -->\n"])
def test_a_text_without_the_marker_is_not_sent(fake: FakeCommentApi, script: Script, text: str) -> None:
    assert script(text) == 2
    assert "is not a marker" in script.output
    assert fake.calls == []
