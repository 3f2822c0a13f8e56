"""Ask a Prometheus for values: its HTTP API, or that of anything that speaks it (Thanos, Mimir, VictoriaMetrics)."""

import os
from typing import Any
from urllib.parse import urlsplit

import requests

from tierup.findings.model import TierError

TOKEN = "TIERUP_PROMETHEUS_TOKEN"  # the variable with a bearer token, where the server asks for one
_SECONDS = (5.0, 60.0)  # to connect, and between two parts of an answer: a week of samples takes seconds
_MOST_OF_A_MESSAGE = 300  # characters of a server's own words


class PrometheusError(TierError):
    """The server cannot be asked, or does not answer as Prometheus does."""


class Prometheus:
    """A server; raises PrometheusError if its URL is none."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PrometheusError(
                f"{url} is no URL of a Prometheus - write it as http://127.0.0.1:9090, with the path that it is under"
            )
        if parts.username is not None or parts.password is not None:
            raise PrometheusError(
                f"the URL of {parts.hostname} has a password in it - set {TOKEN}, or ask through a forwarded port"
            )
        self._url = url.rstrip("/")
        self._host = parts.netloc

    def value(self, query: str) -> float | None:
        """The value of a query that gives one sample; None if there is none. Raises PrometheusError."""
        data = self._get(query)
        result = data.get("result")
        if data.get("resultType") != "vector" or not isinstance(result, list) or len(result) > 1:
            raise PrometheusError(f"{self._host} answers {query} with something else than one sample")
        try:
            return float(result[0]["value"][1]) if result else None
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PrometheusError(f"{self._host} answers {query} with a sample without a value") from error

    def _get(self, query: str) -> dict[str, Any]:
        token = os.environ.get(TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            answer = requests.get(
                f"{self._url}/api/v1/query",
                params={"query": query},
                headers=headers,
                timeout=_SECONDS,
                allow_redirects=False,  # it would take the token elsewhere
            )
            content = answer.json()
        except requests.JSONDecodeError as error:
            raise PrometheusError(
                f"{self._host} answers with {answer.status_code} and no JSON - is it a Prometheus, at this path?"
            ) from error
        except (requests.RequestException, UnicodeError) as error:
            raise PrometheusError(
                f"{self._host} cannot be reached: {_reason(error)} - is its port forwarded?"
            ) from error
        if not isinstance(content, dict) or content.get("status") != "success":
            reason = content.get("error") if isinstance(content, dict) else None
            raise PrometheusError(f"{self._host} refuses {query}: {str(reason)[:_MOST_OF_A_MESSAGE]}")
        data = content.get("data")
        return data if isinstance(data, dict) else {}


def _reason(error: Exception) -> str:
    """The innermost cause, which says more than the library's own words."""
    while (cause := error.__cause__ or error.__context__) is not None and isinstance(cause, Exception):
        error = cause
    return str(error)[:_MOST_OF_A_MESSAGE] or type(error).__name__
