"""The gateways to compare: none, ours with all features on, and the proxies that people would use instead.

All use the same fake model servers, without TLS, and may use two cores. `plan_of` and `ours` configure our gateway.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from string import Template

from benchmarks.processes import END_S, Workspace, uninterrupted
from benchmarks.report import progress
from benchmarks.traffic import Backends, Target, until_served
from tierup.catalog import load_catalog
from tierup.local.dev.gateway_of_plan import PlanGateway
from tierup.local.machine.ports import free_port
from tierup.local.toolchain import ToolchainError, cache_root, ensure, tool, toolchain_dir
from tierup.local.toolchain.engine_env import EngineEnv
from tierup.local.toolchain.nginx import CURRENT, NginxProgram, current_nginx, toolchain_nginx
from tierup.plan.model import Plan
from tierup.plan.resolve import resolve
from tierup.stack.parse import API_KEY_PREFIX, RawStack, parse
from tierup.templates import ROOT

Maker = Callable[[Workspace, Backends], Target]

# The minimum that serves: our gateway's balancing and streaming, without a log.
_NGINX = Template("""
worker_processes 2;
pid $folder/nginx.pid;
error_log $folder/error.log warn;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    upstream engines {
        zone engines 64k;
        least_conn;
        $servers
        keepalive 64;
    }
    server {
        listen $address;
        location / {
            proxy_pass http://engines;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
        }
    }
}
""")
_HAPROXY = Template("""
global
    nbthread 2
    maxconn 4096
defaults
    mode http
    option http-no-delay
    timeout connect 3s
    timeout client 600s
    timeout server 600s
    timeout queue 600s
frontend clients
    bind $address
    $classes
    default_backend engines
backend engines
    balance leastconn
    http-reuse always
    $servers
""")
LONG_FROM = 32  # tokens: a request for at least so many is a long job
# Lower goes first; requests wait in HAProxy, because it sends a server no more than its slots.
_CHATS_FIRST = f"""option http-buffer-request
    acl chat req.body,json_query('$.max_tokens',"int") -m int lt {LONG_FROM}
    http-request set-priority-class int(-10) if chat"""
_CALLER, _KEY = "bench", "key-of-the-benchmark"
_TOOLS = ("tierup-bench", "nginx", "ngx_http_js_module.so")
_HAPROXY_PARTS = ("liblua5.3.so.0", "libopentracing.so.1", "libopentracing-c-wrapper.so.0", "haproxy")


def install() -> None:
    """Install the tools that every comparison needs; raises ToolchainError."""
    ensure(_TOOLS, progress)


def plan_of(slots: int, queue: int, *, metered: bool = False) -> Plan:
    """A tier of two model servers with `slots` each behind one gateway that admits `queue` more requests.

    All features are on: a caller with a key, a rate and a cap (never reached), two classes by requested tokens.
    `metered`: it also counts tokens.
    """
    size = {"promptTokens": 250, "ttftMs": 500, "tpotMs": 50}
    long = {**size, "answerTokens": 64, "share": 0.2, "priority": 20, "match": {"maxTokensFrom": LONG_FROM}}
    sections: dict[str, object] = {
        "workload": {
            "users": 50,
            "classes": {"chat": {**size, "answerTokens": 20, "share": 0.8, "priority": 80}, "longform": long},
        },
        "nodes": {"server": "entry-2x-rtx-4090"},
        "models": [{"id": "qwen2.5-7b", "replicas": 2, "maxNumSeqs": slots}],
        "gateway": {
            "replicas": 1,
            "queueLength": queue,
            "meterTokens": metered,
            "keys": {_CALLER: {"requestsPerSecond": 100_000, "inFlight": 10_000}},
        },
    }
    raw = RawStack("bench", sections, frozenset({API_KEY_PREFIX + _CALLER}))
    return resolve(parse(raw).config(), load_catalog())


def direct(_workspace: Workspace, backends: Backends) -> Target:
    """No gateway: clients use the model servers in turn; the cost is the servers' own."""
    return Target("direct", backends.addresses, backends.pids)


def nginx_of(workspace: Workspace, *, current: bool) -> NginxProgram:
    """The Nginx of both gateways that are one: the toolchain's, or the current one. Raises ToolchainError."""
    if not current:
        return toolchain_nginx()
    ensure((CURRENT,), progress)
    return current_nginx(workspace.subfolder("current-nginx"))


def ours(
    workspace: Workspace, backends: Backends, plan: Plan, program: NginxProgram, name: str = "ours"
) -> Target:
    """The gateway of `plan`, Nginx and the reloader, as in its pod."""
    (model,) = plan.models
    folder, engines = workspace.subfolder(name), {model.slug: backends.addresses}
    gateway = PlanGateway(plan, folder, engines, {_CALLER: [_KEY]}, nginx=program)
    with uninterrupted():
        workspace.at_end(partial(gateway.end, END_S))
        processes = (gateway.start_nginx(), gateway.start_reloader())
    pids = tuple(process.pid for process in processes)
    target = Target(name, (f"127.0.0.1:{gateway.port}",), pids, {"Authorization": f"Bearer {_KEY}"})
    until_served(target, model.name, processes, gateway.log_errors)
    return target


def nginx(workspace: Workspace, backends: Backends, model: str, program: NginxProgram) -> Target:
    """Nginx as a plain balancing proxy."""
    folder, address = workspace.subfolder("nginx"), f"127.0.0.1:{free_port()}"
    servers = " ".join(f"server {backend};" for backend in backends.addresses)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.substitute(folder=folder, address=address, servers=servers))
    return _served(workspace, Target("nginx", (address,), ()), _nginx_command(program, str(config)), model)


def haproxy(workspace: Workspace, backends: Backends, model: str, *, slots: int | None = None) -> Target:
    """HAProxy as a plain balancing proxy; with `slots`, requests wait in its own queue, chats first."""
    address = f"127.0.0.1:{free_port()}"
    maxconn = "" if slots is None else f" maxconn {slots}"
    servers = "\n    ".join(f"server s{n} {backend}{maxconn}" for n, backend in enumerate(backends.addresses))
    classes = "" if slots is None else _CHATS_FIRST
    config = workspace.subfolder("haproxy") / "haproxy.cfg"
    config.write_text(_HAPROXY.substitute(address=address, servers=servers, classes=classes))
    command = ["env", f"LD_LIBRARY_PATH={toolchain_dir()}", str(tool("haproxy")), "-db", "-f", str(config)]
    return _served(workspace, Target("haproxy", (address,), ()), command, model)


def vllm_router(workspace: Workspace, backends: Backends, model: str) -> Target:
    """The router of the vLLM project, with its cheapest policy."""
    address = f"127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    workers = [f"http://{backend}" for backend in backends.addresses]
    command = [str(_router_env().folder / "bin" / "python"), "-m", "vllm_router.launch_router"]
    command += ["--host", "127.0.0.1", "--port", port, "--prometheus-port", str(free_port())]
    command += ["--policy", "round_robin", "--log-level", "error", "--worker-urls", *workers]
    return _served(workspace, Target("vllm-router", (address,), ()), command, model)


def all_gateways(plan: Plan, program: NginxProgram) -> list[Maker]:
    """All gateways; one that cannot be installed is left out and reported."""
    (model,) = plan.models
    makers: list[Maker] = [
        direct,
        partial(ours, plan=plan, program=program),
        partial(nginx, model=model.name, program=program),
    ]
    if has_haproxy():
        makers.append(partial(haproxy, model=model.name))
    if _installed("vllm-router", lambda: _router_env().ensure(progress)):
        makers.append(partial(vllm_router, model=model.name))
    return makers


def has_haproxy() -> bool:
    """Whether HAProxy is installed, after an attempt to install it."""
    return _installed("haproxy", lambda: ensure(_HAPROXY_PARTS, progress))


def _installed(name: str, get: Callable[[], object]) -> bool:
    try:
        get()
    except ToolchainError as error:
        progress(f"LEFT OUT, NOT MEASURED: {name}: {error}")
        return False
    return True


def _router_env() -> EngineEnv:
    return EngineEnv(
        ROOT / "requirements" / "vllm-router.txt",
        cache_root() / "vllm-router",
        check="import vllm_router_rs, vllm_router.launch_router",
        name="vllm-router",
        install_cost="about 200 MB",
        hint="it has wheels for Linux on x86-64 with glibc 2.28 or newer",
    )


def _nginx_command(program: NginxProgram, config: str) -> list[str]:
    """Nginx in the foreground. Without `user root`, workers of root's Nginx could not enter the folder."""
    user = " user root;" if os.geteuid() == 0 else ""
    return [str(program.path), "-e", "/dev/stderr", "-c", config, "-g", f"daemon off;{user}"]


def _served(workspace: Workspace, target: Target, command: list[str], model: str) -> Target:
    """Start a gateway of one process and wait for its first response."""
    process = workspace.start(target.name, command)
    until_served(target, model, [process], lambda: workspace.log_tail(target.name))
    return replace(target, pids=(process.pid,))
