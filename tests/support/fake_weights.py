"""Strict fakes of ModelScope and of S3-compatible storage: what they do not know they answer with 501, and note.

The storage computes the signature of each request itself, from the request line and headers as they arrived.
"""

import hashlib
import hmac
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

COMMIT = "c" * 40
TOKEN = "scope-token"
IDENTITY, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI", "eu-central-1"


class FakeStore(BaseHTTPRequestHandler):
    """One running fake; `files` is content by name.

    `cut` ends that many answers in the middle, `damaged` names a file that is damaged, `private` asks for credentials.
    """

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]]
    asked: ClassVar[list[tuple[str, str | None]]]
    paths: ClassVar[list[str]]  # as in each request's first line
    unknown: ClassVar[list[str]]
    cut: ClassVar[int] = 0
    damaged: ClassVar[str | None] = None
    private: ClassVar[bool] = False

    def log_message(self, *_: object) -> None:
        """Nothing: tests read `asked`."""

    def do_GET(self) -> None:
        """One of the fake's answers, or 501."""
        type(self).paths.append(self.path)
        if not self.answer():
            type(self).unknown.append(self.path)
            self.reply(501, b"this fake does not know it")

    def answer(self) -> bool:
        """Answer the request; false where the fake does not know it, as this one knows none."""
        return False

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, name: str) -> None:
        """A file, or what a range asks of it."""
        kind, given = type(self), self.headers.get("Range")
        kind.asked.append((name, given))
        body = self.files[name]
        if name == self.damaged:
            body = bytes(len(body))
        start = 0
        if given is not None:
            found = re.fullmatch(r"bytes=(\d+)-", given)
            assert found is not None, given
            start = int(found[1])
        if start >= len(body) and start:
            self.reply(416, b"")
            return
        self.send_response(206 if given else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if kind.cut and name.endswith(".safetensors"):
            kind.cut -= 1
            self.wfile.write(body[start : (start + len(body)) // 2])
            self.close_connection = True
            return
        self.wfile.write(body[start:])


class FakeModelScope(FakeStore):
    """`/api/v1/models/OWNER/NAME/repo/files` lists a commit, `/repo` answers with a redirect to a file's storage."""

    def answer(self) -> bool:
        parts, query = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
        if parts.path.startswith("/storage/"):
            assert self.headers.get("Cookie") is None, "the token left ModelScope"
            self.send_file(parts.path.removeprefix("/storage/"))
            return True
        if query.get("Revision") != [COMMIT] or not parts.path.startswith("/api/v1/models/acme/tiny/repo"):
            return False
        if self.private and self.headers.get("Cookie") != f"m_session_id={TOKEN}":
            self.reply(403, b"{}")
        elif parts.path.endswith("/repo/files") and query.get("Recursive") == ["True"]:
            self.reply(200, json.dumps({"Success": True, "Data": {"Files": self._listed()}}).encode())
        elif parts.path.endswith("/repo") and query["FilePath"][0] in self.files:
            self.reply(302, b"", Location=f"/storage/{query['FilePath'][0]}")
        else:
            return False
        return True

    def _listed(self) -> list[dict[str, Any]]:
        listed = [
            {"Type": "blob", "Name": name.rpartition("/")[2], "Path": name, "Sha256": sha256(body)}
            for name, body in self.files.items()
        ]
        return [{"Type": "tree", "Name": "sub", "Path": "sub", "Sha256": ""}, *listed]


class FakeS3(FakeStore):
    """Objects below `/bucket/pre/`, for requests whose signature is right."""

    def answer(self) -> bool:
        found = re.fullmatch(r"/bucket/pre/([\w./-]+)", self.path)
        if found is None:
            return False
        if self.private and self.headers.get("Authorization") != self._signature():
            self.reply(403, b"<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>")
        elif found[1] not in self.files:
            self.reply(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>")
        else:
            self.send_file(found[1])
        return True

    def _signature(self) -> str:
        given = self.headers.get("Authorization", "")
        names = re.search(r"SignedHeaders=([a-z0-9;-]+)", given)
        if names is None:
            return ""
        assert {"host", "x-amz-date", "x-amz-content-sha256"} <= {*names[1].split(";")}
        lines = "".join(f"{name}:{self.headers[name]}\n" for name in names[1].split(";"))
        canonical = f"GET\n{self.path}\n\n{lines}\n{names[1]}\n{self.headers['x-amz-content-sha256']}"
        date = self.headers["x-amz-date"]
        scope = f"{date[:8]}/{REGION}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{sha256(canonical.encode())}"
        key = b"AWS4" + SECRET.encode()
        for part in (date[:8], REGION, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        right = hmac.new(key, text.encode(), "sha256").hexdigest()
        return f"AWS4-HMAC-SHA256 Credential={IDENTITY}/{scope}, SignedHeaders={names[1]}, Signature={right}"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Running:
    """A fake that listens; `kind` is its own class, so that no test sees another's settings."""

    def __init__(self, base: type[FakeStore], files: dict[str, bytes]) -> None:
        self.kind: type[FakeStore] = type(
            base.__name__, (base,), {"files": files, "asked": [], "paths": [], "unknown": []}
        )
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self.kind)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Running":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        assert not self.kind.unknown, self.kind.unknown
