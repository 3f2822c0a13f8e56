"""Records what a real Prometheus answers to every query of the boards, for their pictures. To renew the recording:

    tierup dev up --stack standard --engines 2       # in another terminal
    .venv/bin/python tests/support/board_answers.py ADDRESS-OF-ENGINE-1 ADDRESS-OF-ENGINE-2    # of its prometheus.yml

The engines are real vLLM servers under a load of chats, with the rules of the stack. GPUs and servers are not there:
their series come from `example_page`, in the exporters' format, with invented values.
"""

import argparse
import dataclasses
import json
import math
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from board_queries import asked, filled, loaded

from tierup.cli.generate import EXAMPLE, RECORDED, ROOT, plan_of
from tierup.cost import priced
from tierup.local.machine.ports import free_port
from tierup.local.toolchain import tool
from tierup.manifests.alerts import alerts_yml
from tierup.manifests.boards import boards_json
from tierup.manifests.monitoring import prometheus_yml
from tierup.plan.model import Plan

RECORDING = ROOT / RECORDED
POINTS, DIGITS = 40, 4
LOADS = (6, 24, 4, 12)  # chats at the same time, each for a quarter of the recording


def example_page(plan: Plan, seconds: float) -> dict[str, str]:
    """The pages of the GPU and the node exporter after so many seconds; spares are off."""
    (server,) = plan.nodes.in_service
    gpu, node = [], [f'node_uname_info{{nodename="{server}"}} 1']
    for index in range(plan.nodes.gpus_per_server):
        busy = 55 + 30 * math.sin(seconds / 60 + index)
        values = {
            "FB_USED": 74_900 + index,
            "FB_FREE": 6_000,
            "FB_RESERVED": 650,
            "GPU_UTIL": busy,
            "MEM_COPY_UTIL": busy * 0.6,
            "POWER_USAGE": 90 + busy * 1.9,
            "GPU_TEMP": 38 + busy / 4,
            "SM_CLOCK": 1_410,
            "XID_ERRORS": 0,
            "ROW_REMAP_FAILURE": 0,
            "PCIE_REPLAY_COUNTER": 0,
        }
        labels = f'Hostname="{server}",gpu="{index}",namespace="{plan.namespace}",pod="model-{index}"'
        gpu += [f"DCGM_FI_DEV_{name}{{{labels}}} {value:.6g}" for name, value in values.items()]
    used = 0.3 + 0.2 * math.sin(seconds / 90)
    node += [
        f'node_cpu_seconds_total{{cpu="0",mode="idle"}} {seconds * (1 - used):.6f}',
        f"node_load5 {64 * used:.3f}",
        "node_memory_MemTotal_bytes 1.37e11",
        f"node_memory_MemAvailable_bytes {1.37e11 * (1 - used * 0.8):.6g}",
        'node_filesystem_size_bytes{mountpoint="/",fstype="ext4",device="md0"} 4e12',
        f'node_filesystem_avail_bytes{{mountpoint="/",fstype="ext4",device="md0"}} {2.6e12 - seconds * 1e7:.6g}',
        f'node_disk_read_bytes_total{{device="md0"}} {seconds * 2e6:.6g}',
        f'node_disk_written_bytes_total{{device="md0"}} {seconds * 9e6:.6g}',
        'node_md_disks{device="md0",state="failed"} 0',
        "node_timex_offset_seconds 0.0004",
        f"node_netstat_Tcp_RetransSegs {seconds * 3:.3f}",
        f"node_netstat_Tcp_OutSegs {seconds * 4_000:.3f}",
    ]
    for way, bytes_per_second in (("receive", 3e7), ("transmit", 7e7)):
        node.append(f'node_network_{way}_bytes_total{{device="eth0"}} {seconds * bytes_per_second:.6g}')
        node += [f'node_network_{way}_{what}_total{{device="eth0"}} 0' for what in ("errs", "drop")]
    return {"/gpu": "\n".join(gpu) + "\n", "/node": "\n".join(node) + "\n"}


def configuration(plan: Plan, folder: Path, engines: list[str], examples: int, port: int) -> Path:
    """Prometheus's file for the engines and the examples' page."""
    (folder / "alerts.yml").write_text(alerts_yml(plan))
    rules = [str(ROOT / "monitoring/rules/recording.yml"), str(folder / "alerts.yml")]
    text = prometheus_yml(plan, rules=rules, port=port, engines={plan.models[0].slug: engines})
    content = yaml.safe_load(text)
    for job in ("gpu", "node"):
        target = {"targets": [f"127.0.0.1:{examples}"]}
        scrape = {"job_name": job, "metrics_path": f"/{job}", "honor_labels": True}
        content["scrape_configs"].append({**scrape, "static_configs": [target]})
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(content))
    return path


def serve_examples(plan: Plan) -> int:
    """Serve `example_page` on a free port."""
    started = time.monotonic()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = example_page(plan, time.monotonic() - started)[self.path].encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: it is asked every few seconds."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def load(engines: list[str], model: str, seconds: float) -> None:
    """Chats with every engine, in four stages."""
    program = Path(__file__).with_name("chat_load.py")
    for clients in LOADS:
        options = ["--clients", str(clients), "--tokens", "200"]
        commands = [[sys.executable, str(program), f"http://{engine}", model, *options] for engine in engines]
        running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
        time.sleep(seconds / len(LOADS))
        for process in running:
            process.terminate()
            process.wait(120)


def ask(port: int, query: str, start: float, end: float) -> list[dict[str, Any]]:
    """The series of a query over a time: labels, and a value or null for each point."""
    step = (end - start) / (POINTS - 1)
    values = urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": f"{step:.3f}"})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query_range?{values}") as answer:
        found = json.load(answer)["data"]["result"]
    series = []
    for item in found:
        at = {round((moment - start) / step): float(value) for moment, value in item["values"]}
        points = [None if index not in at else float(f"{at[index]:.{DIGITS}g}") for index in range(POINTS)]
        series.append({"labels": item["metric"], "values": points})
    return series


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="+", help="host:port of each running engine")
    parser.add_argument("--seconds", type=float, default=600)
    given = parser.parse_args()
    plan = plan_of(EXAMPLE)
    plan = dataclasses.replace(
        plan, monitoring=dataclasses.replace(plan.monitoring, scrape_interval_seconds=5)
    )
    port, made = free_port(), loaded(boards_json(priced(plan)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configuration(plan, folder, given.engines, serve_examples(plan), port)
        options = [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
        process = subprocess.Popen([str(tool("prometheus")), f"--config.file={config}", *options])
        try:
            start = time.time()
            load(given.engines, plan.models[0].name, given.seconds)
            start, end = start + given.seconds / 6, time.time()
            answers = {
                item.key: answer
                for item in asked(made)
                if (answer := ask(port, filled(item.expr), start, end))
            }
        finally:
            process.terminate()
            process.wait(30)
    legends = {item.key: set(re.findall(r"\{\{(\w+)\}\}", item.legend)) for item in asked(made)}
    for key, found in answers.items():
        for series in found:
            names = series["labels"]
            series["labels"] = {label: names[label] for label in sorted(legends[key] & names.keys())}
    about = {"seconds": round(end - start), "engine": "vLLM on a CPU", "examples": "GPUs and servers"}
    RECORDING.parent.mkdir(exist_ok=True)
    RECORDING.write_text(
        json.dumps({**about, "answers": answers}, separators=(",", ":"), sort_keys=True) + "\n"
    )


if __name__ == "__main__":
    main()
