#!/usr/bin/env python3
"""Decides which comment of a pull request holds a stack's cost: ours that begins with its marker, else a new one.

    cost_comment.py github|gitlab FILE

FILE's first line is the marker, `<!-- tierup-cost:STACK -->`. Needs only Python. From the environment:

    both    TIERUP_COMMENT_TOKEN (travels in a header; never printed, and never sent to another address)
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

from comment_api import Api, Refused, keep_trying

_MARKER = re.compile(r"<!-- tierup-cost:\S+ -->")
_HEADER_VALUE = re.compile(r"[!-~]+")
_GITHUB_BOT = "github-actions[bot]"  # who a job's own token writes as


class Usage(Exception):
    """The script was not given what it needs."""


@dataclass(frozen=True)
class GitHub:
    """Comments of a pull request: those of the issue with its number."""

    api: Api
    repository: str
    number: str

    def ours(self) -> Iterator[tuple[str, str]]:
        """Address and text of each comment of the workflow's own, oldest first."""
        issues = f"{self.api.root}/repos/{self.repository}/issues"
        url: str | None = f"{issues}/{self.number}/comments?per_page=100"
        while url is not None:
            page, headers = self.api.call("GET", url)
            for comment in page:
                user = comment["user"]  # null where the account is gone
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

    def ours(self) -> Iterator[tuple[str, str]]:
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


def put(forge: GitHub | GitLab, text: str) -> str:
    """Update the first comment with the text's marker, or create one; what was done."""
    marker = _first_line(text)
    for address, body in forge.ours():
        if _first_line(body) == marker:
            forge.update(address, text)
            return "updated"
    forge.create(text)
    return "created"


def _first_line(text: str) -> str:
    return text.partition("\n")[0].rstrip("\r")


def forge_of(name: str, env: Mapping[str, str]) -> GitHub | GitLab:
    """The forge as its CI's variables describe it."""

    def need(key: str) -> str:
        value = env.get(key, "").strip()
        if not value:
            raise Usage(f"the variable {key} is not set")
        return value

    token = need("TIERUP_COMMENT_TOKEN")
    if not _HEADER_VALUE.fullmatch(token):  # the HTTP library's own message would quote it
        raise Usage("TIERUP_COMMENT_TOKEN has characters that no token has")
    if name == "gitlab":
        api = Api(need("CI_API_V4_URL").rstrip("/"), {"PRIVATE-TOKEN": token})
        return GitLab(api, need("CI_MERGE_REQUEST_PROJECT_ID"), need("CI_MERGE_REQUEST_IID"))
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    api = Api(need("GITHUB_API_URL").rstrip("/"), headers)
    return GitHub(api, need("GITHUB_REPOSITORY"), need("TIERUP_PULL_REQUEST"))


def _text(file: str) -> str:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{file} cannot be read: {error}") from None
    if not _MARKER.fullmatch(_first_line(text)):
        raise Usage(f"the first line of {file} is not a marker like <!-- tierup-cost:standard -->")
    return text


def main(words: list[str]) -> int:
    try:
        if len(words) != 2 or words[0] not in ("github", "gitlab"):
            raise Usage("usage: cost_comment.py github|gitlab FILE")
        text = _text(words[1])
        forge = forge_of(words[0], os.environ)
        print(f"cost comment {keep_trying(lambda: put(forge, text))}")
    except Usage as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 2
    except Refused as refused:
        print(f"error: the cost comment could not be written: {refused}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
