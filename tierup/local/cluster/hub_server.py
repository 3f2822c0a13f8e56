"""A fake model hub: the part of the public hub's HTTP interface by which its client downloads pinned revisions, and
by which `tierup model add` asks for a repository.

    python hub_server.py FOLDER ADDRESS PORT CERTIFICATE KEY [BYTES_PER_SECOND]

FOLDER has a folder ORGANISATION/NAME/REVISION for each revision that it knows; any other is answered with 404, and a
request that the clients do not need with 501. A file ORGANISATION/NAME/refs.json beside them may have the commits of
branches and tags by name, and card.json what the hub says of the model besides its files. It listens with TLS, and
sends files at the given speed.
"""

import contextlib
import hashlib
import http.server
import json
import re
import ssl
import sys
import time
from functools import cache
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote, urlsplit

TREE = re.compile(r"/api/models/([^/]+/[^/]+)/tree/([0-9a-f]{40})")
FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([0-9a-f]{40})/(.+)")
INFO = re.compile(r"/api/models/([^/]+/[^/]+)/revision/(.+)")
RANGE = re.compile(r"bytes=(\d+)-")
LARGE = {".safetensors", ".gguf"}  # files that the hub stores by their SHA-256
BLOCK = 1 << 16


@cache  # as of the first request: a file that changes later no longer has it, as after a fault of a disk
def checksum(path: Path) -> str:
    """What the hub names a file by: the SHA-256 of a large one, the SHA-1 of its Git blob of another."""
    content = path.read_bytes()
    if path.suffix in LARGE:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers HEAD and GET."""

    protocol_version = "HTTP/1.1"
    folder = Path()
    bytes_per_second: float = float("inf")

    def do_HEAD(self) -> None:
        """The headers of a file."""
        self.do_GET()

    def do_GET(self) -> None:
        """A revision's files as JSON, or one file."""
        path = unquote(urlsplit(self.path).path)
        if match := INFO.fullmatch(path):
            self._info(*match.groups())
        elif match := TREE.fullmatch(path):
            self._tree(*match.groups())
        elif match := FILE.fullmatch(path):
            self._file(*match.groups())
        else:
            self._json(HTTPStatus.NOT_IMPLEMENTED, {"error": f"this fake hub has no {path}"})

    def _info(self, repository: str, name: str) -> None:
        beside = self.folder / repository
        known = {path.stem: json.loads(path.read_text()) for path in beside.glob("*.json")}
        commit = known.get("refs", {}).get(name, name)
        root = beside / commit
        if not re.fullmatch("[0-9a-f]{40}", commit) or not root.is_dir():
            self._missing("RevisionNotFound" if beside.is_dir() else "RepoNotFound")
            return
        sized = "blobs=true" in self.path
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        siblings = [
            {"rfilename": str(path.relative_to(root))} | ({"size": path.stat().st_size} if sized else {})
            for path in files
        ]
        card = {"gated": False, "private": False, "tags": [], **known.get("card", {})}
        self._json(HTTPStatus.OK, {"id": repository, "sha": commit, **card, "siblings": siblings})

    def _tree(self, repository: str, revision: str) -> None:
        root = self.folder / repository / revision
        if not root.is_dir():
            self._missing("RepoNotFound" if not root.parent.is_dir() else "RevisionNotFound")
            return
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        self._json(HTTPStatus.OK, [_listed(path, str(path.relative_to(root))) for path in files])

    def _file(self, repository: str, revision: str, name: str) -> None:
        root = (self.folder / repository / revision).resolve()
        path = (root / name).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            self._missing("EntryNotFound")
            return
        size = path.stat().st_size
        match = RANGE.match(self.headers.get("Range", ""))
        start = int(match[1]) if match is not None else 0
        self.send_response(HTTPStatus.PARTIAL_CONTENT if match is not None else HTTPStatus.OK)
        if match is not None:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("X-Repo-Commit", revision)
        self.send_header("ETag", f'"{checksum(path)}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if self.command == "GET":
            self._send(path, start)

    def _send(self, path: Path, start: int) -> None:
        # The client may leave in the middle.
        with contextlib.suppress(ConnectionError), path.open("rb") as content:
            content.seek(start)
            while block := content.read(BLOCK):
                self.wfile.write(block)
                time.sleep(len(block) / self.bytes_per_second)

    def _missing(self, code: str) -> None:
        self._json(HTTPStatus.NOT_FOUND, {"error": code}, {"X-Error-Code": code})

    def _json(self, status: HTTPStatus, body: object, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _listed(path: Path, name: str) -> dict[str, object]:
    listed = {"type": "file", "path": name, "size": path.stat().st_size}
    if path.suffix in LARGE:
        lfs = {"oid": checksum(path), "size": listed["size"], "pointerSize": 130}
        return {**listed, "oid": "0" * 40, "lfs": lfs}
    return {**listed, "oid": checksum(path)}


def main() -> None:
    """Serve until the process is ended."""
    folder, address, port, certificate, key, *speed = sys.argv[1:]
    Hub.folder = Path(folder)
    if speed:
        Hub.bytes_per_second = float(speed[0])
    server = http.server.ThreadingHTTPServer((address, int(port)), Hub)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    # Each connection shakes hands in its own thread, so that a slow one holds up no other.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
