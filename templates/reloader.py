"""Keep Nginx's configuration up to date: look up engines and gateways, probe engines, render, offer the new text.

Runs next to Nginx with only the standard library and reloader_rules.py in the same folder:
`python3 reloader.py gateway.json`. It writes a new text to `<folder>/next/nginx.conf`; gateway-run.sh tests it and
accepts or refuses it. reloader_rules.py says how fast a hung engine leaves the pool.
"""

import asyncio
import hashlib
import json
import math
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from reloader_rules import (
    ANSWER_SECONDS,
    SPACING_SECONDS,
    Config,
    Engine,
    Model,
    View,
    after_probe,
    check_addresses,
    hung_reason,
    limits,
    parse_config,
    read_metrics,
    render,
)

POLL_SECONDS = 0.05  # between two checks whether an offer was handled
FIRST_ANSWER_SECONDS = (
    15.0  # a look-up of a pod that has just started may fail: policies let it out a moment later
)
OFFER_TIMEOUT_SECONDS = 10 * ANSWER_SECONDS  # then an offer that was not handled is reported
KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def resolve(source: str) -> list[str]:
    """The addresses of `dns:HOST:PORT` or `file:PATH`, sorted; raises OSError or ValueError if it fails."""
    kind, _, rest = source.partition(":")
    if kind == "dns":
        host, _, port = rest.rpartition(":")
        records = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        ipv4 = {f"{address[0]}:{port}" for family, _, _, _, address in records if family == socket.AF_INET}
        # Use one family only: a pod with an address of each is one engine.
        return sorted(ipv4 if ipv4 else {f"[{address[0]}]:{port}" for _, _, _, _, address in records})
    return check_addresses(json.loads(Path(rest).read_text(encoding="utf-8")))


def read_keys(folder: Path, log: "Log") -> dict[str, str]:
    """The caller of each key by the key's SHA-256; a file that cannot be used is logged by name and skipped."""
    keys: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):  # symbolic links of Kubernetes
            continue
        try:
            values = path.read_text(encoding="utf-8").split()
        except (OSError, ValueError) as error:
            log.report(f"key {path.name}", f"cannot be read ({type(error).__name__}), skipped")
            continue
        digests = {hashlib.sha256(value.encode()).hexdigest() for value in values}
        usable = digests and KEY_NAME.fullmatch(path.name) and not digests & keys.keys()
        problem = None if usable else "empty, badly named or the same key as another file's, skipped"
        log.report(f"key {path.name}", problem)
        if usable:
            keys.update(dict.fromkeys(digests, path.name))
    return keys


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def read(path: Path) -> str | None:
    """A file's text, or None if it does not exist."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


class Log:
    """Writes one JSON object per line to standard output; an ongoing problem is logged once, not every round."""

    def __init__(self) -> None:
        self.reported: dict[str, str | None] = {}

    def write(self, event: str, **fields: Any) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(json.dumps({"time": now, "event": event, **fields}), flush=True)

    def report(self, about: str, trouble: str | None) -> None:
        """Log a problem when it starts or changes, and its end; None means that there is no problem."""
        if self.reported.get(about) != trouble:
            self.reported[about] = trouble
            self.write("trouble" if trouble is not None else "over", about=about, trouble=trouble)


class Source:
    """A source of addresses; while a lookup fails, the last good answer is used."""

    def __init__(self, text: str, known: list[str]) -> None:
        self.text, self.known = text, known
        self.answered = bool(known)
        self.lookup: asyncio.Task[list[str]] | None = None

    async def update(self, seconds: float, log: Log) -> None:
        """Wait up to `seconds` for a lookup; a slow one continues during the next rounds, one at a time."""
        if self.lookup is None:
            self.lookup = asyncio.create_task(asyncio.to_thread(resolve, self.text))
        await asyncio.wait({self.lookup}, timeout=seconds)
        if not self.lookup.done():
            return log.report(self.text, "no answer in time, using the last good one")
        finished, self.lookup = self.lookup, None
        try:
            self.known, self.answered = finished.result(), True
            log.report(self.text, None)
        except (OSError, ValueError) as error:
            log.report(self.text, f"{error}, using the last good answer")


async def get(address: str, path: str, seconds: float) -> str | None:
    """The complete body of a 200 response, or None; HTTP/1.0, so that the body ends with the connection."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
                response = (await reader.read()).decode(errors="replace")
            finally:
                writer.close()
    except (OSError, ValueError):
        return None
    head, _, body = response.partition("\r\n\r\n")
    return body if re.match(r"HTTP/1\.[01] 200\b", head) else None


class Reloader:
    """Runs the rounds and keeps their state."""

    def __init__(self, config: Config) -> None:
        self.config, self.log = config, Log()
        self.folder = Path(config.folder)
        self.next = self.folder / "next" / "nginx.conf"
        self.saved = self.folder / "addresses.json"
        known = self.saved_addresses()
        texts = [config.gateways.source, *(model.source for model in config.models)]
        self.sources = {text: Source(text, known.get(text, [])) for text in texts}
        self.engines: dict[str, dict[str, Engine]] = {model.slug: {} for model in config.models}
        self.taken: View | None = None
        self.refused: str | None = None
        self.offered = -math.inf

    def saved_addresses(self) -> dict[str, list[str]]:
        """The last good answers of an earlier run: a restart during a DNS outage must not empty a pool."""
        try:
            return {
                text: check_addresses(addresses)
                for text, addresses in json.loads(self.saved.read_text()).items()
            }
        except (OSError, ValueError, AttributeError):
            return {}

    async def probe(self, model: Model, address: str, now: float) -> None:
        """Probe one engine once and update its state."""
        probe, engines = self.config.probe, self.engines[model.slug]
        paths = ("/health",) if model.metrics is None else ("/health", model.metrics)
        health, *texts = await asyncio.gather(*(get(address, path, probe.timeout_seconds) for path in paths))
        reading = next((read_metrics(text, model) for text in texts if text is not None), None)
        engines[address] = after_probe(engines[address], health is not None, reading, now, probe)
        no_metrics = model.metrics is not None and health is not None and reading is None
        self.log.report(f"metrics of {address}", "not readable, using only /health" if no_metrics else None)
        self.log.report(f"engine {address} of {model.slug}", hung_reason(engines[address], probe))

    def pool(self, model: Model) -> list[str]:
        """A model's engines without the hung ones; all of them if none would be left."""
        resolved = self.sources[model.source].known
        old = self.engines[model.slug]
        engines = self.engines[model.slug] = {address: old.get(address, Engine()) for address in resolved}
        healthy = [
            address for address in resolved if hung_reason(engines[address], self.config.probe) is None
        ]
        problem = "no engine passes its probe, all are kept" if resolved and not healthy else None
        self.log.report(f"pool {model.slug}", problem)
        return healthy if healthy else resolved

    async def observe(self) -> View:
        """The current view. A new engine joins the pool at once, because its cluster lists only ready ones."""
        now, seconds = time.monotonic(), self.config.probe.timeout_seconds
        probes = [
            self.probe(model, address, now)
            for model in self.config.models
            for address in self.engines[model.slug]
        ]
        before = {text: source.known for text, source in self.sources.items()}
        await asyncio.gather(*probes, *(source.update(seconds, self.log) for source in self.sources.values()))
        answers = {text: source.known for text, source in self.sources.items()}
        if answers != before:
            write_atomically(self.saved, json.dumps(answers))
        gateways = len(answers[self.config.gateways.source])
        return View(
            template=self.template(),
            engines={model.slug: self.pool(model) for model in self.config.models},
            gateways=gateways if gateways else self.config.gateways.count,
            keys=read_keys(Path(self.config.keys), self.log) if self.config.keys is not None else {},
        )

    def template(self) -> str:
        """The template with the certificate's digest, because Nginx reads a new certificate only on a reload."""
        text = Path(self.config.template).read_text(encoding="utf-8")
        if self.config.certificate is None:
            return text
        digest = hashlib.sha256(Path(self.config.certificate).read_bytes()).hexdigest()
        return f"{text}# certificate {digest}\n"

    async def offer_handled(self) -> None:
        """Wait until gateway-run.sh has accepted or refused the offer; nothing else is possible meanwhile."""
        since = time.monotonic()
        while self.next.exists():
            if time.monotonic() - since > OFFER_TIMEOUT_SECONDS:
                self.log.report("offer", "gateway-run.sh neither accepts nor refuses it")
            await asyncio.sleep(POLL_SECONDS)
        self.log.report("offer", None)

    async def offer(self, view: View) -> None:
        """Offer a new text; a refused one is not offered again until it changes, unless Nginx has none yet."""
        await self.offer_handled()  # an offer that an earlier run left
        text = render(view, self.config.models)
        running = read(self.folder / "nginx.conf")
        if text != self.refused:
            self.refused = None
        if text == running:
            self.taken = view
            self.log.report("configuration", None)  # a refused edit was undone
        elif self.refused is None or running is None:
            await asyncio.sleep(max(0.0, self.offered + SPACING_SECONDS - time.monotonic()))
            write_atomically(self.next, text)
            await self.offer_handled()
            self.offered = time.monotonic()
            self.record_result(view, text)

    def record_result(self, view: View, text: str) -> None:
        """Keep and log the result of an offer; the log says only that keys changed, not which."""
        old = self.taken._asdict() if self.taken is not None else {}
        changed = [name for name, value in view._asdict().items() if old.get(name) != value]
        if read(self.folder / "nginx.conf") == text:
            self.taken = view
            bounds = limits(self.config.models, view.engines, view.gateways)
            self.log.report("configuration", None)
            self.log.write(
                "taken", changed=changed, engines=view.engines, gateways=view.gateways, limits=bounds
            )
        else:
            self.refused = text
            nginx_error = read(self.folder / "refused.log")
            self.log.report("configuration", f"refused, changed {', '.join(changed)}: {nginx_error}")

    def too_early(self, seconds: float) -> bool:
        """Whether, so long after the start, Nginx should not start yet: engines that were not found answer with 503."""
        if seconds >= FIRST_ANSWER_SECONDS or read(self.folder / "nginx.conf") is not None:
            return False
        return not all(self.sources[model.source].answered for model in self.config.models)

    async def run(self) -> None:
        """Run rounds for ever; a failed one is logged and the next tries again."""
        began = time.monotonic()
        while True:
            started = time.monotonic()
            try:
                view = await self.observe()
                if not self.too_early(time.monotonic() - began):
                    await self.offer(view)
                self.log.report("round", None)
            except (OSError, ValueError) as error:
                self.log.report("round", f"{type(error).__name__}: {error}")
            await asyncio.sleep(max(0.0, started + self.config.interval_seconds - time.monotonic()))


async def run(reloader: Reloader) -> None:
    """Run the rounds, and beside them the budgets where there are any; a slow round must not delay these."""
    config = reloader.config
    loops = [reloader.run()]
    if config.budgets is not None:
        from reloader_budgets import Budgets, keep

        loops.append(keep(Budgets(reloader.folder, config.budgets), reloader.log.report))
    await asyncio.gather(*loops)


def main(arguments: list[str]) -> int:
    """Run until SIGTERM, which needs no cleanup, because files are replaced in one step."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    os.umask(0o077)
    if len(arguments) != 1:
        print("usage: reloader.py gateway.json", file=sys.stderr)
        return 2
    try:
        config = parse_config(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        print(f"error: {arguments[0]}: {error}", file=sys.stderr)
        return 1
    asyncio.run(run(Reloader(config)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
