"""Run a plan's gateway on this machine: the pod's own files, with local ports and address lists in a folder."""

import contextlib
import http.client
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tierup.local.dev.gateway_processes import LocalGateway, write_atomically
from tierup.local.machine.logs import root_cause
from tierup.local.machine.ports import free_port
from tierup.local.toolchain.nginx import NginxProgram, toolchain_nginx
from tierup.manifests.gateway_files import Environment, nginx_conf, reloader_config, scripts
from tierup.plan.model import Plan

START_SECONDS = 60.0  # it takes a second on an idle machine


class PlanGateway(LocalGateway):
    """One gateway. `engines` has addresses by model slug, `keys` values by caller; both may change while it runs."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        engines: Mapping[str, Sequence[str]],
        keys: Mapping[str, Sequence[str]] | None = None,
        *,
        port: int | None = None,
        gateways: Path | None = None,
        nginx: NginxProgram | None = None,
    ) -> None:
        """Write its files; the file `gateways` lists the ready gateways (default: this one).

        `nginx` is the toolchain's by default. Raises `ToolMissing`.
        """
        program = nginx if nginx is not None else toolchain_nginx()
        self.plan = plan
        self.port = port if port is not None else free_port()
        self.status_port = free_port()
        self.keys = folder / "keys"
        self.keys.mkdir(parents=True)
        own_list = folder / "gateways.json"
        write_atomically(own_list, json.dumps([f"127.0.0.1:{self.status_port}"]))
        environment = self.environment = Environment(
            files=str(folder),
            scratch=str(folder / "shared"),
            keys=str(self.keys),
            certificate=str(folder / "tls"),
            listen=f"127.0.0.1:{self.port}",
            status_listen=f"127.0.0.1:{self.status_port}",
            access_log=str(folder / "access.log"),
            js_module=str(program.module),
            http2_directive=program.http2_directive,
            engines={slug: f"file:{folder}/engines-{slug}.json" for slug in engines},
            gateways=f"file:{gateways if gateways is not None else own_list}",
        )
        command = [str(program.path), "-e", "/dev/stderr"]
        super().__init__(folder, nginx_conf(plan, environment), reloader_config(plan, environment), command)
        for name, text in scripts(plan).items():
            (folder / name).write_text(text, encoding="utf-8")
        for slug, addresses in engines.items():
            self.set_engines(slug, addresses)
        for name, values in (keys if keys is not None else {}).items():
            self.set_key(name, values)

    @property
    def url(self) -> str:
        return f"{self.plan.gateway.scheme}://127.0.0.1:{self.port}"

    def set_engines(self, slug: str, addresses: Sequence[str]) -> None:
        """Set the ready engines of a model, which in a cluster come from DNS."""
        write_atomically(self.folder / f"engines-{slug}.json", json.dumps(list(addresses)))

    def set_key(self, name: str, values: Sequence[str]) -> None:
        """Set a caller's key; it has several values while it is rotated."""
        write_atomically(self.keys / name, "\n".join(values))

    def start(self) -> None:
        """Start both processes and wait for the status port; `TimeoutError` or `ChildProcessError` quote the logs."""
        self.start_nginx()
        self.start_reloader()
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if any(process.poll() is not None for process in self.started):
                raise ChildProcessError(f"the gateway ended:\n{self.log_errors()}")
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"the gateway does not respond after {START_SECONDS:.0f} s:\n{self.log_errors()}"
                )
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether Nginx serves. An open port is not enough, because `nginx -t` opens it for a moment."""
        return answers(f"127.0.0.1:{self.status_port}", "/healthz")

    def log_errors(self) -> str:
        """The root causes in both logs."""
        logs = [self.folder / name for name in ("nginx.log", "reloader.log")]
        return "\n".join(
            f"{log}: {root_cause(log.read_text(errors='replace'))}" for log in logs if log.exists()
        )


def answers(address: str, path: str) -> bool:
    """Whether a GET of this path returns 200 within a second."""
    host, _, port = address.rpartition(":")
    probe = http.client.HTTPConnection(host, int(port), timeout=1)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(probe):
        probe.request("GET", path)
        return probe.getresponse().status == 200
    return False
