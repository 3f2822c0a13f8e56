"""A local gateway that applies edits of its templates and stack file while it runs; its keys are generated here."""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tierup.local.cluster.certs import Authority
from tierup.local.dev.gateway_of_plan import PlanGateway
from tierup.manifests.common import content_hash
from tierup.manifests.gateway_files import nginx_conf, reloader_config, scripts
from tierup.plan.model import Plan

_KEY_BYTES = 24  # 192 random bits


class DevGateway(PlanGateway):
    """One gateway, at first without ready engines; `certificates` is a folder with its certificate and ca.crt."""

    def __init__(self, plan: Plan, folder: Path, port: int) -> None:
        """Write its files. Raises `ToolMissing`, and `jinja2.TemplateError` if a template cannot be rendered."""
        super().__init__(plan, folder, {model.slug: () for model in plan.models}, port=port)
        self.certificates = folder / "tls"
        self.certificates.mkdir()
        Authority(self.certificates, "ca").issue("tls", "gateway")
        self._make_keys()
        self._log_read = 0

    def apply(self, plan: Plan, reloader_changed: bool) -> None:
        """Render everything for this plan; a configuration that Nginx refuses changes nothing.

        Raises:
            jinja2.TemplateError: a template cannot be rendered; nothing is written.
        """
        texts = scripts(plan)
        # The folder's name changes with the scripts, and so does Nginx's configuration; refused scripts replace none.
        folder = self.folder / f"scripts-{content_hash(texts)}"
        environment = replace(self.environment, files=str(folder))
        text = nginx_conf(plan, environment)
        folder.mkdir(exist_ok=True)
        for name, script in texts.items():
            (folder / name).write_text(script, encoding="utf-8")
        self.plan = plan
        self._make_keys()
        self.write_template(text)
        if self.write_settings(reloader_config(plan, environment)) or reloader_changed:
            self._restart_reloader()

    def serves(self, addresses: Iterable[str]) -> bool:
        """Whether Nginx runs and balances over all these addresses."""
        accepted = self.shared / "nginx.conf"
        text = accepted.read_text() if accepted.exists() else ""
        listed = all(f"server {address} " in text for address in addresses)
        return listed and not self.offer_pending() and self.answers()

    def new_log_lines(self) -> list[str]:
        """The reloader's events since the last call, as sentences; an unfinished line is left for the next call."""
        log = self.folder / "reloader.log"
        data = log.read_bytes()[self._log_read :] if log.exists() else b""
        complete = data[: data.rfind(b"\n") + 1]
        self._log_read += len(complete)
        lines = complete.decode(errors="replace").splitlines()
        return [sentence for line in lines if (sentence := describe_event(line))]

    def _make_keys(self) -> None:
        """Generate a key file per caller once; a user may edit the file to rotate the key."""
        names = {key.name for key in self.plan.gateway.keys}
        for path in self.keys.iterdir():
            if path.name not in names:
                path.unlink()
        for name in names:
            if not (self.keys / name).exists():
                self.set_key(name, [secrets.token_urlsafe(_KEY_BYTES)])
                (self.keys / name).chmod(0o600)

    def _restart_reloader(self) -> None:
        """Restart the reloader, which reads gateway.json only at its start; Nginx keeps serving meanwhile."""
        if self.reloader is not None:
            self.reloader.terminate()
            self.reloader.wait()
            self.started.remove(self.reloader)
        self.start_reloader()


def describe_event(line: str) -> str | None:
    """A line of the reloader's log as a sentence; None for an event of no interest. A non-JSON line stays as it is."""
    try:
        event = json.loads(line)
    except ValueError:
        return line
    match event:
        case {"event": "taken", "changed": changed, "engines": engines, "limits": limits}:
            return (
                f"Nginx accepted the configuration ({', '.join(changed)}): {_count(engines)}, "
                f"in flight at most {_bounds(limits)}"
            )
        case {"event": "trouble", "about": about, "trouble": trouble}:
            return f"{about}: {str(trouble).strip()}"
        case {"event": "over", "about": about}:
            return f"{about}: resolved"
    return None


def _count(engines: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(
        f"{len(addresses)} engine{'s' * (len(addresses) != 1)} of {slug}"
        for slug, addresses in engines.items()
    )


def _bounds(limits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {bound}" for name, bound in limits.items())
