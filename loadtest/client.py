"""Decides how a server is asked: streamed chat completions over kept connections, and what each failure is called."""

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
from loadtest.profile import Profile, Words
from loadtest.prompts import ask, learn, prompt
from loadtest.samples import Outcome
from loadtest.stream import Answer, BadAnswer, error_of, read

PATH = "/v1/chat/completions"
MOST_CONNECTIONS = 10_000  # of one sending process: more than it can keep busy
WITHOUT_RETRY_AFTER = 1.0  # seconds until a refused user asks again, where the refusal does not say
_SHORT, _LONG = 20, 120  # words of the prompts that tell what a word is
_TRIES = 5


@dataclass(slots=True)
class Ended:
    """How a request ended; `retry_after` in seconds, None where a refusal does not say."""

    outcome: Outcome
    reason: str = ""
    retry_after: float | None = None


class Client:
    """One server; the key comes from the environment and is in nothing that is printed."""

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
            concurrency=MOST_CONNECTIONS,
            connection_timeout=profile.patience,
            network_timeout=profile.patience,
            ssl=url.scheme == "https",
            ssl_context_factory=_trusted,
        )

    def stream(self, body: dict[str, object], answer: Answer) -> Ended:
        """Ask, and read the answer as it comes; what has come is in `answer` also where it fails."""
        try:
            return self._streamed(body, answer)
        except BadAnswer as error:
            reason = str(error)
        except TimeoutError:
            reason = f"nothing came for {self._profile.patience:g} s"
        except HTTPConnectionClosed:
            reason = "the connection was closed before an answer"
        except HTTPParseError:
            reason = "the connection ended inside an answer"
        except Exception as error:  # whatever the network does is a result of the test
            reason = f"connection: {type(error).__name__}"
        return Ended(Outcome.FAILED, reason)

    def _streamed(self, body: dict[str, object], answer: Answer) -> Ended:
        began = time.monotonic()
        response = self._post(body)
        if response.status_code == 429:
            response.read()
            return Ended(Outcome.REFUSED, retry_after=_retry_after(response))
        if response.status_code != 200:
            raise BadAnswer(_failure(response))
        lines = iter(lambda: response.readline(b"\n"), b"")
        read(lines, lambda: time.monotonic() - began, answer)
        response.read()  # what is left of the transfer, so that the connection can be used again
        return Ended(Outcome.ANSWERED)

    def learn_words(self, chance: random.Random) -> Words:
        """What a word of our prompts is to this server, from its count of tokens for two of them.

        Raises:
            BadAnswer: it does not answer as it should, so there is nothing to test.
        """
        return learn(self._counted(_SHORT, chance), self._counted(_LONG, chance))

    def _counted(self, words: int, chance: random.Random) -> tuple[int, int]:
        body = ask(self._profile.model, prompt(words, chance), 1)
        for _ in range(_TRIES):
            try:
                response = self._post(body)
            except OSError as error:  # no connection, no such name, no valid certificate
                raise BadAnswer(f"cannot be asked: {error}") from error
            except HTTPParseError as error:
                raise BadAnswer("does not speak HTTP, or not this kind (http, https)") from error
            if response.status_code != 429:
                break
            response.read()
            after = _retry_after(response)
            gevent.sleep(after if after is not None else WITHOUT_RETRY_AFTER)
        if response.status_code != 200:
            raise BadAnswer(_failure(response))
        try:
            return words, int(json.loads(response.read())["usage"]["prompt_tokens"])
        except (ValueError, KeyError, TypeError) as error:
            raise BadAnswer("its answer does not count tokens (usage)") from error

    def _post(self, body: dict[str, object]) -> HTTPSocketPoolResponse:
        return self._http.request("POST", self._path, body=json.dumps(body).encode(), headers=self._headers)


def _trusted(**_: object) -> Any:
    """The certificates this machine trusts, or those of SSL_CERT_FILE; not a list of the client's own."""
    return gevent.ssl.create_default_context()


def _failure(response: HTTPSocketPoolResponse) -> str:
    """Status and OpenAI's error code, not the message: it may quote the request."""
    try:
        return f"HTTP {response.status_code} ({error_of(json.loads(response.read()))})"
    except ValueError:
        return f"HTTP {response.status_code}"


def _retry_after(response: HTTPResponse) -> float | None:
    """Seconds; dates are not understood and count as not said."""
    try:
        return max(0.0, float(str(response.get("retry-after"))))
    except ValueError:
        return None
