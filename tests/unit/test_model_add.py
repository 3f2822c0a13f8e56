"""`tierup model add`: what a stack keeps of a repository, from a hub as the public one is, or offline."""

import contextlib
import http.server
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
from command import Command, Result, make_project
from own_models import FILES, LEGAL, SUPPORT

from tierup.catalog import load_catalog
from tierup.catalog.repository import Repository, read_repository
from tierup.io.hub.client import Hub, HubError, Way
from tierup.io.stack.read import read_stack
from tierup.local.cluster.certs import self_signed
from tierup.local.cluster.hub_server import Hub as FakeHub
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse

COMMIT = "5d1c0b9ea42f4d31a0d0e1f28b6f7c9e3a5d7c11"
REPO = "acme/support-7b"
STACK = (
    "config:\n  tierup:workload: {users: 40}\n  tierup:nodes: {server: standard-2x-a100-80g-pcie, count: 1}\n"
    "  tierup:models: [{id: qwen2.5-7b}]\n"
)


class QuietServer(http.server.ThreadingHTTPServer):
    """A client that leaves is what these tests are about: nothing is printed of it."""

    def handle_error(self, *_about: object) -> None:
        pass


@dataclass
class Served:
    """A running hub: its address, the files that it has, and each request with its token."""

    url: str
    folder: Path
    asked: list[tuple[str, str | None]] = field(default_factory=list)

    @property
    def repository(self) -> Path:
        return self.folder / REPO / COMMIT

    def card(self, **values: Any) -> None:
        (self.folder / REPO / "card.json").write_text(json.dumps(values))


def write_model(folder: Path, file: dict[str, Any], **others: Any) -> None:
    """The files of a repository of which `file` is known; of each file of weights, only its size."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {f"layer.{number}": name for number, name in enumerate(file["safetensors"]["files"])}
    texts = {"config.json": file["config"], "generation_config.json": file["generationConfig"]}
    texts["model.safetensors.index.json"] = {"metadata": {"total_size": 1}, "weight_map": weights}
    for name, value in (texts | others).items():
        if value is not None:
            (folder / name).write_text(json.dumps(value))
    for name, size in file["safetensors"]["files"].items():
        with (folder / name).open("wb") as sparse:
            sparse.truncate(size)


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    """Starts hubs; the last one is where HF_ENDPOINT leads."""
    servers: list[http.server.HTTPServer] = []

    def start(answers: type[FakeHub] = FakeHub, context: ssl.SSLContext | None = None) -> Served:
        folder = tmp_path / f"hub-{len(servers)}"
        served = Served("", folder)
        write_model(folder / REPO / COMMIT, json.loads(FILES[SUPPORT]))
        (folder / REPO / "refs.json").write_text(json.dumps({"main": COMMIT, "v1.2": COMMIT, "a/b": COMMIT}))
        served.card(
            pipeline_tag="text-generation",
            cardData={"license": "apache-2.0", "base_model": ["Qwen/Qwen2.5-7B-Instruct"]},
        )

        class Recording(answers):  # type: ignore[misc, valid-type]
            def do_GET(self) -> None:
                served.asked.append((self.path, self.headers.get("Authorization")))
                super().do_GET()

            def log_message(self, *_words: object) -> None:
                pass

        Recording.folder = folder
        server = QuietServer(("127.0.0.1", 0), Recording)
        if context is not None:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        served.url = f"http{'s' if context else ''}://localhost:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        return served

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def stacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the stack files of a new project, without a way to any hub."""
    (tmp_path / "project").mkdir()
    folder = make_project(tmp_path / "project", {"own": STACK})
    monkeypatch.chdir(folder)
    for name in (
        "HF_TOKEN",
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "SSL_CERT_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://localhost:9")
    return folder


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stacks: Path) -> Command:
    assert stacks.is_dir()
    return Command(monkeypatch, capsys)


def written(stacks: Path) -> Repository:
    return read_repository((stacks / SUPPORT).read_text(encoding="utf-8"))


def assert_refused(result: Result, stacks: Path, *words: str, code: int = 1) -> None:
    """One message with a reason and what to do, and nothing written."""
    assert result.code == code, result
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert re.match(r"error: .+ - .+", result.err)
    for word in words:
        assert word in result.err
    assert [path for path in stacks.rglob("*") if path.name != "Pulumi.own.yaml" and path.is_file()] == []


@pytest.mark.parametrize("revision", ["", "@v1.2", "@a/b", f"@{COMMIT}"])
def test_a_repository_of_the_hub_is_pinned_and_its_stack_plans(
    revision: str, serve: Callable[..., Served], stacks: Path, tierup: Command
) -> None:
    hub = serve()
    result = tierup("model", "add", f"{REPO}{revision}", "--stack", "own")
    assert (result.code, result.err) == (0, "")
    kept, expected = written(stacks), read_repository(FILES[SUPPORT])
    assert kept.source == f"{hub.url}/{REPO}/tree/{COMMIT}"
    same = {"source": expected.source, "as_of": expected.as_of}
    assert kept.model_copy(update=same) == expected
    text = (stacks / "Pulumi.own.yaml").read_text(encoding="utf-8")
    lines = result.out[result.out.index("  - source:") : result.out.index("Then:")]
    added = "".join(f"  {line}\n" for line in lines.splitlines())
    (stacks / "Pulumi.own.yaml").write_text(text.replace(" [{id: qwen2.5-7b}]\n", f"\n{added}"))
    (model,) = make_plan(parse(read_stack(stacks / "Pulumi.own.yaml")), load_catalog()).models
    assert model.origin == f"{REPO}@{COMMIT}"
    assert not any(path.endswith(".safetensors") for path, _ in hub.asked)  # weights are not fetched


def test_a_folder_needs_no_network(stacks: Path, tierup: Command, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots" / COMMIT
    write_model(folder, json.loads(FILES[SUPPORT]))
    (folder / "README.md").write_text(
        "---\nlicense: apache-2.0\nbase_model: Qwen/Qwen2.5-7B-Instruct\n"
        "pipeline_tag: text-generation\n---\n# Support\n"
    )
    assert tierup("model", "add", REPO, "--from", str(folder)).code == 0
    kept, expected = written(stacks), read_repository(FILES[SUPPORT])
    assert kept.model_copy(update={"source": expected.source, "as_of": expected.as_of}) == expected
    assert str(tmp_path) not in (stacks / SUPPORT).read_text(encoding="utf-8")


def test_a_folder_with_the_configuration_alone_takes_the_index_s_word(
    stacks: Path, tierup: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    write_model(folder, json.loads(FILES[SUPPORT]))
    for path in folder.glob("*.safetensors"):
        path.unlink()
    assert_refused(tierup("model", "add", REPO, "--from", str(folder)), stacks, "does not say its commit")
    assert tierup("model", "add", f"{REPO}@{COMMIT}", "--from", str(folder)).code == 0
    sizes = written(stacks).safetensors
    assert sizes is not None
    assert (sizes.total_bytes, sizes.files) == (1, {})


def test_a_mixture_of_experts_is_added_as_any_other(stacks: Path, tierup: Command, tmp_path: Path) -> None:
    file = json.loads(FILES[LEGAL])
    write_model(tmp_path / "moe", file)
    result = tierup("model", "add", f"acme/legal-30b-a3b@{file['revision']}", "--from", str(tmp_path / "moe"))
    assert (
        "bf16, 56.9 GiB of files; Qwen3MoeForCausalLM with 30.5B parameters; licence not stated" in result.out
    )
    assert "not validated: no measurement of mixtures of experts" in result.out
    assert (stacks / LEGAL).is_file()


@pytest.mark.parametrize(
    ("name", "content", "precision"),
    [
        (
            "hf_quant_config.json",
            {"quantization": {"quant_algo": "FP8"}},
            "fp8",
        ),
        ("quantize_config.json", {"bits": 4, "group_size": 128}, "gptq-int4"),
        ("quant_config.json", {"w_bit": 4, "q_group_size": 128, "zero_point": True}, "awq"),
    ],
)
def test_a_quantization_in_a_file_of_its_own_is_kept(
    name: str, content: dict[str, Any], precision: str, tierup: Command, tmp_path: Path
) -> None:
    write_model(tmp_path / "files", json.loads(FILES[SUPPORT]), **{name: content})
    result = tierup("model", "add", f"{REPO}@{COMMIT}", "--from", str(tmp_path / "files"))
    assert f"written: {precision}, " in result.out
    assert written(Path.cwd()).quantization_config is not None


def test_an_older_file_is_replaced_and_a_failure_leaves_it(
    serve: Callable[..., Served], stacks: Path, tierup: Command
) -> None:
    (stacks / "models").mkdir()
    (stacks / SUPPORT).write_text("old")
    assert tierup("model", "add", REPO).code == 1
    assert (stacks / SUPPORT).read_text() == "old"
    serve()
    assert tierup("model", "add", REPO).code == 0
    assert written(stacks).revision == COMMIT


def test_a_file_of_another_commit_is_replaced_with_a_word_about_the_stacks_that_name_it(
    serve: Callable[..., Served], stacks: Path, tierup: Command
) -> None:
    (stacks / "models").mkdir()
    (stacks / SUPPORT).write_text(FILES[SUPPORT].replace(COMMIT, "0" * 40))
    serve()
    assert f"It was of {'0' * 40}" in tierup("model", "add", REPO).out
    assert "It was of" not in tierup("model", "add", REPO).out


def test_a_gated_repository_says_which_secret_the_stack_needs(
    serve: Callable[..., Served], stacks: Path, tierup: Command
) -> None:
    hub = serve()
    hub.card(pipeline_tag="text-generation", gated="manual")
    assert "the stack needs the secret hub-token" in tierup("model", "add", REPO).out
    assert written(stacks).gated


def test_a_reranker_is_refused_before_a_stack_names_it(
    serve: Callable[..., Served], stacks: Path, tierup: Command
) -> None:
    serve().card(pipeline_tag="text-ranking")
    assert_refused(tierup("model", "add", REPO), stacks, "text-ranking")


def secured(tmp_path: Path) -> tuple[str, ssl.SSLContext]:
    """A certificate of a company's own, as PEM, and a server that shows it."""
    certificate, key = self_signed("localhost")
    (tmp_path / "hub.pem").write_text(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "hub.pem")
    return certificate, context


def network(stacks: Path, **keys: Any) -> None:
    """Write how the stack's cluster reaches the hub."""
    (stacks / "Pulumi.own.yaml").write_text(f"{STACK}  tierup:network: {json.dumps(keys)}\n")


def test_a_gated_repository_needs_a_token_which_no_other_host_gets(
    serve: Callable[..., Served],
    stacks: Path,
    tierup: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate, context = secured(tmp_path)
    store = serve(context=context)

    class Gated(FakeHub):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != "Bearer hf_right":
                self._json(HTTPStatus.UNAUTHORIZED, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
            elif "/resolve/" in self.path:  # as the hub leads on to the store of its files
                self._json(HTTPStatus.TEMPORARY_REDIRECT, {}, {"Location": f"{store.url}{self.path}"})
            else:
                super().do_GET()

    hub = serve(Gated, context)
    hub.card(gated="manual", cardData={"license": "other", "license_name": "acme-terms"})
    network(stacks, hubUrl=hub.url, caBundle=certificate)
    untouched = (stacks / "Pulumi.own.yaml").read_text()
    refused = tierup("model", "add", REPO, "--stack", "own")
    assert_refused(refused, stacks, f"{REPO}@main is gated", "HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert tierup("model", "add", REPO, "--stack", "own").code == 0
    kept = written(stacks)
    assert (kept.gated, kept.license) == (True, "acme-terms")
    assert {token for _, token in store.asked} == {None}
    assert "hf_right" not in (stacks / SUPPORT).read_text()
    assert (stacks / "Pulumi.own.yaml").read_text() == untouched


def test_a_token_does_not_travel_unencrypted(
    serve: Callable[..., Served], stacks: Path, tierup: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = serve()
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert_refused(tierup("model", "add", REPO), stacks, "unencrypted")
    assert hub.asked == []


def test_a_hub_with_an_unknown_certificate_is_refused(
    serve: Callable[..., Served],
    stacks: Path,
    tierup: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate, context = secured(tmp_path)
    serve(context=context)
    assert_refused(tierup("model", "add", REPO), stacks, "cannot be reached", "self-signed certificate")
    (tmp_path / "ca.pem").write_text(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert tierup("model", "add", REPO).code == 0


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers requests for any host with the files of one hub, and remembers their whole addresses."""

    asked: ClassVar[list[str]] = []
    hub = ""

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.partition("//")[2].partition("/")[2]
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{self.hub}/{path}", timeout=10)
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_words: object) -> None:
        pass


@pytest.mark.parametrize("way", ["stack", "environment"])
def test_a_proxy_is_asked_except_for_hosts_without_one(
    way: str, serve: Callable[..., Served], stacks: Path, tierup: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = serve()
    server = QuietServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    proxy, Proxy.hub = f"http://127.0.0.1:{server.server_port}", hub.url
    Proxy.asked.clear()
    try:
        for name, no_proxy in (("http://hub.example.test", "other.test"), (hub.url, "localhost")):
            if way == "stack":
                network(stacks, hubUrl=name, proxy=proxy, noProxy=[no_proxy])
            else:
                monkeypatch.setenv("HF_ENDPOINT", name)
                monkeypatch.setenv("HTTP_PROXY", proxy)
                monkeypatch.setenv("http_proxy", proxy)
                monkeypatch.setenv("NO_PROXY", no_proxy)
                monkeypatch.setenv("no_proxy", no_proxy)
            result = tierup("model", "add", REPO, "--stack", "own")
            assert result.code == 0, result.err
    finally:
        server.shutdown()
        server.server_close()
    assert Proxy.asked
    assert all(url.startswith("http://hub.example.test/") for url in Proxy.asked)


def answers(status: HTTPStatus, body: bytes = b"", **headers: str) -> type[FakeHub]:
    class Broken(FakeHub):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

    return Broken


BROKEN: list[tuple[str, type[FakeHub], tuple[str, ...]]] = [
    ("page", answers(HTTPStatus.OK, b"<html>sign in</html>"), ("not JSON", "is it a model hub?")),
    ("list", answers(HTTPStatus.OK, b"[]"), ("no JSON object",)),
    ("no-commit", answers(HTTPStatus.OK, b'{"sha": "main"}'), ("names no commit",)),
    ("cut-off", answers(HTTPStatus.OK, b'{"sha": ', Content_Length="900"), ("main",)),
    ("busy", answers(HTTPStatus.SERVICE_UNAVAILABLE), ("status 503", "try again later")),
    ("too-many", answers(HTTPStatus.TOO_MANY_REQUESTS), ("too many requests",)),
    (
        "private",
        answers(HTTPStatus.UNAUTHORIZED, X_Error_Code="RepoNotFound"),
        ("no acme/support-7b, or it is private",),
    ),
    ("elsewhere", answers(HTTPStatus.FOUND, Location="file:///etc/passwd"), ("not followed",)),
    ("in-a-circle", answers(HTTPStatus.FOUND, Location="/again"), ("status 302",)),
]


@pytest.mark.parametrize(("answer", "words"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_hub_that_fails_is_one_message(
    answer: type[FakeHub], words: tuple[str, ...], serve: Callable[..., Served], stacks: Path, tierup: Command
) -> None:
    serve(answer)
    assert_refused(tierup("model", "add", REPO), stacks, *words)


def test_a_slow_hub_is_given_up(
    serve: Callable[..., Served],
) -> None:
    class Dripping(FakeHub):
        def do_GET(self) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    self.wfile.write(b" ")
                    time.sleep(0.05)

    begun = time.monotonic()
    with pytest.raises(HubError, match="took more than"):
        Hub(Way(serve(Dripping).url, seconds=0.5)).info(REPO, "main")
    assert time.monotonic() - begun < 3


def test_no_hub_at_all_is_one_message(stacks: Path, tierup: Command) -> None:
    assert_refused(tierup("model", "add", REPO), stacks, "http://localhost:9 cannot be reached", "--from")


CHANGES: list[tuple[str, Callable[[Path], Any], str]] = [
    ("unknown", lambda files: files.rename(files.with_name("0" * 40)), "no such commit, branch or tag"),
    (
        "adapter",
        lambda files: (files / "config.json").rename(files / "adapter_config.json"),
        "models[].adapters",
    ),
    ("gguf", lambda files: (files / "config.json").rename(files / "q4.gguf"), "GGUF files alone"),
    ("empty", lambda files: (files / "config.json").rename(files / "x.json"), "has no config.json"),
    (
        "bin",
        lambda files: [path.rename(path.with_suffix(".bin")) for path in files.glob("*.safetensors")],
        "no safetensors files",
    ),
    ("list", lambda files: (files / "config.json").write_text("[1]"), "not a JSON object"),
    (
        "encoder",
        lambda files: (files / "config.json").write_text('{"architectures": ["BertModel"]}'),
        "not a decoder: architectures BertModel",
    ),
    (
        "unknown-architecture",
        lambda files: (files / "config.json").write_text('{"architectures": ["FreshForCausalLM"]}'),
        "FreshForCausalLM is not known to be sized right",
    ),
]


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_repository_that_cannot_be_served_is_refused(
    change: Callable[[Path], Any], words: str, serve: Callable[..., Served], stacks: Path, tierup: Command
) -> None:
    hub = serve()
    change(hub.repository)
    assert_refused(tierup("model", "add", REPO), stacks, words)


def test_an_unknown_repository_is_refused(
    serve: Callable[..., Served], stacks: Path, tierup: Command
) -> None:
    serve()
    assert_refused(tierup("model", "add", "acme/other"), stacks, "has no acme/other")


@pytest.mark.parametrize("word", ["acme", "acme/a/b", "../..", "acme/a@", "acme/a@-x", "acme/a b"])
def test_a_wrong_name_is_refused_before_anything_is_asked(word: str, stacks: Path, tierup: Command) -> None:
    assert_refused(tierup("model", "add", word), stacks, word, code=2)


def test_a_stack_file_with_a_wrong_network_is_refused(stacks: Path, tierup: Command) -> None:
    network(stacks, hubUrl="ftp://hub")
    result = tierup("model", "add", REPO, "--stack", "own")
    assert result.code == 1
    assert "network.hubUrl" in result.err
    assert not (stacks / "models").exists()
