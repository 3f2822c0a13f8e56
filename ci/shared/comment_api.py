"""A client of GitHub's and GitLab's comment APIs, with retries; the token is sent only in a header to that API."""

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
_TRIES = 5  # with 1, 2, 4 and 8 s between them, unless the API says how long
_LONGEST_WAIT_SECONDS = 120  # a longer limit is an error
_HINTS = {
    401: "the token is wrong or has expired",
    403: "the token may not comment here. GitHub: the job needs `permissions: pull-requests: write`, and a pull "
    "request from a fork never gets it. GitLab: the token needs the scope `api` and a role that may comment",
    404: "no such pull request, or the token cannot see it",
}


class RequestRefused(Exception):
    """The API refused the request, and a retry would not help."""


class RetryLater(Exception):
    """A temporary failure; `after` is the API's Retry-After in seconds, or None."""

    def __init__(self, problem: str, after: float | None = None) -> None:
        super().__init__(problem)
        self.after = after


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, because urllib would send the token to the new address."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


@dataclass(frozen=True)
class Api:
    """One API: JSON over HTTP with a token in a header."""

    root: str
    headers: Mapping[str, str]

    def call(self, method: str, url: str, body: str | None = None) -> tuple[Any, Message]:
        """The response's JSON and headers; raises `RequestRefused` or `RetryLater`."""
        if not url.startswith(f"{self.root}/"):
            raise RequestRefused(f"the API points to another address than {self.root}")
        data = None if body is None else json.dumps({"body": body}).encode()
        headers = {"User-Agent": "tierup", "Content-Type": "application/json", **self.headers}
        request = urllib.request.Request(url, data=data, headers=headers, method=method)
        request_line = f"{method} {url.partition('?')[0]}"
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as response:
                return json.load(response), response.headers
        except urllib.error.HTTPError as error:
            raise _failure(request_line, error) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RetryLater(f"{request_line}: {type(error).__name__}: {error}") from None


def _failure(request_line: str, error: urllib.error.HTTPError) -> Exception:
    """Server errors and rate limits are temporary; GitHub's secondary rate limit is a 403 with Retry-After."""
    with error:
        after = error.headers.get("Retry-After")
        reason = _reason(error)
    problem = f"{request_line}: {error.code} {reason}"
    if error.code == 429 or error.code >= 500 or (error.code == 403 and after is not None):
        return RetryLater(problem, _seconds(after))
    hint = _HINTS.get(error.code)
    return RequestRefused(problem if hint is None else f"{problem} - {hint}")


def _reason(error: urllib.error.HTTPError) -> str:
    """The API's reason, on one line: GitHub would run log lines that begin with `::` as commands."""
    try:
        body = json.load(error)
        reason = body.get("message", body.get("error"))
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        reason = None
    return " ".join(str(reason if reason is not None else error.reason).split())[:300]


def _seconds(after: str | None) -> float | None:
    """Parse Retry-After, which is in seconds or a date."""
    if after is None:
        return None
    if after.strip().isdecimal():
        return float(after)
    try:
        return max(0.0, (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def with_retries(attempt: Callable[[], str], sleep: Callable[[float], None] = time.sleep) -> str:
    """Repeat all of `attempt` after a temporary failure: it then finds a comment whose creation went unconfirmed."""
    for number in range(1, _TRIES + 1):
        try:
            return attempt()
        except RetryLater as failure:
            wait = failure.after if failure.after is not None else 2.0 ** (number - 1)
            if number == _TRIES:
                raise RequestRefused(f"{failure} (tried {_TRIES} times)") from None
            if wait > _LONGEST_WAIT_SECONDS:
                raise RequestRefused(f"{failure} (asks to wait {wait:.0f} s)") from None
            print(f"{failure}; retrying in {wait:.0f} s", file=sys.stderr)
            sleep(wait)
    raise AssertionError("the last try returns or raises")
