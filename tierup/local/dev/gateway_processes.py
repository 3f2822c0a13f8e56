"""Decides how one gateway runs as local processes: Nginx under gateway-run.sh, and the reloader beside it."""

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
# A shell in the background has its children ignore these, and a shell cannot trap what it was started to ignore.
_SIGNALS = ("env", "--default-signal=INT,QUIT")


class LocalGateway:
    """One gateway in `folder`: start what is wanted, end what was started.

    `shared` is what Nginx and the reloader share, `template` and `config` are the reloader's files; logs are
    nginx.log and reloader.log.
    """

    def __init__(
        self, folder: Path, template: str, settings: Mapping[str, Any], nginx: Sequence[str] = ("nginx",)
    ) -> None:
        """Write the reloader's files; `settings` is gateway.json, whose `template` and `folder` are set here."""
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
        """Replace gateway.json whole; whether it says something else now, which only a new reloader reads."""
        own = {"template": str(self.template), "folder": str(self.shared)}
        text, old = json.dumps({**settings, **own}), self.config.read_text() if self.config.exists() else None
        write_whole(self.config, text)
        return text != old

    def write_template(self, text: str) -> None:
        """Replace the template whole. Nginx of root would become a user that cannot enter the folder."""
        write_whole(self.template, ("user root;\n" if os.geteuid() == 0 else "") + text)

    def start_nginx(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """gateway-run.sh; it starts Nginx once a configuration is accepted."""
        self.nginx = self._start("nginx.log", ["sh", str(RUN), str(self.shared), *self.command], environment)
        return self.nginx

    def start_reloader(self) -> subprocess.Popen[bytes]:
        """The reloader, under this interpreter."""
        self.reloader = self._start("reloader.log", [sys.executable, str(RELOADER), str(self.config)], None)
        return self.reloader

    def end(self, seconds: float) -> None:
        """Let streams end for so long, then kill what is left of everything that was ever started here."""
        running = [process for process in (self.reloader, self.nginx) if process is not None]
        for process in running:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            for process in running:
                process.wait(seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to every process group: Nginx outlives its script and its workers outlive it."""
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


def write_whole(path: Path, text: str) -> None:
    """All of a file or nothing of it: the reloader may look at any moment."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
