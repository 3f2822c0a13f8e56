"""Run one gateway as local processes: Nginx, started by gateway-run.sh, and the reloader."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_TEMPLATES = Path(__file__).parents[3] / "templates"
RUN, RELOADER = _TEMPLATES / "gateway-run.sh", _TEMPLATES / "reloader.py"
_KILL_TIMEOUT_S = 30.0
# A background shell starts its children with these signals ignored, and a shell cannot trap an ignored signal.
_SIGNALS = ("env", "--default-signal=INT,QUIT")


class LocalGateway:
    """One gateway in `folder`: start its processes and end them.

    Nginx and the reloader share the folder `shared`; `template` and `config` are the reloader's files; the logs are
    nginx.log and reloader.log.
    """

    def __init__(
        self, folder: Path, template: str, settings: Mapping[str, Any], nginx: Sequence[str] = ("nginx",)
    ) -> None:
        """Write the reloader's files; `settings` is gateway.json; `template` and `folder` are set here."""
        self.folder, self.command = folder, list(nginx)
        self.shared = folder / "shared"
        self.template, self.config = folder / "nginx.conf.template", folder / "gateway.json"
        self.nginx: subprocess.Popen[bytes] | None = None
        self.reloader: subprocess.Popen[bytes] | None = None
        self.started: list[subprocess.Popen[bytes]] = []
        self.shared.mkdir(parents=True)
        self.write_template(template)
        self.write_settings(settings)

    def write_settings(self, settings: Mapping[str, Any]) -> bool:
        """Replace gateway.json atomically; returns whether it has changed, which only a new reloader reads."""
        own = {"template": str(self.template), "folder": str(self.shared)}
        text = json.dumps({**settings, **own})
        old = self.config.read_text() if self.config.exists() else None
        write_atomically(self.config, text)
        return text != old

    def write_template(self, text: str) -> None:
        """Replace the template atomically. Without `user root`, workers of root's Nginx could not enter the folder."""
        write_atomically(self.template, ("user root;\n" if os.geteuid() == 0 else "") + text)

    def start_nginx(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start gateway-run.sh, which starts Nginx once a configuration is accepted."""
        self.nginx = self._start("nginx.log", ["sh", str(RUN), str(self.shared), *self.command], environment)
        return self.nginx

    def start_reloader(self) -> subprocess.Popen[bytes]:
        """Start the reloader with this interpreter."""
        self.reloader = self._start("reloader.log", [sys.executable, str(RELOADER), str(self.config)], None)
        return self.reloader

    def offer_pending(self) -> bool:
        """Whether an offer is not handled yet; until then, Nginx may still use the configuration before it."""
        return (self.shared / "next" / "nginx.conf").exists()

    def end(self, seconds: float) -> None:
        """Terminate both processes, wait up to `seconds` for open streams, then kill the rest."""
        running = [process for process in (self.reloader, self.nginx) if process is not None]
        for process in running:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            for process in running:
                process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """Send SIGKILL to every process group: Nginx may outlive its script, and workers may outlive Nginx."""
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(_KILL_TIMEOUT_S)

    def _start(
        self, log: str, command: list[str], environment: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as out:
            process = subprocess.Popen(
                [*_SIGNALS, *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.started.append(process)
        return process


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step, because the reloader may read it at any moment."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
