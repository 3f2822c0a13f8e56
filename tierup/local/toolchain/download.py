"""How a vendor's release is fetched and checked against the vendor's own checksum."""

import hashlib
import re
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests

from tierup.local.toolchain.pins import Tool
from tierup.local.toolchain.workshop import WayFailed, Workshop, short

CONNECT_SECONDS = 3
READ_SECONDS = 60
ANNOUNCED_BYTES = 10_000_000


def from_download(shop: Workshop, tool: Tool, target: Path) -> None:
    """Fetch the vendor's release and check it against the vendor's published SHA-256."""
    assert tool.download is not None
    url = tool.fill(tool.download.url)
    name = PurePosixPath(urlsplit(url).path).name
    if url not in shop.archives:
        folder = Path(tempfile.mkdtemp(dir=shop.scratch))
        sums = _fetch(shop, tool.fill(tool.download.checksums), folder / "checksums").read_text()
        wanted = _published_sum(sums, name)
        archive = _fetch(shop, url, folder / name)
        with archive.open("rb") as stream:
            got = hashlib.file_digest(stream, "sha256").hexdigest()
        if got != wanted:
            raise WayFailed(f"checksum of {url} is {got}, published is {wanted}")
        shop.archives[url] = archive
    if tool.download.member is None:
        shutil.copyfile(shop.archives[url], target)
    else:
        _extract(shop.archives[url], tool.fill(tool.download.member), target)


def _fetch(shop: Workshop, url: str, file: Path) -> Path:
    host = urlsplit(url).netloc
    if host in shop.unreachable:
        raise WayFailed(shop.unreachable[host])
    try:
        with requests.get(url, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as answer:
            if not answer.ok:
                raise WayFailed(f"{url} answers {answer.status_code} {answer.reason}")
            size = int(answer.headers.get("Content-Length", 0))
            if size > ANNOUNCED_BYTES:
                shop.echo(f"        downloading {file.name}, {size / 1e6:.0f} MB")
            with file.open("wb") as stream:
                for chunk in answer.iter_content(1 << 20):
                    stream.write(chunk)
    except requests.ConnectionError as error:
        shop.unreachable[host] = f"cannot reach {host} ({_network_reason(error)})"
        raise WayFailed(shop.unreachable[host]) from error
    except requests.RequestException as error:
        raise WayFailed(f"{url}: {short(str(error))}") from error
    return file


def _network_reason(error: requests.ConnectionError) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return f"no answer within {CONNECT_SECONDS} s"
    text = str(error)
    known = {"NameResolutionError": "name not resolved", "refused": "connection refused"}
    return next((reason for sign, reason in known.items() if sign in text), short(text))


def _published_sum(text: str, name: str) -> str:
    """The SHA-256 of `name` in a checksum file: `sum  name` lines, or the bare sum of a file of its own."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    named = {PurePosixPath(words[-1].lstrip("*")).name: words[0] for words in lines if len(words) > 1}
    found = named.get(name) or (lines[0][0] if len(lines) == 1 and len(lines[0]) == 1 else "")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", found):
        raise WayFailed(f"the vendor's checksum file does not list {name}")
    return found.lower()


def _extract(archive: Path, member: str, target: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            entry = next((item for item in tar if PurePosixPath(item.name) == PurePosixPath(member)), None)
            stream = tar.extractfile(entry) if entry else None
            if stream is None:
                raise WayFailed(f"{archive.name} has no file {member}")
            with stream, target.open("wb") as out:
                shutil.copyfileobj(stream, out)
    except tarfile.TarError as error:
        raise WayFailed(f"{archive.name} cannot be unpacked: {error}") from error
