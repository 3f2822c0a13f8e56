"""Decides when Nginx gets another configuration: looks where engines and gateways are, probes, renders, offers.

Runs beside Nginx on the standard library alone, with reloader_rules.py in the same folder:
`python3 reloader.py gateway.json`. A new text goes to gateway-run.sh as `<folder>/next/nginx.conf`, which tests it
and takes or refuses it. How fast a hung engine leaves: see reloader_rules.py.
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
    check_addresses,
    hangs,
    judge,
    limits,
    parse_config,
    read_metrics,
    render,
)

LOOK_SECONDS = 0.05  # between two looks for the answer
PATIENCE_SECONDS = 10 * ANSWER_SECONDS  # then the lack of an answer is told
KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def resolve(source: str) -> list[str]:
    """The addresses of `dns:HOST:PORT` or `file:PATH`, sorted; OSError or ValueError when there is no answer."""
    kind, _, rest = source.partition(":")
    if kind == "dns":
        host, _, port = rest.rpartition(":")
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        ipv4 = {f"{to[0]}:{port}" for family, _, _, _, to in found if family == socket.AF_INET}
        # A pod with two addresses is one engine.
        return sorted(ipv4 if ipv4 else {f"[{to[0]}]:{port}" for _, _, _, _, to in found})
    return check_addresses(json.loads(Path(rest).read_text(encoding="utf-8")))


def read_keys(folder: Path, log: "Log") -> dict[str, str]:
    """SHA-256 of each key to its name; what cannot be used is logged by its name and skipped."""
    keys: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):  # Kubernetes' own links
            continue
        try:
            values = path.read_text(encoding="utf-8").split()
        except (OSError, ValueError) as error:
            log.once(f"key {path.name}", f"cannot be read ({type(error).__name__}), skipped")
            continue
        digests = {hashlib.sha256(value.encode()).hexdigest() for value in values}
        usable = digests and KEY_NAME.fullmatch(path.name) and not digests & keys.keys()
        log.once(f"key {path.name}", None if usable else "empty, misnamed or another name's key too, skipped")
        if usable:
            keys.update(dict.fromkeys(digests, path.name))
    return keys


def write(path: Path, text: str) -> None:
    """Put a file in place whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def read(path: Path) -> str | None:
    """A file's text, or None when it is not there."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


class Log:
    """One JSON object per line on standard output; the same trouble is told once, not every round."""

    def __init__(self) -> None:
        self.told: dict[str, str | None] = {}

    def say(self, event: str, **more: Any) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(json.dumps({"time": now, "event": event, **more}), flush=True)

    def once(self, about: str, trouble: str | None) -> None:
        """Tell a trouble when it is new, and its end."""
        if self.told.get(about) != trouble:
            self.told[about] = trouble
            self.say("trouble" if trouble is not None else "over", about=about, trouble=trouble)


class Source:
    """Where addresses come from; the last good answer stands while there is no new one."""

    def __init__(self, text: str, known: list[str]) -> None:
        self.text, self.known = text, known
        self.asking: asyncio.Task[list[str]] | None = None

    async def ask(self, seconds: float, log: Log) -> None:
        """Wait so long for an answer; a slow look-up goes on beside the rounds, one at a time."""
        if self.asking is None:
            self.asking = asyncio.create_task(asyncio.to_thread(resolve, self.text))
        await asyncio.wait({self.asking}, timeout=seconds)
        if not self.asking.done():
            return log.once(self.text, "no answer in time, the last good one stands")
        done, self.asking = self.asking, None
        try:
            self.known = done.result()
            log.once(self.text, None)
        except (OSError, ValueError) as error:
            log.once(self.text, f"{error}, the last good answer stands")


async def get(address: str, path: str, seconds: float) -> str | None:
    """The body of a 200 that arrived whole in time, else None; HTTP/1.0, so that it ends with the connection."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
                answer = (await reader.read()).decode(errors="replace")
            finally:
                writer.close()
    except (OSError, ValueError):
        return None
    head, _, body = answer.partition("\r\n\r\n")
    return body if re.match(r"HTTP/1\.[01] 200\b", head) else None


class Reloader:
    """The rounds, and what they remember."""

    def __init__(self, config: Config) -> None:
        self.config, self.log = config, Log()
        self.folder = Path(config.folder)
        self.next = self.folder / "next" / "nginx.conf"
        self.memory = self.folder / "addresses.json"
        known = self.recall()
        texts = [config.gateways.source, *(model.source for model in config.models)]
        self.sources = {text: Source(text, known.get(text, [])) for text in texts}
        self.engines: dict[str, dict[str, Engine]] = {model.slug: {} for model in config.models}
        self.taken: View | None = None
        self.refused: str | None = None
        self.offered = -math.inf

    def recall(self) -> dict[str, list[str]]:
        """The last good answers of an earlier run: its end and a DNS outage together must not empty a pool."""
        try:
            return {
                text: check_addresses(found) for text, found in json.loads(self.memory.read_text()).items()
            }
        except (OSError, ValueError, AttributeError):
            return {}

    async def probe(self, model: Model, address: str, now: float) -> None:
        """One more probe of one engine."""
        probe, engines = self.config.probe, self.engines[model.slug]
        paths = ("/health", "/metrics")
        health, metrics = await asyncio.gather(*(get(address, path, probe.timeout_seconds) for path in paths))
        reading = read_metrics(metrics, model) if metrics is not None else None
        engines[address] = judge(engines[address], health is not None, reading, now, probe)
        blind = health is not None and reading is None
        self.log.once(f"metrics of {address}", "not readable, /health alone counts" if blind else None)
        self.log.once(f"engine {address} of {model.slug}", hangs(engines[address], probe))

    def pool(self, model: Model) -> list[str]:
        """A model's engines without those that hang; all of them when none would be left."""
        resolved = self.sources[model.source].known
        old = self.engines[model.slug]
        engines = self.engines[model.slug] = {address: old.get(address, Engine()) for address in resolved}
        good = [address for address in resolved if hangs(engines[address], self.config.probe) is None]
        emptied = "no engine passes its probe, all are kept" if resolved and not good else None
        self.log.once(f"pool {model.slug}", emptied)
        return good if good else resolved

    async def look(self) -> View:
        """What there is now. Engines that are new are in the pool at once: their cluster says that they are ready."""
        now, seconds = time.monotonic(), self.config.probe.timeout_seconds
        probes = [
            self.probe(model, to, now) for model in self.config.models for to in self.engines[model.slug]
        ]
        before = {text: source.known for text, source in self.sources.items()}
        await asyncio.gather(*probes, *(source.ask(seconds, self.log) for source in self.sources.values()))
        answers = {text: source.known for text, source in self.sources.items()}
        if answers != before:
            write(self.memory, json.dumps(answers))
        gateways = len(answers[self.config.gateways.source])
        return View(
            template=self.template(),
            engines={model.slug: self.pool(model) for model in self.config.models},
            gateways=gateways if gateways else self.config.gateways.count,
            keys=read_keys(Path(self.config.keys), self.log) if self.config.keys is not None else {},
        )

    def template(self) -> str:
        """The template; a certificate's digest stands in it, because Nginx reads a new one only when it reloads."""
        text = Path(self.config.template).read_text(encoding="utf-8")
        if self.config.certificate is None:
            return text
        digest = hashlib.sha256(Path(self.config.certificate).read_bytes()).hexdigest()
        return f"{text}# certificate {digest}\n"

    async def answered(self) -> None:
        """Wait until gateway-run.sh has taken or refused what lies there; nothing else can be done meanwhile."""
        since = time.monotonic()
        while self.next.exists():
            if time.monotonic() - since > PATIENCE_SECONDS:
                self.log.once("offer", "gateway-run.sh neither takes nor refuses it")
            await asyncio.sleep(LOOK_SECONDS)
        self.log.once("offer", None)

    async def offer(self, view: View) -> None:
        """Have a new text taken; a refused one is not offered again until it changes, unless nothing serves yet."""
        await self.answered()  # what an earlier run left
        text = render(view, self.config.models)
        running = read(self.folder / "nginx.conf")
        if text != self.refused:
            self.refused = None
        if text == running:
            self.taken = view
            self.log.once("configuration", None)  # a refused edit was taken back
        elif self.refused is None or running is None:
            await asyncio.sleep(max(0.0, self.offered + SPACING_SECONDS - time.monotonic()))
            write(self.next, text)
            await self.answered()
            self.offered = time.monotonic()
            self.tell(view, text)

    def tell(self, view: View, text: str) -> None:
        """Note and log what became of an offer; of the keys only that they changed."""
        old = self.taken._asdict() if self.taken is not None else {}
        changed = [name for name, value in view._asdict().items() if old.get(name) != value]
        if read(self.folder / "nginx.conf") == text:
            self.taken = view
            bounds = limits(self.config.models, view.engines, view.gateways)
            self.log.once("configuration", None)
            self.log.say(
                "taken", changed=changed, engines=view.engines, gateways=view.gateways, limits=bounds
            )
        else:
            self.refused = text
            words = read(self.folder / "refused.log")
            self.log.once("configuration", f"refused, changed {', '.join(changed)}: {words}")

    async def run(self) -> None:
        """Round after round; a bad one is logged and the next tries again."""
        while True:
            started = time.monotonic()
            try:
                await self.offer(await self.look())
                self.log.once("round", None)
            except (OSError, ValueError) as error:
                self.log.once("round", f"{type(error).__name__}: {error}")
            await asyncio.sleep(max(0.0, started + self.config.interval_seconds - time.monotonic()))


def main(arguments: list[str]) -> int:
    """Run until SIGTERM, which may come at any moment: files appear whole, so nothing is left to do."""
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
    asyncio.run(Reloader(config).run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
