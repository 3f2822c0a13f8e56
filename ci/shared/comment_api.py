"""Decides what an API's answer means: JSON, a refusal, or a reason to ask again; the token stays in its header."""

import http.client
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Any

_TIMEOUT_SECONDS = 30
_TRIES = 5  # with 1, 2, 4 and 8 s between them, where the API does not say how long
_LONGEST_WAIT_SECONDS = 120  # a limit that lasts longer is told, not waited for
_HINTS = {
    401: "the token is wrong or has expired",
    403: "the token may not comment here. GitHub: the job needs `permissions: pull-requests: write`, and a pull "
    "request from a fork never gets it. GitLab: the token needs the scope `api` and a role that may comment",
    404: "no such pull request, or the token cannot see it",
}


class Refused(Exception):
    """The API said no, and asking again would not help."""


class TryAgain(Exception):
    """The API could not answer now; `after` is how long it asks to wait, in seconds, if it says so."""

    def __init__(self, problem: str, after: float | None = None) -> None:
        super().__init__(problem)
        self.after = after


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would take the token along to wherever a redirect points."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


@dataclass(frozen=True)
class Api:
    """One forge's API: JSON over HTTP with a token in a header."""

    root: str
    headers: Mapping[str, str]

    def call(self, method: str, url: str, body: str | None = None) -> tuple[Any, Message]:
        """The answer's JSON and headers; raises `Refused` or `TryAgain`."""
        if not url.startswith(f"{self.root}/"):
            raise Refused(f"the API points to another address than {self.root}")
        data = None if body is None else json.dumps({"body": body}).encode()
        headers = {"User-Agent": "tierup", "Content-Type": "application/json", **self.headers}
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        what = f"{method} {url.partition('?')[0]}"
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return json.load(answer), answer.headers
        except urllib.error.HTTPError as error:
            raise _failure(what, error) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TryAgain(f"{what}: {type(error).__name__}: {error}") from None


def _failure(what: str, error: urllib.error.HTTPError) -> Exception:
    """Too many requests and a server's own trouble pass; GitHub's second limit is a 403 with Retry-After."""
    with error:
        after = error.headers.get("Retry-After")
        said = _said(error)
    problem = f"{what}: {error.code} {said}"
    if error.code == 429 or error.code >= 500 or (error.code == 403 and after is not None):
        return TryAgain(problem, _seconds(after))
    hint = _HINTS.get(error.code)
    return Refused(problem if hint is None else f"{problem} - {hint}")


def _said(error: urllib.error.HTTPError) -> str:
    """What the API gives as its reason, on one line: a log takes lines that begin with `::` for commands."""
    try:
        told = json.load(error)
        reason = told.get("message", told.get("error"))
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        reason = None
    return " ".join(str(reason if reason is not None else error.reason).split())[:300]


def _seconds(after: str | None) -> float | None:
    """Retry-After is seconds or a date."""
    if after is None:
        return None
    if after.strip().isdecimal():
        return float(after)
    try:
        return max(0.0, (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def keep_trying(attempt: Callable[[], str], sleep: Callable[[float], None] = time.sleep) -> str:
    """All of `attempt` again after what passes: a comment that was created while its answer was lost is found then."""
    for tried in range(1, _TRIES + 1):
        try:
            return attempt()
        except TryAgain as again:
            wait = again.after if again.after is not None else 2.0 ** (tried - 1)
            if tried == _TRIES:
                raise Refused(f"{again} (tried {_TRIES} times)") from None
            if wait > _LONGEST_WAIT_SECONDS:
                raise Refused(f"{again} (asks to wait {wait:.0f} s)") from None
            print(f"{again}; again in {wait:.0f} s", file=sys.stderr)
            sleep(wait)
    raise AssertionError("the last try returns or raises")
