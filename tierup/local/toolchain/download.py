"""Download a vendor's release and check it against the checksum that the vendor publishes."""

import hashlib
import re
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import requests

from tierup.local.toolchain.install_run import InstallMethodFailed, InstallRun, last_lines
from tierup.local.toolchain.pins import Tool

CONNECT_SECONDS = 3
READ_SECONDS = 60
ANNOUNCED_BYTES = 10_000_000


def from_download(install_run: InstallRun, tool: Tool, target: Path) -> None:
    """Download the tool's release, check its published SHA-256 and write the tool to `target`."""
    assert tool.download is not None
    url = tool.fill(tool.download.url)
    name = PurePosixPath(urlsplit(url).path).name
    if url not in install_run.archives:
        folder = Path(tempfile.mkdtemp(dir=install_run.scratch))
        checksums = _fetch(install_run, tool.fill(tool.download.checksums), folder / "checksums").read_text()
        published = _published_checksum(checksums, name)
        archive = _fetch(install_run, url, folder / name)
        with archive.open("rb") as stream:
            checksum = hashlib.file_digest(stream, "sha256").hexdigest()
        if checksum != published:
            raise InstallMethodFailed(f"checksum of {url} is {checksum}, published is {published}")
        install_run.archives[url] = archive
    if tool.download.member is None:
        shutil.copyfile(install_run.archives[url], target)
    else:
        _extract(install_run.archives[url], tool.fill(tool.download.member), target)


def _fetch(install_run: InstallRun, url: str, file: Path) -> Path:
    host = urlsplit(url).netloc
    if host in install_run.unreachable:
        raise InstallMethodFailed(install_run.unreachable[host])
    try:
        with requests.get(url, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response:
            if not response.ok:
                raise InstallMethodFailed(f"{url} responds with {response.status_code} {response.reason}")
            size = int(response.headers.get("Content-Length", 0))
            if size > ANNOUNCED_BYTES:
                install_run.echo(f"        downloading {file.name}, {size / 1e6:.0f} MB")
            with file.open("wb") as stream:
                for chunk in response.iter_content(1 << 20):
                    stream.write(chunk)
    except requests.ConnectionError as error:
        install_run.unreachable[host] = f"cannot reach {host} ({_network_reason(error)})"
        raise InstallMethodFailed(install_run.unreachable[host]) from error
    except requests.RequestException as error:
        raise InstallMethodFailed(f"{url}: {last_lines(str(error))}") from error
    return file


def _network_reason(error: requests.ConnectionError) -> str:
    if isinstance(error, requests.ConnectTimeout):
        return f"no response within {CONNECT_SECONDS} s"
    text = str(error)
    reasons = {"NameResolutionError": "name not resolved", "refused": "connection refused"}
    return next((reason for pattern, reason in reasons.items() if pattern in text), last_lines(text))


def _published_checksum(text: str, name: str) -> str:
    """The SHA-256 of `name` in a checksum file: either lines of `checksum  name`, or one bare checksum."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    by_name = {PurePosixPath(row[-1].lstrip("*")).name: row[0] for row in rows if len(row) > 1}
    checksum = by_name.get(name) or (rows[0][0] if len(rows) == 1 and len(rows[0]) == 1 else "")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", checksum):
        raise InstallMethodFailed(f"the vendor's checksum file does not list {name}")
    return checksum.lower()


def _extract(archive: Path, member: str, target: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            entry = next((item for item in tar if PurePosixPath(item.name) == PurePosixPath(member)), None)
            stream = tar.extractfile(entry) if entry else None
            if stream is None:
                raise InstallMethodFailed(f"{archive.name} has no file {member}")
            with stream, target.open("wb") as out:
                shutil.copyfileobj(stream, out)
    except tarfile.TarError as error:
        raise InstallMethodFailed(f"{archive.name} cannot be unpacked: {error}") from error
