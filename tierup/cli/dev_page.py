"""A tier that runs as local processes, as text: its address, and how to send it a request."""

import json
import shlex
from pathlib import Path
from urllib.parse import quote

from tierup.catalog.engine import engine_facts
from tierup.local.dev.run import DevRun
from tierup.plan.model import Plan


def page(run: DevRun) -> list[str]:
    """The page of a run that serves requests."""
    gateway = run.gateway
    logs = [str(server.log.relative_to(run.folder)) for server in run.processes()] + ["gateway/access.log"]
    return [
        f"{run.plan.stack} serves at {gateway.url}/v1, with random weights: answers are noise",
        *lines(run.plan, gateway.url, gateway.keys, gateway.certificates / "ca.crt"),
        *_prometheus(run),
        f"  logs        {run.folder}: {', '.join(logs)}",
        "Edit templates/, monitoring/rules/ and the stack file: changes are applied, or refused with a message here.",
        "Ctrl-C ends everything.",
    ]


def _prometheus(run: DevRun) -> list[str]:
    """A link to Prometheus' graph of the running requests of the first model's engine."""
    running = engine_facts(run.plan.models[0].engine).metrics.running.value
    query = f"?g0.expr={quote(running, safe='')}" if running is not None else ""
    return [f"  Prometheus  {run.prometheus.url}/graph{query}"]


def lines(plan: Plan, url: str, keys: Path, authority: Path) -> list[str]:
    """Model names, keys and two example requests; `authority` signed the gateway's certificate."""
    names = list(plan.served)
    rows = [f"  models      {', '.join([*names, *plan.gateway.aliases])}"]
    header, key = "", '"none"'
    if plan.gateway.keys:
        first = keys / plan.gateway.keys[0].name
        rows.append(
            f"  keys        {keys}: {', '.join(item.name for item in plan.gateway.keys)}, a file each"
        )
        header = f' -H "Authorization: Bearer $(cat {shlex.quote(str(first))})"'
        key = f'open("{first}").read()'
    ca_option = f" --cacert {shlex.quote(str(authority))}" if plan.gateway.tls else ""
    if plan.gateway.tls:
        rows.append(f"  certificate signed by {authority} (for OpenAI's client: SSL_CERT_FILE)")
    request = {"model": names[0], "messages": [{"role": "user", "content": "hello"}], "max_tokens": 16}
    body = shlex.quote(json.dumps(request))
    curl = f"curl{ca_option} {url}/v1/chat/completions -H 'Content-Type: application/json'{header} -d {body}"
    return [
        *rows,
        f"  curl        {curl}",
        f'  Python      openai.OpenAI(base_url="{url}/v1", api_key={key})',
    ]
