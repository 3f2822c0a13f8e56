"""Decides where a local run happens: a scratch copy of the project with its own state, login and passphrase.

Pulumi writes into stack files, so the user's are copied; secrets in them are replaced by random ones, never decrypted.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tierup.io.stack.read import PROJECT, load_yaml, stack_path
from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.folders import LocalClusterError
from tierup.local.cluster.progress import Progress
from tierup.local.toolchain import toolchain_dir
from tierup.stack.parse import SECRET_PREFIX

# What the program is made of; linked, so that an edit counts at once.
_LINKED = ("__main__.py", "components", "tierup", "templates", "monitoring", "policies")
_CLOCK_MARGIN_S = 5  # boot time is known to the second, and clocks are set
_ENCRYPTION = ("encryptionsalt", "secretsprovider", "encryptedkey")


class PulumiFailed(LocalClusterError):
    """A pulumi command ended with an error, which it has printed itself."""


@dataclass(frozen=True)
class LocalProject:
    """One stack of a project, run against a local cluster."""

    source: Path
    stack: str
    cluster: Cluster
    own_folder: Path | None = None  # for stacks that share a cluster and no files; it exists

    @property
    def work_folder(self) -> Path:
        """Where the scratch copy and Pulumi's files lie: beside the cluster's, unless the project has its own."""
        return self.own_folder if self.own_folder is not None else self.cluster.folder

    @property
    def folder(self) -> Path:
        """The scratch copy."""
        return self.work_folder / "project"

    @property
    def stack_file(self) -> Path:
        return stack_path(self.folder, self.stack)

    def environment(self) -> dict[str, str]:
        """What pulumi runs with: nothing of the user's own login, plugins or kubeconfig."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_") and k != "KUBECONFIG"}
        path = [str(Path(sys.prefix) / "bin"), str(toolchain_dir()), kept.get("PATH", "")]
        home = self.work_folder / "pulumi"
        return {
            **kept,
            "PATH": os.pathsep.join(path),
            "PULUMI_HOME": str(home),
            # Without side files of metadata: a killed engine leaves them empty, and then no command reads the state.
            "PULUMI_BACKEND_URL": f"file://{home}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(home / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def prepare(self) -> None:
        """Copy the project as it is now, keep the state of earlier runs, and point the stack at the local cluster."""
        home = self.work_folder / "pulumi"
        home.mkdir(mode=0o700, exist_ok=True)
        passphrase = home / "passphrase"
        if not passphrase.exists():
            descriptor = os.open(passphrase, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32))
        self.folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copy2(self.source / "Pulumi.yaml", self.folder)
        # A link to the interpreter's own environment: Pulumi's `virtualenv` option looks for it here.
        links = {name: self.source / name for name in _LINKED} | {".venv": Path(sys.prefix)}
        for name, target in links.items():
            link = self.folder / name
            link.unlink(missing_ok=True)
            if target.exists():
                link.symlink_to(target)
        wanted = self._write_stack_file()
        if not (home / ".pulumi" / "stacks" / PROJECT / f"{self.stack}.json").exists():
            self.pulumi("stack", "init", self.stack, quiet=True)
        for key in wanted:
            self.pulumi("config", "set", "--secret", key, "--", secrets.token_urlsafe(24), quiet=True)

    def _write_stack_file(self) -> list[str]:
        """The user's stack file with this cluster in it; returns the secrets that still want a local value."""
        document = load_yaml(stack_path(self.source, self.stack).read_text())
        before = load_yaml(self.stack_file.read_text()) if self.stack_file.exists() else {}
        document = {key: value for key, value in document.items() if key not in _ENCRYPTION}
        document |= {key: before[key] for key in _ENCRYPTION if key in before}
        config = dict(document["config"])
        hidden = [key for key in config if str(key).startswith(f"{PROJECT}:{SECRET_PREFIX}")]
        known = before.get("config", {})
        config |= {key: known[key] for key in hidden if key in known}
        missing = [key for key in hidden if key not in known]
        config = {key: value for key, value in config.items() if key not in missing}
        here = {"kubeconfig": str(self.cluster.kubeconfig), "context": self.cluster.context}
        config[f"{PROJECT}:cluster"] = {**config.get(f"{PROJECT}:cluster", {}), **here}
        self.stack_file.parent.mkdir(exist_ok=True)
        self.stack_file.write_text(yaml.safe_dump({**document, "config": config}, sort_keys=False))
        return missing

    def pulumi(self, *arguments: str, quiet: bool = False) -> str:
        """Run pulumi here; its output goes to the terminal, or comes back when `quiet`. Raises `PulumiFailed`."""
        stack = () if arguments[:2] == ("stack", "init") else ("--stack", self.stack)
        separator = arguments.index("--") if "--" in arguments else len(arguments)
        words = (*arguments[:separator], *stack, "--non-interactive", *arguments[separator:])
        done = subprocess.run(
            [str(toolchain_dir() / "pulumi"), *words],
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.PIPE if quiet else None,
            check=False,
        )
        if done.returncode:
            told = f":\n{(done.stdout + done.stderr).strip()}" if quiet else ""
            raise PulumiFailed(f"`pulumi {' '.join(arguments[:2])}` ended with {done.returncode}{told}")
        return done.stdout if quiet else ""

    def up(self, echo: Callable[[str], None]) -> None:
        """`pulumi up` with a line per finished resource; all it says is kept in up.log.

        Raises `PulumiFailed`, and `KeyboardInterrupt` once pulumi has finished what it had begun.
        """
        log = self.cluster.folder / "logs" / "up.log"
        words = ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", self.stack]
        interrupted = False
        with (
            log.open("w") as kept,
            subprocess.Popen(
                [str(toolchain_dir() / "pulumi"), *words],
                cwd=self.folder,
                env=self.environment(),
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,  # a terminal's interrupt reaches it through us, once: a second one ends it at once
            ) as engine,
        ):
            progress = Progress(echo)
            while True:
                try:
                    for line in engine.stdout or ():
                        kept.write(line)
                        progress.tell(line)
                    break
                except KeyboardInterrupt:
                    interrupted = True
                    echo("interrupted: pulumi finishes what it has begun; once more ends it at once")
                    engine.send_signal(signal.SIGINT)
        if interrupted:
            raise KeyboardInterrupt
        if engine.returncode:
            echo("\n".join(progress.ending))
            raise PulumiFailed(f"`pulumi up` ended with {engine.returncode}; everything it said is in {log}")
        echo(f"everything pulumi said is in {log}")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        found: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", quiet=True))
        return found

    def clear_dead_lock(self, echo: Callable[[str], None]) -> None:
        """Cancel an update whose process is gone; one that lives is an error."""
        folder = self.work_folder / "pulumi" / ".pulumi" / "locks" / "organization" / PROJECT / self.stack
        for lock in folder.glob("*.json"):
            held = json.loads(lock.read_text())
            if held["hostname"] == socket.gethostname() and not _alive(held):
                echo(f"an earlier run (process {held['pid']}) died while updating: cancelling it")
                self.pulumi("cancel", "--yes", quiet=True)
            else:
                raise LocalClusterError(
                    f"stack '{self.stack}' is being updated by process {held['pid']} on {held['hostname']} - "
                    "wait for it, or end it"
                )


def _alive(held: Mapping[str, Any]) -> bool:
    """Whether the lock's process still runs; one that started after the lock only got its number again."""
    try:
        stat = Path(f"/proc/{int(held['pid'])}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    state, *fields = stat.rpartition(")")[2].split()
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    started = int(boot.split()[1]) + int(fields[18]) / os.sysconf("SC_CLK_TCK")
    locked = datetime.fromisoformat(held["timestamp"]).timestamp()
    return state not in "ZX" and started <= locked + _CLOCK_MARGIN_S
