"""An HTTP client for streamed chat completions that keeps connections open and names each failure."""

import json
import random
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import gevent
import gevent.ssl
from geventhttpclient.client import HTTPClient
from geventhttpclient.response import (
    HTTPConnectionClosed,
    HTTPParseError,
    HTTPResponse,
    HTTPSocketPoolResponse,
)

from loadtest.key import api_key
from loadtest.profile import Profile, TokenRatio
from loadtest.prompts import chat_request, fit_token_ratio, random_prompt
from loadtest.samples import Outcome
from loadtest.stream import Answer, BadAnswer, error_of, read

PATH = "/v1/chat/completions"
MAX_CONNECTIONS = 10_000  # of the sending process: more than it can use
DEFAULT_RETRY_SECONDS = 1.0  # if a 429 has no Retry-After
_SHORT, _LONG = 20, 120  # words in the two prompts that measure tokens per word
_TRIES = 5


@dataclass(slots=True)
class RequestResult:
    """How a request ended; `retry_after` is in seconds, None if a refusal has no Retry-After."""

    outcome: Outcome
    reason: str = ""
    retry_after: float | None = None


class Client:
    """A client of one server. The API key comes from the environment and is never printed."""

    def __init__(self, profile: Profile) -> None:
        url, key = urlsplit(profile.url), api_key()
        self._profile = profile
        self._path = url.path.rstrip("/").removesuffix("/v1") + PATH
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._http = HTTPClient(
            url.hostname if url.hostname is not None else "",
            port=url.port,
            concurrency=MAX_CONNECTIONS,
            connection_timeout=profile.timeout,
            network_timeout=profile.timeout,
            ssl=url.scheme == "https",
            ssl_context_factory=_ssl_context,
        )

    def stream(self, body: dict[str, object], answer: Answer) -> RequestResult:
        """Send a request and read its stream into `answer`, which keeps what was received before a failure."""
        try:
            return self._streamed(body, answer)
        except BadAnswer as error:
            reason = str(error)
        except TimeoutError:
            reason = f"no data for {self._profile.timeout:g} s"
        except HTTPConnectionClosed:
            reason = "the connection was closed before an answer"
        except HTTPParseError:
            reason = "the connection ended inside an answer"
        except Exception as error:  # noqa: BLE001 - any network error is a result of the test
            reason = f"connection: {type(error).__name__}"
        return RequestResult(Outcome.FAILED, reason)

    def _streamed(self, body: dict[str, object], answer: Answer) -> RequestResult:
        start = time.monotonic()
        response = self._post(body)
        if response.status_code == 429:
            response.read()
            return RequestResult(Outcome.REFUSED, retry_after=_retry_after(response))
        if response.status_code != 200:
            raise BadAnswer(_failure(response))
        lines = iter(lambda: response.readline(b"\n"), b"")
        read(lines, lambda: time.monotonic() - start, answer)
        response.read()  # the rest of the transfer, so that the connection can be reused
        return RequestResult(Outcome.ANSWERED)

    def measure_token_ratio(self, rng: random.Random) -> TokenRatio:
        """Tokens per word on this server, from its token counts of two prompts.

        Raises:
            BadAnswer: the server does not answer correctly, so the test cannot run.
        """
        return fit_token_ratio(self._count_tokens(_SHORT, rng), self._count_tokens(_LONG, rng))

    def _count_tokens(self, words: int, rng: random.Random) -> tuple[int, int]:
        body = chat_request(self._profile.model, random_prompt(words, rng), 1)
        for _ in range(_TRIES):
            try:
                response = self._post(body)
            except OSError as error:  # no connection, unknown host or invalid certificate
                raise BadAnswer(f"cannot be reached: {error}") from error
            except HTTPParseError as error:
                raise BadAnswer("does not speak HTTP, or the wrong one of http and https") from error
            if response.status_code != 429:
                break
            response.read()
            after = _retry_after(response)
            gevent.sleep(after if after is not None else DEFAULT_RETRY_SECONDS)
        if response.status_code != 200:
            raise BadAnswer(_failure(response))
        try:
            return words, int(json.loads(response.read())["usage"]["prompt_tokens"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadAnswer("its answer has no token counts (usage)") from error

    def _post(self, body: dict[str, object]) -> HTTPSocketPoolResponse:
        return self._http.request("POST", self._path, body=json.dumps(body).encode(), headers=self._headers)


def _ssl_context(**_: object) -> Any:
    """The certificates that the machine or SSL_CERT_FILE trusts, not the client's own list."""
    return gevent.ssl.create_default_context()


def _failure(response: HTTPSocketPoolResponse) -> str:
    """Status and OpenAI error code; not the message, which may quote the request."""
    try:
        return f"HTTP {response.status_code} ({error_of(json.loads(response.read()))})"
    except ValueError:
        return f"HTTP {response.status_code}"


def _retry_after(response: HTTPResponse) -> float | None:
    """Seconds of Retry-After; None if it is missing or a date."""
    try:
        return max(0.0, float(str(response.get("retry-after"))))
    except ValueError:
        return None
