"""Run Prometheus on this machine with the tier's configuration and rules, and with engines by address."""

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
    """One Prometheus; all its files are in `folder`, its output in `folder/log`."""

    def __init__(self, plan: Plan, folder: Path, engines: Mapping[str, Sequence[str]]) -> None:
        """Start Prometheus; `engines` are addresses by model slug. Raises `ToolMissing`, and the errors of `write`."""
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
        """Whether Prometheus accepts queries."""
        return answers(self.address, "/-/ready")

    def write(self, plan: Plan) -> None:
        """Render and check the configuration, then replace the current one.

        Raises:
            jinja2.TemplateError, ValueError: it cannot be rendered, or promtool rejects it; nothing is replaced.
        """
        port = int(self.address.rpartition(":")[2])
        draft = self.folder / "draft.yml"
        draft.write_text(
            prometheus_yml(plan, rules=[str(RULES / "recording.yml")], port=port, engines=self.engines)
        )
        command = [str(tool("promtool")), "check", "config", str(draft)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise ValueError(f"promtool rejects it:\n{(result.stdout + result.stderr).strip()}")
        draft.replace(self.config)

    def reload(self, plan: Plan) -> None:
        """Write the configuration and have the running Prometheus reload it."""
        self.write(plan)
        self.process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """Terminate it, so that it writes its samples, then kill the rest of its group."""
        self.process.terminate()
        end_group(self.process, _END_SECONDS)
