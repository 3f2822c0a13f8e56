#!/usr/bin/env python3
"""Write a stack's cost as one comment of a pull request: update our comment with the stack's marker, or create it.

    cost_comment.py github|gitlab FILE

FILE's first line is the marker, `<!-- tierup-cost:STACK -->`. Needs only Python. From the environment:

    both    TIERUP_COMMENT_TOKEN (sent in a header; never printed, never sent to another address)
    github  GITHUB_API_URL, GITHUB_REPOSITORY, TIERUP_PULL_REQUEST (its number)
    gitlab  CI_API_V4_URL, CI_MERGE_REQUEST_PROJECT_ID, CI_MERGE_REQUEST_IID

Exit codes: 0 there is one comment with this text, 1 the API refused or cannot be reached, 2 usage.
"""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from comment_api import Api, RequestRefused, with_retries

_MARKER = re.compile(r"<!-- tierup-cost:\S+ -->")
_HEADER_VALUE = re.compile(r"[!-~]+")
_GITHUB_BOT = "github-actions[bot]"  # the user of a job's own token


class Usage(Exception):
    """A wrong argument or a missing variable."""


@dataclass(frozen=True)
class GitHub:
    """Comments of a pull request, which are the comments of the issue with its number."""

    api: Api
    repository: str
    number: str

    def own_comments(self) -> Iterator[tuple[str, str]]:
        """Address and text of each comment of the workflow's user, oldest first."""
        issues = f"{self.api.root}/repos/{self.repository}/issues"
        url: str | None = f"{issues}/{self.number}/comments?per_page=100"
        while url is not None:
            page, headers = self.api.call("GET", url)
            for comment in page:
                user = comment["user"]  # null if the account was deleted
                if user is not None and user["login"] == _GITHUB_BOT:
                    yield f"{issues}/comments/{comment['id']}", str(comment["body"])
            following = re.search(r'<([^>]+)>;\s*rel="next"', headers.get("Link", ""))
            url = following[1] if following else None

    def create(self, text: str) -> None:
        self.api.call("POST", f"{self.api.root}/repos/{self.repository}/issues/{self.number}/comments", text)

    def update(self, address: str, text: str) -> None:
        self.api.call("PATCH", address, text)


@dataclass(frozen=True)
class GitLab:
    """Notes of a merge request."""

    api: Api
    project: str
    number: str

    @property
    def _notes(self) -> str:
        return f"{self.api.root}/projects/{self.project}/merge_requests/{self.number}/notes"

    def own_comments(self) -> Iterator[tuple[str, str]]:
        """Address and text of each note that the token's owner wrote, oldest first."""
        me = self.api.call("GET", f"{self.api.root}/user")[0]["id"]
        page = "1"
        while page:
            query = f"?sort=asc&order_by=created_at&per_page=100&page={page}"
            notes, headers = self.api.call("GET", self._notes + query)
            for note in notes:
                if note["author"]["id"] == me and not note["system"]:
                    yield f"{self._notes}/{note['id']}", str(note["body"])
            page = headers.get("X-Next-Page", "")

    def create(self, text: str) -> None:
        self.api.call("POST", self._notes, text)

    def update(self, address: str, text: str) -> None:
        self.api.call("PUT", address, text)


def write_comment(forge: GitHub | GitLab, text: str) -> str:
    """Update the first comment with the text's marker, or create one; returns "updated" or "created"."""
    marker = _first_line(text)
    for address, body in forge.own_comments():
        if _first_line(body) == marker:
            forge.update(address, text)
            return "updated"
    forge.create(text)
    return "created"


def _first_line(text: str) -> str:
    return text.partition("\n")[0].rstrip("\r")


def forge_from_env(name: str, env: Mapping[str, str]) -> GitHub | GitLab:
    """The forge, from the variables of its CI."""

    def required(key: str) -> str:
        value = env.get(key, "").strip()
        if not value:
            raise Usage(f"the variable {key} is not set")
        return value

    token = required("TIERUP_COMMENT_TOKEN")
    if not _HEADER_VALUE.fullmatch(token):  # the HTTP library's error would quote the token
        raise Usage("TIERUP_COMMENT_TOKEN has characters that are not allowed in a token")
    if name == "gitlab":
        api = Api(required("CI_API_V4_URL").rstrip("/"), {"PRIVATE-TOKEN": token})
        return GitLab(api, required("CI_MERGE_REQUEST_PROJECT_ID"), required("CI_MERGE_REQUEST_IID"))
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    api = Api(required("GITHUB_API_URL").rstrip("/"), headers)
    return GitHub(api, required("GITHUB_REPOSITORY"), required("TIERUP_PULL_REQUEST"))


def _text(file: str) -> str:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{file} cannot be read: {error}") from None
    if not _MARKER.fullmatch(_first_line(text)):
        raise Usage(f"the first line of {file} is not a marker like <!-- tierup-cost:standard -->")
    return text


def main(arguments: list[str]) -> int:
    try:
        if len(arguments) != 2 or arguments[0] not in ("github", "gitlab"):
            raise Usage("usage: cost_comment.py github|gitlab FILE")
        text = _text(arguments[1])
        forge = forge_from_env(arguments[0], os.environ)
        print(f"cost comment {with_retries(lambda: write_comment(forge, text))}")
    except Usage as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RequestRefused as error:
        print(f"error: the cost comment could not be written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
