"""Fetch model files from ModelScope or S3-compatible storage, with Python's standard library alone.

Every file has a SHA-256 from a list that is read first: ModelScope's own list of a commit, or the file SHA256SUMS
in the storage, whose own SHA-256 the stack file pins. A file has its name only once it is complete and checked.
"""

import datetime
import hashlib
import hmac
import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

MODEL_SCOPE = "https://www.modelscope.cn"
SUMS = "SHA256SUMS"
ATTEMPTS = 5  # of one file, each from the byte at which the one before stopped; then the pod starts again
TIMEOUT_SECONDS = 60  # without a byte
BLOCK = 1 << 20
NOTHING = hashlib.sha256().hexdigest()  # of the body of a GET
Open = Callable[[str, int], http.client.HTTPResponse]  # a file's name, and the byte at which to begin


class Changed(OSError):
    """What was fetched is not what the list says."""


def fetch(wanted: dict, folder: Path, ignored: list[str]) -> None:
    """Download every file of the source's list that matches none of the patterns `ignored`.

    Raises OSError for a file that is missing or differs. It is removed, so that the next attempt fetches it again.
    """
    source = {"modelScope": model_scope, "s3": s3}[wanted["from"]]
    files, opened = source(wanted)
    chosen = {name: sum_ for name, sum_ in files.items() if not any(fnmatch(name, item) for item in ignored)}
    if not chosen:
        raise OSError("the list names no file")
    for name, checksum in sorted(chosen.items()):
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise OSError(f"the list names a file outside of its folder: {name}")
        if not path.is_file():  # else an earlier attempt has checked it
            download(name, checksum, path, opened)


def download(name: str, checksum: str, path: Path, opened: Open) -> None:
    """Download one file beside its name, go on where a connection ended, check it, and give it its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    for attempt in range(ATTEMPTS):
        try:
            transfer(name, part, opened)
            break
        except (OSError, http.client.HTTPException) as error:
            if attempt + 1 == ATTEMPTS or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                raise OSError(f"{name}: {reason(error)}") from error
            time.sleep(2**attempt)
    if digest(part) != checksum:
        part.unlink()
        raise Changed(f"{name} differs from its checksum")
    part.replace(path)


def transfer(name: str, part: Path, opened: Open) -> None:
    """Append to `part` what it lacks of the file."""
    size = part.stat().st_size if part.exists() else 0
    try:
        answer = opened(name, size)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not size:
            raise
        return  # the file ends where the part does
    with answer, part.open("ab") as output:
        if size and answer.status != 206:
            output.truncate(0)  # the server does not know ranges
        while block := answer.read(BLOCK):
            output.write(block)
        if answer.length:
            raise ConnectionError(f"the connection ended {answer.length} bytes too early")


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    checksum = hashlib.sha256()
    with path.open("rb") as content:
        while block := content.read(BLOCK):
            checksum.update(block)
    return checksum.hexdigest()


def reason(error: Exception) -> str:
    """What a server says about an error; S3 says it in XML."""
    if not isinstance(error, urllib.error.HTTPError):
        return str(error)
    said = re.findall(r"<(?:Code|Message)>([^<]*)<", error.read(10_000).decode(errors="replace"))
    return " ".join([f"HTTP {error.code}", *said])


def opener(*handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    """Opens URLs through the proxy of the environment, and trusts the authorities that the hub's client trusts."""
    authorities = os.environ.get("SSL_CERT_FILE")
    if authorities is None:
        import certifi

        authorities = certifi.where()
    context = ssl.create_default_context(cafile=authorities)
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), *handlers)


def request(url: str, start: int = 0) -> urllib.request.Request:
    """A request for a file from the byte `start` on, as it is stored."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    return urllib.request.Request(url, headers={"Accept-Encoding": "identity", **headers})


def model_scope(wanted: dict) -> tuple[dict[str, str], Open]:
    """The files of a commit at ModelScope with their checksums, and how to open one."""
    host, token = wanted["endpoint"] or MODEL_SCOPE, os.environ.get("MODELSCOPE_API_TOKEN")
    base, client = f"{host}/api/v1/models/{wanted['repo']}/repo", opener()

    def get(path: str, start: int = 0, **query: str) -> http.client.HTTPResponse:
        asked = request(f"{base}{path}?{urllib.parse.urlencode(query)}", start)
        if token:  # not for the storage to which ModelScope sends the client on
            asked.add_unredirected_header("Cookie", f"m_session_id={token}")
        return client.open(asked, timeout=TIMEOUT_SECONDS)

    commit = wanted["revision"]
    try:
        with get("/files", Revision=commit, Recursive="True") as answer:
            listed = json.load(answer)
    except urllib.error.HTTPError as error:
        raise OSError(reason(error)) from error
    if not listed.get("Success") or not listed.get("Data"):
        raise OSError(f"ModelScope says: {listed.get('Message')}")
    blobs = [item for item in listed["Data"].get("Files") or [] if item["Type"] == "blob"]
    files = {item["Path"]: item["Sha256"] for item in blobs if not item["Name"].startswith(".git")}
    return files, lambda name, start: get("", start, Revision=commit, FilePath=name)


def s3(wanted: dict) -> tuple[dict[str, str], Open]:
    """The files of SHA256SUMS in a bucket with their checksums, and how to open one."""
    client = opener(NoRedirect())

    def get(name: str, start: int = 0) -> http.client.HTTPResponse:
        asked = request(object_url(wanted, name), start)
        sign(asked, wanted["region"], datetime.datetime.now(datetime.UTC))
        return client.open(asked, timeout=TIMEOUT_SECONDS)

    try:
        with get(SUMS) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise OSError(f"{SUMS}: {reason(error)}") from error
    if hashlib.sha256(text).hexdigest() != wanted["sha256"]:
        raise Changed(
            f"{SUMS} has the SHA-256 {hashlib.sha256(text).hexdigest()}, and the stack file another"
        )
    lines = re.findall(r"^([0-9a-f]{64}) [ *](?:\./)?(.+)$", text.decode(), re.MULTILINE)
    return {name: checksum for checksum, name in lines if name != SUMS}, get


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """S3 sends clients on from a wrong region; a signature holds for one host only."""

    def redirect_request(self, *_):
        return None


def object_url(wanted: dict, name: str) -> str:
    """The URL of an object: with the bucket in the path, or in the name of the host."""
    bucket, _, prefix = wanted["url"].removeprefix("s3://").partition("/")
    endpoint = wanted["endpoint"] or f"https://s3.{wanted['region']}.amazonaws.com"
    scheme, _, host = endpoint.rstrip("/").partition("://")
    key = urllib.parse.quote(f"{prefix.strip('/')}/{name}".lstrip("/"), safe="/-_.~")
    return (
        f"{scheme}://{host}/{bucket}/{key}" if wanted["path_style"] else f"{scheme}://{bucket}.{host}/{key}"
    )


def sign(asked: urllib.request.Request, region: str, now: datetime.datetime) -> None:
    """Sign a request with AWS's signature version 4, if there are credentials; else it is anonymous."""
    identity, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not identity or not secret:
        return
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    asked.add_header("x-amz-content-sha256", NOTHING)
    asked.add_header("x-amz-date", moment)
    signed = {name.lower(): value for name, value in asked.header_items() if name != "Accept-encoding"}
    lines = "".join(f"{name}:{value}\n" for name, value in sorted({**signed, "host": asked.host}.items()))
    names = ";".join(sorted([*signed, "host"]))
    path = urllib.parse.urlsplit(asked.full_url).path
    canonical = f"GET\n{path}\n\n{lines}\n{names}\n{NOTHING}"
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    asked.add_header(
        "Authorization",
        f"AWS4-HMAC-SHA256 Credential={identity}/{scope}, SignedHeaders={names}, Signature={signature}",
    )
