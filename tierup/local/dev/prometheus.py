"""Decides how Prometheus runs on this machine: the tier's own configuration and rules, engines by address."""

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tierup.local.dev.gateway_of_plan import answers
from tierup.local.machine.ports import free_port
from tierup.local.machine.processes import end_group
from tierup.local.toolchain import tool
from tierup.manifests.monitoring import prometheus_yml
from tierup.plan.model import Plan
from tierup.templates import ROOT

RULES = ROOT / "monitoring" / "rules"
_END_SECONDS = 10.0


class DevPrometheus:
    """One Prometheus; everything it writes is in `folder`, its words in `log` there."""

    def __init__(self, plan: Plan, folder: Path, engines: Mapping[str, Sequence[str]]) -> None:
        """Start it. `engines` are addresses by model slug. Raises `ToolMissing`, or ValueError as `write` does."""
        folder.mkdir(parents=True)
        self.folder, self.log, self.engines = folder, folder / "log", engines
        self.address = f"127.0.0.1:{free_port()}"
        self.config = folder / "prometheus.yml"
        self.write(plan)
        command = [
            str(tool("prometheus")),
            f"--config.file={self.config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self.address}",
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def ready(self) -> bool:
        """Whether it answers queries."""
        return answers(self.address, "/-/ready")

    def write(self, plan: Plan) -> None:
        """Render its configuration.

        Raises:
            jinja2.TemplateError, ValueError: what cannot be rendered, what promtool refuses; nothing is replaced.
        """
        port = int(self.address.rpartition(":")[2])
        draft = self.folder / "draft.yml"
        draft.write_text(
            prometheus_yml(plan, rules=str(RULES / "recording.yml"), port=port, engines=self.engines)
        )
        asked = [str(tool("promtool")), "check", "config", str(draft)]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"promtool refuses it:\n{(done.stdout + done.stderr).strip()}")
        draft.replace(self.config)

    def follow(self, plan: Plan) -> None:
        """The same while it runs: it reads the file again."""
        self.write(plan)
        self.process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """Let it write its samples, then end what is left of its group."""
        self.process.terminate()
        end_group(self.process, _END_SECONDS)
