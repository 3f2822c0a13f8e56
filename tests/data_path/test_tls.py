"""TLS at the gateway: HTTP/2, modern versions only, and a certificate that is renewed while streams run."""

import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fake_backend import FakeBackend
from gateway_stack import CHAT, GatewayStack, running
from polling import DEADLINE, until

from tierup.local.cluster.certs import Authority
from tierup.plan.model import Plan

BODY = {"messages": [{"role": "user", "content": "hello"}]}
SECRETS = frozenset({"tls-certificate", "tls-key"})


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    backend = FakeBackend("engine").start()
    yield backend
    backend.stop()
    assert backend.unknown == []


@pytest.fixture
def gateway(backend: FakeBackend, make_tier: Callable[..., Plan], tmp_path: Path) -> Iterator[GatewayStack]:
    """A gateway with a certificate of its own authority."""
    plan = make_tier(gateway={"tls": True}, secrets=SECRETS)
    certify(tmp_path / "gateway")
    engines = {plan.models[0].slug: [backend.address]}
    with running(GatewayStack(plan, tmp_path / "gateway", engines)) as stack:
        yield stack


def certify(folder: Path) -> None:
    """Replace the gateway's certificate."""
    (folder / "tls").mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as made:
        Authority(Path(made), "authority").issue("tls", "gateway")
        for name in ("tls.key", "tls.crt"):
            draft = folder / "tls" / f".{name}"
            draft.write_bytes((Path(made) / name).read_bytes())
            draft.replace(folder / "tls" / name)


def shake(gateway: GatewayStack, **settings: object) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    for name, value in settings.items():
        setattr(context, name, value)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", gateway.port), DEADLINE))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # what must be refused
def test_only_modern_tls_is_accepted_and_http_2_is_offered(gateway: GatewayStack) -> None:
    with shake(gateway) as connection:
        assert (connection.version(), connection.selected_alpn_protocol()) == ("TLSv1.3", "h2")
    with shake(gateway, maximum_version=ssl.TLSVersion.TLSv1_2) as connection:
        assert connection.version() == "TLSv1.2"
        cipher = connection.cipher()
        assert cipher is not None
        assert cipher[0].startswith("ECDHE")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        shake(gateway, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)


def test_a_chat_is_served_over_http_1_and_http_2(gateway: GatewayStack, backend: FakeBackend) -> None:
    assert gateway.ask(CHAT, BODY).status == 200
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("NOT PROVEN, there is no curl to speak HTTP/2 with")
    for size in (0, 200_000):
        body = json.dumps(BODY | {"user": "x" * size})
        options = ["--silent", "--insecure", "--http2", "--header", "Content-Type: application/json"]
        write_out = ["--write-out", "\n%{http_version} %{http_code}"]
        response = subprocess.run(
            [curl, *options, *write_out, "--data-binary", "@-", gateway.url + CHAT],
            input=body,
            capture_output=True,
            text=True,
            check=True,
        )
        assert response.stdout.splitlines()[-1] == "2 200", response
        assert backend.received[-1].json["priority"] == -30


def test_plain_http_on_the_tls_port_gets_a_clear_error(gateway: GatewayStack) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert "error" in json.loads(answer.partition(b"\r\n\r\n")[2])


def test_a_renewed_certificate_is_used_without_cutting_a_stream(
    gateway: GatewayStack, backend: FakeBackend
) -> None:
    def serial() -> bytes:
        with shake(gateway) as connection:
            certificate = connection.getpeercert(binary_form=True)
            assert certificate is not None
            return certificate

    connection = gateway.connect()
    connection.request("POST", CHAT, '{"stream": true, "hold": true}', {"Content-Type": "application/json"})
    stream = connection.getresponse()
    assert stream.readline() == b"data: first\n"
    before = serial()
    certify(gateway.folder)
    until(lambda: serial() != before, "the new certificate")
    backend.release.set()
    assert stream.read().endswith(b"data: [DONE]\n\n"), "the stream was cut"
    connection.close()
