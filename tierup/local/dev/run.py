"""Decides how a tier runs as local processes for people who edit it: what starts, what is told, when it ends."""

import contextlib
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Self

from jinja2 import TemplateError

from tierup.findings.model import TierError
from tierup.local.dev.changes import Changes
from tierup.local.dev.engines import DevEngines, Part
from tierup.local.dev.gateway_live import DevGateway
from tierup.local.dev.guard import Guard
from tierup.local.dev.plan import DevError, dev_plan
from tierup.local.dev.prometheus import RULES, DevPrometheus
from tierup.local.machine.logs import root_cause
from tierup.local.toolchain import engine_env, tool
from tierup.templates import ROOT

TEMPLATES = ROOT / "templates"
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 15  # between two lines that say what is waited for
STREAM_SECONDS = 5.0  # for streams when it ends
_TOOLS = ("nginx", "ngx_http_js_module.so", "prometheus", "promtool")
_RELOADER = {"reloader.py", "reloader_rules.py"}
_LATER = {"gateway-run.sh"}  # runs from the start to the end
_REFUSALS = (TierError, TemplateError, ValueError, SyntaxError)


class DevRun:
    """One tier in an empty `folder`: `with` starts it and ends it, `watch` keeps it until something dies."""

    gateway: DevGateway
    prometheus: DevPrometheus

    def __init__(self, stack_file: Path, folder: Path, port: int, echo: Callable[[str], None]) -> None:
        """Check what it needs. Raises `TierError`, `DevError`, `ToolchainError`."""
        self.plan = dev_plan(stack_file)
        for name in _TOOLS:
            tool(name)
        if reason := engine_env.unsupported():
            raise DevError(reason)
        self._python = engine_env.default().python()
        self.stack_file, self.folder, self.port = stack_file, folder, port
        self.engines = DevEngines()
        self._guard = Guard()
        self._ends = contextlib.ExitStack()
        self._echo, self._began = echo, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End all by id. Whoever interrupts this leaves the rest to the guard, which ends it at once."""
        self._ends.close()
        self._guard.release()

    def start(self, engines: int) -> None:
        """Start everything, so many engines per model; nothing serves yet. Raises `DevError` for the templates."""
        self._ends.callback(self.engines.end)
        for model in self.plan.models:
            for _ in range(engines):
                for line in self.engines.start(self.plan, model, self._python, self.folder):
                    self.tell(line)
                self._guard.keep(
                    part.process.pid for part in self.engines.parts() if part.process is not None
                )
        self._changes = Changes([TEMPLATES, RULES, self.stack_file])
        try:
            self.prometheus = DevPrometheus(self.plan, self.folder / "prometheus", self.engines.addresses)
            self._ends.callback(self.prometheus.end)
            self.gateway = DevGateway(self.plan, self.folder / "gateway", self.port)
        except (TemplateError, ValueError) as error:
            raise DevError(f"the templates cannot be used: {describe(error)}") from None
        self._ends.callback(self.gateway.end, STREAM_SECONDS)
        self.gateway.start_nginx()
        self.gateway.start_reloader()
        self._keep()
        self.tell(f"started {', '.join(part.name for part in self.parts())}")

    def watch(self, ready: Callable[[], None]) -> None:
        """Follow files and processes; `ready` is called once, when all of it serves. Raises `DevError` for a death."""
        told_at, waiting = time.monotonic(), True
        while True:
            self._check()
            for line in self.gateway.news():
                self.tell(f"gateway: {line}")
            for name, slug in self.engines.admit():
                self.gateway.set_engines(slug, self.engines.ready[slug])
                self.tell(f"{name} ({slug}) is ready")
            self._follow()
            if waiting and not self._waiting():
                waiting = False
                ready()
            if waiting and time.monotonic() - told_at > PATIENCE_SECONDS:
                told_at = time.monotonic()
                self.tell(f"waiting for {', '.join(self._waiting())}")
            time.sleep(LOOK_SECONDS)

    def tell(self, line: str) -> None:
        """A line with the seconds since the start."""
        self._echo(f"[{time.monotonic() - self._began:4.0f} s] {line}")

    def parts(self) -> list[Part]:
        """Every process that should run."""
        gateway, prometheus = self.gateway, self.prometheus
        return [
            Part("nginx", gateway.nginx, gateway.folder / "nginx.log"),
            Part("reloader", gateway.reloader, gateway.folder / "reloader.log"),
            Part("prometheus", prometheus.process, prometheus.log),
            *self.engines.parts(),
        ]

    def _keep(self) -> None:
        self._guard.keep(part.process.pid for part in self.parts() if part.process is not None)

    def _waiting(self) -> list[str]:
        """What does not serve yet."""
        ready = [address for found in self.engines.ready.values() for address in found]
        serve = {"nginx": self.gateway.serves(ready), "prometheus": self.prometheus.ready()}
        return [name for name, serves in serve.items() if not serves] + self.engines.waiting()

    def _check(self) -> None:
        for part in self.parts():
            code = part.process.poll() if part.process is not None else None
            if code is not None:
                cause = root_cause(part.log.read_text(errors="replace"))
                how = f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
                raise DevError(f"{part.name} {how}; from {part.log}:\n{cause}")

    def _follow(self) -> None:
        """Apply what was edited; what is wrong with it is told, and the old stays."""
        changed = {path.name for path in self._changes.since_last()}
        if not changed:
            return
        self.tell(f"changed: {', '.join(sorted(changed))}")
        try:
            self._apply(changed)
            self.tell("rendered")
        except _REFUSALS as error:
            self.tell(f"not applied: {describe(error)}")
        self._keep()

    def _apply(self, changed: set[str]) -> None:
        plan = dev_plan(self.stack_file)
        if plan.models != self.plan.models:
            raise DevError("other models need other engines - end this run and start it again")
        for name in changed & _RELOADER:
            compile((TEMPLATES / name).read_bytes(), name, "exec")
        self.plan = plan
        self.gateway.follow(plan, reloader_changed=bool(changed & _RELOADER))
        self.prometheus.follow(plan)
        if changed & _LATER:
            self.tell(f"{', '.join(sorted(changed & _LATER))}: from the next start on")


def describe(error: Exception) -> str:
    """An error as one message; a template's with its place, which Jinja puts into the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [frame for frame in frames if Path(frame.filename).parent == TEMPLATES]
    return (
        f"templates/{Path(places[-1].filename).name}:{places[-1].lineno}: {error}" if places else str(error)
    )
