"""A scratch copy of a Pulumi project, with its own state, login and passphrase, that runs against a local cluster.

Pulumi writes to stack files, so the user's are copied; their secrets get random values, and are never decrypted.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import psutil
import yaml

from tierup.io.stack.attached import file_names
from tierup.io.stack.read import PROJECT, load_yaml, stack_path
from tierup.local.cluster.certs import self_signed
from tierup.local.cluster.folders import LocalClusterError
from tierup.local.cluster.progress import Progress
from tierup.local.toolchain import toolchain_dir
from tierup.manifests.common import IMAGE_PULL
from tierup.stack.parse import SECRET_PREFIX

# The program's files; they are linked, so that an edit takes effect at once.
_LINKED = ("__main__.py", "components", "tierup", "templates", "monitoring", "policies")
_CLOCK_MARGIN_S = 5  # the boot time is in whole seconds, and clocks are adjusted
_SECRET = f"{PROJECT}:{SECRET_PREFIX}"
_ENCRYPTION = ("encryptionsalt", "secretsprovider", "encryptedkey")


class Target(Protocol):
    """The cluster that a stack is brought up on."""

    @property
    def folder(self) -> Path:
        """Where the stack's scratch copy, state and logs may lie."""

    @property
    def kubeconfig(self) -> Path:
        """The file that leads to it."""

    @property
    def context(self) -> str:
        """Its context in the kubeconfig."""

    def network(self) -> dict[str, str] | None:
        """The `network` section of the stacks on it; None: they keep their own."""


AnyTarget = TypeVar("AnyTarget", bound=Target)


class PulumiFailed(LocalClusterError):
    """A pulumi command failed; it has printed the reason itself."""


def _stand_ins(keys: Iterable[str]) -> dict[str, str]:
    """Values for the secrets of the user's stack, in the forms that some of them need."""
    certificate, private_key = self_signed("gateway", "localhost")
    forms = {IMAGE_PULL: '{"auths": {}}', "tls-certificate": certificate, "tls-key": private_key}
    names = {key: key.removeprefix(_SECRET) for key in keys}
    return {key: forms.get(name, secrets.token_urlsafe(24)) for key, name in names.items()}


@dataclass(frozen=True)
class LocalProject(Generic[AnyTarget]):
    """One stack of a project, run against a local cluster."""

    source: Path
    stack: str
    cluster: AnyTarget
    own_folder: Path | None = None  # for stacks that share a cluster and no files; it exists
    stack_source: Path | None = None  # the user's stack file, if it is not that of the project
    secrets: frozenset[str] = frozenset()  # names of those that the stack needs, in its file or not

    @property
    def work_folder(self) -> Path:
        """Where the scratch copy and Pulumi's files lie: beside the cluster's, unless the project has its own."""
        return self.own_folder if self.own_folder is not None else self.cluster.folder

    @property
    def folder(self) -> Path:
        """The scratch copy's folder."""
        return self.work_folder / "project"

    @property
    def stack_file(self) -> Path:
        return stack_path(self.folder, self.stack)

    @property
    def initialised(self) -> bool:
        """Whether Pulumi has a state of this stack."""
        stacks = self.work_folder / "pulumi" / ".pulumi" / "stacks" / PROJECT
        return (stacks / f"{self.stack}.json").exists()

    def environment(self) -> dict[str, str]:
        """The environment of pulumi, without the user's login, plugins and kubeconfig."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PULUMI_") and k != "KUBECONFIG"}
        path = [str(Path(sys.prefix) / "bin"), str(toolchain_dir()), kept.get("PATH", "")]
        home = self.work_folder / "pulumi"
        return {
            **kept,
            "PATH": os.pathsep.join(path),
            "PULUMI_HOME": str(home),
            # metadata=skip: a killed engine leaves empty metadata files, and then no command can read the state.
            "PULUMI_BACKEND_URL": f"file://{home}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(home / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def prepare(self) -> None:
        """Copy the project as it is now, keep the state of earlier runs, and point the stack to the local cluster."""
        home = self.work_folder / "pulumi"
        home.mkdir(mode=0o700, exist_ok=True)
        passphrase = home / "passphrase"
        if not passphrase.exists():
            descriptor = os.open(passphrase, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32))
        self.folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copy2(self.source / "Pulumi.yaml", self.folder)
        # Pulumi's `virtualenv` option expects the interpreter's environment in this folder.
        links = {name: self.source / name for name in _LINKED} | {".venv": Path(sys.prefix)}
        for name, target in links.items():
            link = self.folder / name
            link.unlink(missing_ok=True)
            if target.exists():
                link.symlink_to(target)
        missing_secrets = self._write_stack_file()
        if not self.initialised:
            self.pulumi("stack", "init", self.stack, quiet=True)
        for key, value in _stand_ins(missing_secrets).items():
            self.pulumi("config", "set", "--secret", key, "--", value, quiet=True)

    def _write_stack_file(self) -> list[str]:
        """Write the user's stack file with this cluster in it; returns the keys of secrets without a local value."""
        source = self.stack_source if self.stack_source is not None else stack_path(self.source, self.stack)
        document = load_yaml(source.read_text(encoding="utf-8-sig"))
        previous = load_yaml(self.stack_file.read_text()) if self.stack_file.exists() else {}
        document = {key: value for key, value in document.items() if key not in _ENCRYPTION}
        document |= {key: previous[key] for key in _ENCRYPTION if key in previous}
        config = dict(document["config"])
        secret_keys = {key for key in config if str(key).startswith(_SECRET)}
        secret_keys |= {_SECRET + name for name in self.secrets}
        local_values = previous.get("config", {})
        config |= {key: local_values[key] for key in sorted(secret_keys) if key in local_values}
        missing = sorted(key for key in secret_keys if key not in local_values)
        config = {key: value for key, value in config.items() if key not in missing}
        local_cluster = {"kubeconfig": str(self.cluster.kubeconfig), "context": self.cluster.context}
        config[f"{PROJECT}:cluster"] = {**config.get(f"{PROJECT}:cluster", {}), **local_cluster}
        if (network := self.cluster.network()) is not None:
            config[f"{PROJECT}:network"] = network
        self.stack_file.parent.mkdir(exist_ok=True)
        for name in file_names(config.get(f"{PROJECT}:models")):
            copy = self.stack_file.parent / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.parent / name, copy)
        self.stack_file.write_text(yaml.safe_dump({**document, "config": config}, sort_keys=False))
        return missing

    def pulumi(self, *arguments: str, quiet: bool = False) -> str:
        """Run pulumi; its output goes to the terminal, or is returned if `quiet`. Raises `PulumiFailed`."""
        stack = () if arguments[:2] == ("stack", "init") else ("--stack", self.stack)
        separator = arguments.index("--") if "--" in arguments else len(arguments)
        command = (*arguments[:separator], *stack, "--non-interactive", *arguments[separator:])
        result = subprocess.run(
            [str(toolchain_dir() / "pulumi"), *command],
            cwd=self.folder,
            env=self.environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.PIPE if quiet else None,
            check=False,
        )
        if result.returncode:
            output = f":\n{(result.stdout + result.stderr).strip()}" if quiet else ""
            raise PulumiFailed(
                f"`pulumi {' '.join(arguments[:2])}` failed with exit code {result.returncode}{output}"
            )
        return result.stdout if quiet else ""

    def up(self, echo: Callable[[str], None]) -> None:
        """Run `pulumi up` and print one line per finished resource; up.log gets the complete output.

        Raises `PulumiFailed`, and `KeyboardInterrupt` after an interrupt, once pulumi has finished its running steps.
        """
        log = self.cluster.folder / "logs" / "up.log"
        command = ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", self.stack]
        interrupted = False
        with (
            log.open("w") as log_file,
            subprocess.Popen(
                [str(toolchain_dir() / "pulumi"), *command],
                cwd=self.folder,
                env=self.environment(),
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,  # only we forward a terminal's interrupt: a second one would kill it at once
            ) as pulumi,
        ):
            progress = Progress(echo)
            while True:
                try:
                    for line in pulumi.stdout or ():
                        log_file.write(line)
                        progress.read(line)
                    break
                except KeyboardInterrupt:
                    interrupted = True
                    echo(
                        "interrupted: pulumi is finishing its running steps - interrupt again to end it at once"
                    )
                    pulumi.send_signal(signal.SIGINT)
        if interrupted:
            raise KeyboardInterrupt
        if pulumi.returncode:
            echo("\n".join(progress.summary))
            raise PulumiFailed(
                f"`pulumi up` failed with exit code {pulumi.returncode}; its complete output is in {log}"
            )
        echo(f"pulumi's complete output is in {log}")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        outputs: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", quiet=True))
        return outputs

    def clear_dead_lock(self, echo: Callable[[str], None]) -> None:
        """Cancel an interrupted update whose process has ended; raises LocalClusterError if it still runs."""
        folder = self.work_folder / "pulumi" / ".pulumi" / "locks" / "organization" / PROJECT / self.stack
        for lock_file in folder.glob("*.json"):
            lock = json.loads(lock_file.read_text())
            if lock["hostname"] == socket.gethostname() and not _alive(lock):
                echo(f"cancelling an earlier update: its process {lock['pid']} died")
                self.pulumi("cancel", "--yes", quiet=True)
            else:
                raise LocalClusterError(
                    f"stack '{self.stack}' is being updated by process {lock['pid']} on {lock['hostname']} - "
                    "wait for it, or end it"
                )


def _alive(lock: Mapping[str, Any]) -> bool:
    """Whether the lock's process still runs; a process that started after the lock only reuses its pid."""
    locked = datetime.fromisoformat(lock["timestamp"]).timestamp()
    try:
        process = psutil.Process(int(lock["pid"]))
        dead = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return not dead and process.create_time() <= locked + _CLOCK_MARGIN_S
    except psutil.NoSuchProcess:
        return False
