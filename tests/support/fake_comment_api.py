"""Fakes of GitHub's and GitLab's comment APIs over HTTP: paged as the real ones, failing on unknown requests."""

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "tok-3f9a8c-not-to-be-seen"
_PLAIN_HEADERS = {"host", "connection", "accept-encoding", "content-length", "user-agent", "content-type"}


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trouble:
    """An answer in place of the real one; with `after_all` the request is carried out nevertheless."""

    method: str
    answer: Answer
    after_all: bool = False


class Unknown(Exception):
    """A request that the fake does not know."""


class FakeCommentApi:
    """The common part of both fakes: a server on a free loopback port, its comments, and what went wrong."""

    prefix = ""
    us: str | int  # who the token writes as
    page_limit = 100

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.trouble: list[Trouble] = []  # in order; each is used up by one call of its method
        self.calls: list[str] = []
        self.errors: list[str] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                got = fake.take(self.command, self.path, self.headers, body)
                sent = json.dumps(got.body).encode()
                self.send_response(got.status)
                for name, value in {**got.headers, "Content-Length": str(len(sent))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.server.server_address[1]}{self.prefix}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def take(self, method: str, target: str, headers: Message, body: bytes) -> Answer:
        """The answer to one call, 500 where anything about it is unknown."""
        self.calls.append(f"{method} {target}")
        try:
            self.check_headers(headers)
            parts = urlsplit(target)
            query = {
                key: value
                for key, (value,) in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()
            }
            planned = next((one for one in self.trouble if one.method == method), None)
            if planned is None:
                return self.route(method, parts.path.removeprefix(self.prefix), query, body)
            self.trouble.remove(planned)
            if planned.after_all:
                self.route(method, parts.path.removeprefix(self.prefix), query, body)
            return planned.answer
        except (Unknown, ValueError, KeyError) as error:
            self.errors.append(f"{method} {target}: {type(error).__name__} {error}")
            return Answer(500, {"message": "the fake does not know this"})

    def check_headers(self, headers: Message) -> None:
        want = self.wanted_headers()
        for name, value in want.items():
            if headers.get_all(name) != [value]:
                raise Unknown(f"header {name} is not what the API wants")
        if more := {name.lower() for name in headers} - {name.lower() for name in want} - _PLAIN_HEADERS:
            raise Unknown(f"headers {more}")

    def wanted_headers(self) -> dict[str, str]:
        raise NotImplementedError

    def route(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        raise NotImplementedError

    def add(self, author: Any, body: str, **more: Any) -> dict[str, Any]:
        comment = {"id": 1000 + len(self.comments), "body": body, **self.written_by(author), **more}
        self.comments.append(comment)
        return comment

    def written_by(self, author: Any) -> dict[str, Any]:
        raise NotImplementedError

    def page(self, query: dict[str, str], allowed: set[str]) -> tuple[int, int, list[dict[str, Any]]]:
        """Number and size of the requested page, and its comments."""
        if query.keys() - allowed:
            raise Unknown(f"query {query}")
        size, number = min(int(query.get("per_page", 20)), self.page_limit), int(query.get("page", 1))
        return number, size, self.comments[(number - 1) * size : number * size]

    def text(self, body: bytes, longest: int) -> str:
        comment = json.loads(body)
        if comment.keys() != {"body"} or not isinstance(comment["body"], str):
            raise Unknown("this is not a comment")
        if not 0 < len(comment["body"]) <= longest:
            raise Unknown(f"a comment of {len(comment['body'])} characters")
        return str(comment["body"])

    def one(self, number: str) -> dict[str, Any]:
        return next(comment for comment in self.comments if comment["id"] == int(number))


class FakeGitHub(FakeCommentApi):
    """Comments of pull request 5 of acme/llm."""

    prefix = "/api/v3"
    us = "github-actions[bot]"

    def wanted_headers(self) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {TOKEN}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        }

    def written_by(self, author: Any) -> dict[str, Any]:
        return {"user": None if author is None else {"login": author}}

    def route(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        listed = re.fullmatch(r"/(?:repos/acme/llm|repositories/7)/issues/5/comments", path)
        single = re.fullmatch(r"/repos/acme/llm/issues/comments/(\d+)", path)
        if listed and method == "GET":
            number, size, page = self.page(query, {"per_page", "page"})
            last = max(1, -(-len(self.comments) // size))
            # The real one gives its links by the repository's number.
            url = f"{self.root}/repositories/7/issues/5/comments?per_page={size}&page="
            links = [f'<{url}{number - 1}>; rel="prev"'] if number > 1 else []
            links += (
                [f'<{url}{number + 1}>; rel="next"', f'<{url}{last}>; rel="last"'] if number < last else []
            )
            return Answer(200, page, {"Link": ", ".join(links)} if links else {})
        if listed and method == "POST":
            return Answer(201, self.add(self.us, self.text(body, 65_536)))
        if single and method == "PATCH":
            comment = self.one(single[1])
            comment["body"] = self.text(body, 65_536)
            return Answer(200, comment)
        raise Unknown(path)


class FakeGitLab(FakeCommentApi):
    """Notes of merge request 5 of project 7; the token belongs to user 42."""

    prefix = "/api/v4"
    us = 42

    def wanted_headers(self) -> dict[str, str]:
        return {"PRIVATE-TOKEN": TOKEN}

    def written_by(self, author: Any) -> dict[str, Any]:
        return {"author": {"id": author}}

    def route(self, method: str, path: str, query: dict[str, str], body: bytes) -> Answer:
        notes = "/projects/7/merge_requests/5/notes"
        single = re.fullmatch(rf"{notes}/(\d+)", path)
        if path == "/user" and method == "GET":
            return Answer(200, {"id": self.us})
        if path == notes and method == "GET":
            number, size, page = self.page(query, {"per_page", "page", "sort", "order_by"})
            if (query["sort"], query["order_by"]) != ("asc", "created_at"):
                raise Unknown("an order that is not the comments' age")
            following = str(number + 1) if number * size < len(self.comments) else ""
            return Answer(200, page, {"X-Page": str(number), "X-Next-Page": following})
        if path == notes and method == "POST":
            return Answer(201, self.add(self.us, self.text(body, 1_000_000), system=False))
        if single and method == "PUT":
            note = self.one(single[1])
            if note["author"]["id"] != self.us:
                return Answer(403, {"message": "403 Forbidden"})
            note["body"] = self.text(body, 1_000_000)
            return Answer(200, note)
        raise Unknown(path)
