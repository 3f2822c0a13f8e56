"""The real Nginx, gateway-run.sh and reloader with fake engines and a template that has each marker once."""

import contextlib
import http.client
import json
from pathlib import Path
from typing import Any

from fake_model_server import FakeModelServer
from polling import DEADLINE, until
from server_logs import LoggedGateway
from small_nginx import SCRIPT, TEMPLATE, nginx_command, njs_module
from stream_load import Stream

from tierup.local.dev.gateway_processes import write_atomically
from tierup.local.machine.ports import free_port

KEY = "key-of-the-tests"
SLOTS, QUEUE = 4, 2
PROBE = {"timeout_seconds": 1.5, "failures": 2, "stalled_seconds": 3}
INTERVAL = 0.5


class SmallGateway(LoggedGateway):
    """One gateway for the model `tiny`; the lists of engines and gateways and the keys are the `site`'s."""

    def __init__(self, folder: Path, site: "Site", nginx: list[str] | None = None, **probe: float) -> None:
        self.port = free_port()
        folder.mkdir()
        (folder / "keys.js").write_text(SCRIPT)
        places = {"module": njs_module(), "folder": folder, "port": self.port}
        model = {
            "slug": "tiny",
            "source": f"file:{site.engine_list}",
            "slots": SLOTS,
            "queue": QUEUE,
            "caps": {"longform": 0.5},
            "metrics": "/metrics",
            "running": "vllm:num_requests_running",
            "progress": ["vllm:generation_tokens_total", "vllm:prompt_tokens_total"],
        }
        settings: dict[str, Any] = {
            "keys": str(site.keys),
            "certificate": None,
            "interval_seconds": INTERVAL,
            "models": [model],
            "gateways": {"source": f"file:{site.gateway_list}", "count": 1},
            "probe": {**PROBE, **probe},
        }
        command = nginx if nginx is not None else nginx_command()
        super().__init__(folder, TEMPLATE % places, settings, command)

    def start(self) -> None:
        """Start both processes and wait until the gateway responds."""
        self.start_nginx()
        self.start_reloader()
        until(self.answers, f"a gateway on port {self.port} (logs in {self.folder})")

    def answers(self) -> bool:
        """Whether Nginx responds. An open port is not enough, because `nginx -t` opens it for a moment."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        return False

    @property
    def text(self) -> str:
        """The last accepted configuration."""
        with contextlib.suppress(FileNotFoundError):
            return (self.shared / "nginx.conf").read_text()
        return ""

    def log_text(self, which: str) -> str:
        """The log of `nginx` or `reloader`."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / f"{which}.log").read_text()
        return ""

    def events(self, event: str) -> list[dict[str, Any]]:
        """The reloader's log events of one kind."""
        lines = [json.loads(line) for line in self.log_text("reloader").splitlines() if line.endswith("}")]
        return [line for line in lines if line["event"] == event]

    def uses(self, *engines: FakeModelServer) -> bool:
        """Whether exactly these engines are in the pool."""
        pool = {line.split()[1] for line in self.text.splitlines() if line.lstrip().startswith("server 1")}
        return pool == {engine.address for engine in engines} and not self.offer_pending()

    def follows(self, *engines: FakeModelServer) -> float:
        """Wait until exactly these engines are in the pool; returns the seconds it took."""
        return until(lambda: self.uses(*engines), f"the pool {[engine.address for engine in engines]}")

    def admits(self, requests: int, **headers: str) -> tuple[int, int]:
        """Send so many long streams at once; returns how many were admitted and how many refused with 429."""
        streams = [Stream(self.port, KEY, tokens=500, gap=0.1, headers=headers) for _ in range(requests)]
        statuses = [stream.status for stream in streams]
        for stream in streams:
            stream.close()
        return statuses.count(200), statuses.count(429)


class Site:
    """The environment of gateways in a cluster: engines, lists of ready engines and gateways, mounted keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine_list, self.gateway_list = folder / "engines.json", folder / "gateways.json"
        self.keys = folder / "keys"
        self.keys.mkdir()
        self.set_key("tests", KEY)
        self.engines: list[FakeModelServer] = []
        self.gateways: list[SmallGateway] = []
        self.list_gateways("gateway-0:80")

    def engine(self) -> FakeModelServer:
        self.engines.append(FakeModelServer())
        return self.engines[-1]

    def gateway(self, nginx: list[str] | None = None, **probe: float) -> SmallGateway:
        """Create a gateway without starting it."""
        folder = self.folder / f"gateway-{len(self.gateways)}"
        self.gateways.append(SmallGateway(folder, self, nginx, **probe))
        return self.gateways[-1]

    def list_engines(self, *engines: FakeModelServer) -> None:
        write_atomically(self.engine_list, json.dumps([engine.address for engine in engines]))

    def list_gateways(self, *addresses: str) -> None:
        write_atomically(self.gateway_list, json.dumps(addresses))

    def set_key(self, name: str, *values: str) -> None:
        write_atomically(self.keys / name, "\n".join(values))

    def end(self) -> None:
        for gateway in self.gateways:
            gateway.kill()
        unknown = [
            engine.control("report")["unknown"] for engine in self.engines if engine.process.poll() is None
        ]
        for engine in self.engines:
            engine.end()
        assert not any(unknown), unknown
