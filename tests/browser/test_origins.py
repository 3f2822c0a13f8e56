"""A page in a real browser calls the gateway: only if the stack file names its origin, and it can read errors then."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_backend import FakeBackend
from gateway_stack import CHAT, GatewayStack, running
from small_nginx import find_nginx

from tierup.local.machine.ports import free_port
from tierup.plan.model import Plan

PAGE = """<body>waiting<script>
fetch("%(url)s", {
    method: "POST",
    headers: {"Authorization": "Bearer %(key)s", "Content-Type": "application/json"},
    body: '{"messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}',
}).then(async (answer) => {
    const id = answer.headers.get("X-Request-Id") !== null;
    document.body.textContent = "status " + answer.status + ", id " + id + ", " + await answer.text();
}).catch((error) => { document.body.textContent = "refused: " + error; });
</script></body>"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server of pages: its origin and its folder."""
    folder = tmp_path / "pages"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    backend = FakeBackend("engine").start()
    yield backend
    backend.stop()


@pytest.fixture
def visit(
    browse: Callable[..., str],
    site: tuple[str, Path],
    backend: FakeBackend,
    make_plan: Callable[..., Plan],
    tmp_path: Path,
) -> Callable[[str | None, str], str]:
    """Opens the page before a gateway that allows an origin (None: the page's own); the browser's document then."""
    find_nginx()
    origin, pages = site

    def visited(allowed: str | None, key: str) -> str:
        settings = {"allowedOrigins": [origin if allowed is None else allowed], "keys": {"web": {}}}
        plan = make_plan(
            models=[{"id": "qwen2.5-7b", "replicas": 1}],
            gateway={"replicas": 1, **settings},
            secrets=frozenset({"key-web"}),
        )
        engines = {plan.models[0].slug: [backend.address]}
        with running(GatewayStack(plan, tmp_path / "gateway", engines, {"web": ["key-of-web"]})) as gateway:
            page = PAGE % {"url": f"{gateway.url}{CHAT}", "key": key}
            (pages / "index.html").write_text(page, encoding="utf-8")
            return browse(f"{origin}/index.html", "--virtual-time-budget=20000", "--dump-dom")

    return visited


@pytest.mark.parametrize(
    ("allowed", "key", "shown"),
    [
        (None, "key-of-web", "status 200, id true"),
        (None, "nobody-s", "status 401, id true"),
        ("https://chat.example.com", "key-of-web", "refused: TypeError"),
    ],
    ids=["allowed", "an error", "another origin"],
)
def test_a_page_calls_the_gateway(
    visit: Callable[[str | None, str], str],
    backend: FakeBackend,
    allowed: str | None,
    key: str,
    shown: str,
) -> None:
    assert shown in visit(allowed, key)
    assert len(backend.received) == (shown == "status 200, id true")
