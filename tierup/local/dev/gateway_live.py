"""Decides how a gateway follows its templates and stack file while it runs: rendered again, keys made up here."""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tierup.local.cluster.certs import Authority
from tierup.local.dev.gateway_of_plan import PlanGateway
from tierup.manifests.common import content_hash
from tierup.manifests.gateway_files import nginx_conf, orders, scripts
from tierup.plan.model import Plan

_KEY_BYTES = 24  # 192 random bits


class DevGateway(PlanGateway):
    """One gateway with no ready engine yet; `certificates` has ca.crt, which signed its own."""

    def __init__(self, plan: Plan, folder: Path, port: int) -> None:
        """Write its files. Raises `ToolMissing`, and `jinja2.TemplateError` for what cannot be rendered."""
        super().__init__(plan, folder, {model.slug: () for model in plan.models}, port=port)
        self.certificates = folder / "tls"
        self.certificates.mkdir()
        Authority(self.certificates, "ca").issue("tls", "gateway")
        self._make_keys()
        self._log_read = 0

    def follow(self, plan: Plan, reloader_changed: bool) -> None:
        """Render everything for this plan; Nginx takes it or not, and what it does not take changes nothing.

        Raises:
            jinja2.TemplateError: it cannot be rendered; nothing is written.
        """
        texts = scripts(plan)
        # In a folder of their own, so that Nginx's text changes with them and refused ones replace nothing.
        folder = self.folder / f"scripts-{content_hash(texts)}"
        place = replace(self.place, files=str(folder))
        text = nginx_conf(plan, place)
        folder.mkdir(exist_ok=True)
        for name, script in texts.items():
            (folder / name).write_text(script, encoding="utf-8")
        self.plan = plan
        self._make_keys()
        self.write_template(text)
        if self.write_settings(orders(plan, place)) or reloader_changed:
            self._restart_reloader()

    def serves(self, addresses: Iterable[str]) -> bool:
        """Whether Nginx runs and balances over all of these."""
        running = self.shared / "nginx.conf"
        text = running.read_text() if running.exists() else ""
        return all(f"server {address} " in text for address in addresses) and self.answers()

    def news(self) -> list[str]:
        """What the reloader said since the last call, for people; lines it has not finished wait."""
        log = self.folder / "reloader.log"
        data = log.read_bytes()[self._log_read :] if log.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        self._log_read += len(whole)
        return [told for line in whole.decode(errors="replace").splitlines() if (told := tell(line))]

    def _make_keys(self) -> None:
        """A key in a file per caller, made once; a file that is edited rotates it."""
        names = {key.name for key in self.plan.gateway.keys}
        for path in self.keys.iterdir():
            if path.name not in names:
                path.unlink()
        for name in names:
            if not (self.keys / name).exists():
                self.set_key(name, [secrets.token_urlsafe(_KEY_BYTES)])
                (self.keys / name).chmod(0o600)

    def _restart_reloader(self) -> None:
        """It reads its orders once; Nginx serves on meanwhile."""
        if self.reloader is not None:
            self.reloader.terminate()
            self.reloader.wait()
            self.started.remove(self.reloader)
        self.start_reloader()


def tell(line: str) -> str | None:
    """One line of the reloader's log as a person would say it; None: nothing worth telling. What is no JSON stays."""
    try:
        said = json.loads(line)
    except ValueError:
        return line
    match said:
        case {"event": "taken", "changed": changed, "engines": engines, "limits": limits}:
            return f"Nginx took it ({', '.join(changed)}): {_count(engines)}, in flight at most {_bounds(limits)}"
        case {"event": "trouble", "about": about, "trouble": trouble}:
            return f"{about}: {str(trouble).strip()}"
        case {"event": "over", "about": about}:
            return f"{about}: in order again"
    return None


def _count(engines: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(
        f"{len(found)} engine{'s' * (len(found) != 1)} of {slug}" for slug, found in engines.items()
    )


def _bounds(limits: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {bound}" for name, bound in limits.items())
