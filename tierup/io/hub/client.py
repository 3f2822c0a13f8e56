"""A client of the model hub for small files: bounded in time and size, with one message for each failure."""

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import urllib3
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy, should_bypass_proxies

from tierup.findings.model import TierError
from tierup.io.files import UnreadableFile, parse_json

PUBLIC_HUB = "https://huggingface.co"
MOST_OF_A_FILE = 64 * 2**20  # the longest index of weights has 20 MiB
MOST_REDIRECTS = 5
CONNECT_SECONDS, READ_SECONDS, ALL_SECONDS = 10.0, 20.0, 90.0
_CHUNK = 2**16


class HubError(TierError):
    """The hub did not give what was asked for; the message says why and what to do."""


@dataclass(frozen=True)
class Way:
    """How the hub is reached. `proxies` are by scheme, as in the environment; `authorities` are PEM, beside the public
    ones; `ca_file` is a file of more of them.
    """

    url: str = PUBLIC_HUB
    proxies: Mapping[str, str] = field(default_factory=dict)
    no_proxy: str = ""
    authorities: str | None = None
    ca_file: str | None = None
    token: str | None = None
    seconds: float = ALL_SECONDS


class Hub:
    """Asks one hub; every answer must come before the time that began with the first question is over."""

    def __init__(self, way: Way) -> None:
        if way.token and not way.url.startswith("https://"):
            raise HubError(f"the token would travel unencrypted to {way.url} - use https, or unset HF_TOKEN")
        self._way, self._ends = way, time.monotonic() + way.seconds
        self._context = _trusting(way)

    def info(self, repo: str, revision: str) -> dict[str, Any]:
        """What the hub says of a repository at a branch, a tag or a commit: commit, files with sizes, model card."""
        found = self._json(
            f"/api/models/{repo}/revision/{quote(revision, safe='')}?blobs=true", f"{repo}@{revision}"
        )
        if not isinstance(found, dict):
            raise HubError(f"{self._way.url} answers for {repo} with no JSON object - is it a model hub?")
        return found

    def file(self, repo: str, commit: str, name: str) -> dict[str, Any]:
        """The JSON object in a file of the repository."""
        found = self._json(f"/{repo}/resolve/{commit}/{quote(name)}", f"{name} of {repo}")
        if not isinstance(found, dict):
            raise HubError(f"{name} of {repo} is not a JSON object - the repository is not one of a model")
        return found

    def _json(self, path: str, what: str) -> Any:
        url = self._way.url.rstrip("/") + path
        for _ in range(MOST_REDIRECTS + 1):
            status, headers, body = self._get(url, what)
            if status not in (301, 302, 303, 307, 308):
                break
            url = self._followed(url, headers.get("location", ""))
        if status != 200:
            raise HubError(_refusal(status, headers, what, self._way))
        try:
            return parse_json(body.decode("utf-8"), what)
        except (UnicodeDecodeError, UnreadableFile) as error:
            raise HubError(f"{what}: the answer of {_host(url)} is not JSON - is it a model hub?") from error

    def _followed(self, url: str, location: str) -> str:
        target = urljoin(url, location)
        if urlsplit(target).scheme not in ("http", "https") or (
            url.startswith("https://") and target.startswith("http://")
        ):
            raise HubError(
                f"{_host(url)} leads on to {target[:100]}, which is not followed - name another hub"
            )
        return target

    def _get(self, url: str, what: str) -> tuple[int, Mapping[str, str], bytes]:
        self._in_time(what)
        try:
            with self._pool(url) as pool:
                answer = pool.request(
                    "GET",
                    url,
                    headers=self._headers(url),
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                )
                try:
                    return (
                        answer.status,
                        {key.lower(): value for key, value in answer.headers.items()},
                        self._read(answer, what),
                    )
                finally:
                    answer.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise HubError(
                f"{what}: {_host(url)} cannot be reached: {_reason(error)} - check tierup:network of "
                "--stack, or HF_ENDPOINT, HTTPS_PROXY and SSL_CERT_FILE; or read a folder with --from"
            ) from error

    def _read(self, answer: urllib3.BaseHTTPResponse, what: str) -> bytes:
        content = bytearray()
        while chunk := answer.read1(_CHUNK):  # what has come, however little
            content += chunk
            if len(content) > MOST_OF_A_FILE:
                raise HubError(f"{what} has more than {MOST_OF_A_FILE // 2**20} MiB - it is no such file")
            self._in_time(what)
        return bytes(content)

    def _in_time(self, what: str) -> None:
        if time.monotonic() > self._ends:
            seconds = f"{self._way.seconds:g} s"
            raise HubError(f"{what}: the hub took more than {seconds} - try again later, or use --from")

    def _headers(self, url: str) -> dict[str, str]:
        """The token is for the hub alone, not for a host that it leads on to."""
        plain = {"User-Agent": "tierup", "Accept": "application/json"}
        own = self._way.token and _host(url) == _host(self._way.url)
        return {**plain, "Authorization": f"Bearer {self._way.token}"} if own else plain

    def _pool(self, url: str) -> urllib3.PoolManager:
        proxy = (
            None
            if should_bypass_proxies(url, self._way.no_proxy)
            else select_proxy(url, dict(self._way.proxies))
        )
        if proxy is None:
            return urllib3.PoolManager(ssl_context=self._context)
        return urllib3.ProxyManager(proxy, ssl_context=self._context, proxy_ssl_context=self._context)


def _trusting(way: Way) -> ssl.SSLContext:
    context = ssl.create_default_context()  # with those of the system, and of SSL_CERT_FILE
    try:
        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
        if way.ca_file:
            context.load_verify_locations(way.ca_file)
        if way.authorities:
            context.load_verify_locations(cadata=way.authorities)
    except (OSError, ssl.SSLError) as error:
        raise HubError(
            f"the authorities in {way.ca_file or 'caBundle'} cannot be read: {error} - name a PEM file"
        ) from error
    return context


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _reason(error: Exception) -> str:
    """The innermost reason, without the names of objects that a library puts around it."""
    inner = getattr(error, "reason", None)
    while isinstance(inner, Exception):
        error, inner = inner, getattr(inner, "reason", None)
    return " ".join(str(error).rpartition(": ")[2].split()) or type(error).__name__


def _refusal(status: int, headers: Mapping[str, str], what: str, way: Way) -> str:
    code, hub = headers.get("x-error-code", ""), _host(way.url)
    if code == "GatedRepo" or status == 403:
        return f"{what} is gated - accept its terms at {hub}, and set HF_TOKEN to a token of that account"
    if status == 401 or code == "RepoNotFound":
        fix = "check the name" if way.token else "check the name; for a private one set HF_TOKEN"
        return f"{hub} has no {what.partition('@')[0]}, or it is private - {fix}"
    if code == "RevisionNotFound":
        return f"{hub} has no such commit, branch or tag: {what} - check what is after the @"
    if status == 404:
        return f"{hub} has no {what} - check the name, and that it is a model hub"
    if status == 429:
        return f"{hub} refuses for now: too many requests - try again later, or set HF_TOKEN"
    return f"{what}: {hub} answers with status {status} - try again later, or use --from"
