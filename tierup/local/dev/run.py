"""Run a tier as local processes and apply edits while it runs."""

import contextlib
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Self

from jinja2 import TemplateError

from tierup.findings.model import TierError
from tierup.local.dev.changes import FileWatcher
from tierup.local.dev.engines import DevEngines, DevProcess
from tierup.local.dev.gateway_live import DevGateway
from tierup.local.dev.guard import Guard
from tierup.local.dev.plan import DevError, dev_plan
from tierup.local.dev.prometheus import RULES, DevPrometheus
from tierup.local.machine.logs import root_cause
from tierup.local.toolchain import engine_env, tool
from tierup.templates import ROOT

TEMPLATES = ROOT / "templates"
POLL_SECONDS = 0.2
REPORT_SECONDS = 15  # between two lines about what the start waits for
STREAM_SECONDS = 5.0  # at the end, for open streams
_TOOLS = ("nginx", "ngx_http_js_module.so", "prometheus", "promtool")
_RELOADER_FILES = {"reloader.py", "reloader_rules.py"}
_READ_AT_START = {"gateway-run.sh"}  # it runs all the time, so an edit needs a new start
_EDIT_ERRORS = (TierError, TemplateError, ValueError, SyntaxError)


class DevRun:
    """One tier in an empty `folder`: `start` starts it, `watch` applies edits until a process ends, `with` ends it."""

    gateway: DevGateway
    prometheus: DevPrometheus

    def __init__(self, stack_file: Path, folder: Path, port: int, echo: Callable[[str], None]) -> None:
        """Check the stack file and the tools. Raises `TierError`, `DevError`, `ToolchainError`."""
        self.plan = dev_plan(stack_file)
        for name in _TOOLS:
            tool(name)
        if reason := engine_env.unsupported_reason():
            raise DevError(reason)
        self._python = engine_env.default().python()
        self.stack_file, self.folder, self.port = stack_file, folder, port
        self.engines = DevEngines()
        self._guard = Guard()
        self._cleanup = contextlib.ExitStack()
        self._echo, self._started = echo, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End every process; if this is interrupted, the guard kills the rest at once."""
        self._cleanup.close()
        self._guard.release()

    def start(self, engines: int) -> None:
        """Start every process, with `engines` engines per model; nothing serves yet.

        Raises `DevError` if the templates cannot be rendered.
        """
        self._cleanup.callback(self.engines.end)
        for model in self.plan.models:
            for _ in range(engines):
                for line in self.engines.start(self.plan, model, self._python, self.folder):
                    self.log(line)
                self._guard.watch(
                    server.process.pid for server in self.engines.processes() if server.process is not None
                )
        self._watcher = FileWatcher([TEMPLATES, RULES, self.stack_file])
        try:
            self.prometheus = DevPrometheus(self.plan, self.folder / "prometheus", self.engines.addresses)
            self._cleanup.callback(self.prometheus.end)
            self.gateway = DevGateway(self.plan, self.folder / "gateway", self.port)
        except (TemplateError, ValueError) as error:
            raise DevError(f"the templates cannot be rendered: {describe(error)}") from None
        self._cleanup.callback(self.gateway.end, STREAM_SECONDS)
        self.gateway.start_nginx()
        self.gateway.start_reloader()
        self._update_guard()
        self.log(f"started {', '.join(server.name for server in self.processes())}")

    def watch(self, ready: Callable[[], None]) -> None:
        """Apply edits until a process ends; `ready` is called once, when everything serves.

        Raises `DevError` with the root cause if a process ends.
        """
        reported_at, waiting = time.monotonic(), True
        while True:
            self._check()
            for line in self.gateway.new_log_lines():
                self.log(f"gateway: {line}")
            for name, slug in self.engines.update_ready():
                self.gateway.set_engines(slug, self.engines.ready[slug])
                self.log(f"{name} ({slug}) is ready")
            self._apply_edits()
            if waiting and not self._waiting():
                waiting = False
                ready()
            if waiting and time.monotonic() - reported_at > REPORT_SECONDS:
                reported_at = time.monotonic()
                self.log(f"waiting for {', '.join(self._waiting())}")
            time.sleep(POLL_SECONDS)

    def log(self, line: str) -> None:
        """Print a line with the seconds since the start."""
        self._echo(f"[{time.monotonic() - self._started:4.0f} s] {line}")

    def processes(self) -> list[DevProcess]:
        """Every process of the run."""
        gateway, prometheus = self.gateway, self.prometheus
        return [
            DevProcess("nginx", gateway.nginx, gateway.folder / "nginx.log"),
            DevProcess("reloader", gateway.reloader, gateway.folder / "reloader.log"),
            DevProcess("prometheus", prometheus.process, prometheus.log),
            *self.engines.processes(),
        ]

    def _update_guard(self) -> None:
        self._guard.watch(server.process.pid for server in self.processes() if server.process is not None)

    def _waiting(self) -> list[str]:
        """Names of the servers that do not serve yet."""
        ready = [address for addresses in self.engines.ready.values() for address in addresses]
        serving = {"nginx": self.gateway.serves(ready), "prometheus": self.prometheus.ready()}
        return [name for name, serves in serving.items() if not serves] + self.engines.waiting()

    def _check(self) -> None:
        """Raise `DevError` if a process has ended."""
        for server in self.processes():
            code = server.process.poll() if server.process is not None else None
            if code is not None:
                cause = root_cause(server.log.read_text(errors="replace"))
                how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
                raise DevError(f"{server.name} {how}; from {server.log}:\n{cause}")

    def _apply_edits(self) -> None:
        """Apply edited files; an edit that is not valid is reported and the old files stay in use."""
        changed = {path.name for path in self._watcher.since_last()}
        if not changed:
            return
        self.log(f"changed: {', '.join(sorted(changed))}")
        try:
            self._apply(changed)
            self.log("rendered")
        except _EDIT_ERRORS as error:
            self.log(f"not applied: {describe(error)}")
        self._update_guard()

    def _apply(self, changed: set[str]) -> None:
        plan = dev_plan(self.stack_file)
        if plan.models != self.plan.models:
            raise DevError("a change of models needs other engines - end this run and start it again")
        for name in changed & _RELOADER_FILES:
            compile((TEMPLATES / name).read_bytes(), name, "exec")
        self.plan = plan
        self.gateway.apply(plan, reloader_changed=bool(changed & _RELOADER_FILES))
        self.prometheus.reload(plan)
        if changed & _READ_AT_START:
            self.log(f"{', '.join(sorted(changed & _READ_AT_START))}: takes effect at the next start")


def describe(error: Exception) -> str:
    """An error as one message; a template error with its file and line, which Jinja puts into the traceback."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent == TEMPLATES
    ]
    return (
        f"templates/{Path(frames[-1].filename).name}:{frames[-1].lineno}: {error}" if frames else str(error)
    )
