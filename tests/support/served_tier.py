"""A tier whose pods run on a local cluster's real node, and clients of it."""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pods import Pods
from polling import until
from tiers import ROOT, Tier, own_checkout
from traces import Traces

from tierup.catalog import load_catalog
from tierup.io.stack.read import read_stack, stack_path
from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.data_centre import real_servers, with_images
from tierup.local.cluster.first_chat import first_chat
from tierup.local.cluster.folders import LocalClusterError
from tierup.local.cluster.project import LocalProject
from tierup.local.node import cgroups
from tierup.manifests.common import GATEWAY_PORT
from tierup.manifests.gateway_files import POD
from tierup.rules.preflight import plan_with_secrets
from tierup.stack.parse import CacheKind, parse

LOAD = ROOT / "tests" / "support" / "chat_load.py"
PODS = {"model-fetch": 1, "model-server": 2, "gateway": 2, "prometheus": 1, "grafana": 1}  # of each component
_STATUS = """
import sys, urllib.error, urllib.request
url, key = sys.argv[1:]
try:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    print(urllib.request.urlopen(request, timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""
_CONFIGURATION = (
    'test -e "$1/next/nginx.conf" || cat "$1/nginx.conf"'  # an offer stays until the reload is done
)
_CERTIFICATE = "import ssl, sys; print(ssl.get_server_certificate((sys.argv[1], int(sys.argv[2]))), end='')"
CLIENT = "client"  # the name of a namespace and of its only pod
ROLLOUT_SECONDS = 600.0  # an engine takes half a minute to start on an idle machine


@dataclass(repr=False)
class Load:
    """The chats of a steady load, in the order in which they ended."""

    chats: list[dict[str, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"{len(self.chats)} chats, failed: {self.failed()}"

    def failed(self) -> list[dict[str, Any]]:
        """Chats without a complete answer."""
        return [chat for chat in self.chats if not chat["complete"]]


@contextlib.contextmanager
def local_tier(
    stack: str, root: Path, folder: Path, change: Callable[[str], str] = lambda text: text, nodes: int = 1
) -> Iterator["ServedTier"]:
    """A tier of this repository on a cluster of its own in `root`, whose `nodes` are real, until the block ends.

    `change` edits the text of its stack file; `folder` gets the files of the project. Nothing is left on the machine.
    """
    checkout, work = own_checkout(folder / "checkout"), folder / "work"
    work.mkdir()
    file = stack_path(checkout, stack)
    file.write_text(change(file.read_text()))
    plan = plan_with_secrets(parse(read_stack(file)), load_catalog())
    cluster = Cluster.up(stack, root=root, real_nodes=with_images(real_servers(plan, nodes), plan, print))
    try:
        tier = ServedTier(LocalProject(checkout, stack, cluster, work, secrets=plan.secrets))
        tier.start_client()
        tier.up()
        tier.first_chat()
        yield tier
        traces = Traces.of(cluster)
    finally:
        cluster.down()
    left = traces.left()
    assert left == [], left


@dataclass(frozen=True)
class ServedTier(Tier):
    """The tier `up` has brought up; `kubectl` and the API see the pods that this machine runs.

    `broken` says why it is of no use to further tests; empty while it is.
    """

    broken: list[str] = field(default_factory=list)

    @property
    def model(self) -> str:
        """The first model's name."""
        return self.plan.models[0].name

    @property
    def gateway(self) -> str:
        """The URL of the gateway's Service, in the cluster's network."""
        service = self.cluster.api.get("v1", "Service", "gateway", self.plan.namespace)
        assert service is not None
        return f"{self.plan.gateway.scheme}://{service['spec']['clusterIP']}:{GATEWAY_PORT}"

    def start_client(self) -> None:
        """Create a pod of another namespace on the first node, from whose network chats are sent."""
        metadata = {"name": CLIENT}
        self.cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.cluster.api.wait("v1", "ServiceAccount", "default", CLIENT, until=lambda made: made is not None)
        pods = Pods(self.cluster, CLIENT)
        pods.create(CLIENT, ["sleep", "100000"], node=self.cluster.nodes[0].record.name)
        pods.wait_ready(CLIENT)

    def from_client(self, *command: str) -> list[str]:
        """The command, run in the network of the client's pod."""
        pod = self.cluster.api.get("v1", "Pod", CLIENT, CLIENT)
        assert pod is not None
        return ["nsenter", f"--net=/proc/{min(self.processes(pod, 'main'))}/ns/net", *command]

    def first_chat(self) -> None:
        """Chat once, as `tierup local up` does; if it fails, the error shows the logs of the gateways."""
        try:
            first_chat(self.cluster, self.plan)
        except LocalClusterError as error:
            for pod in self.pods("gateway"):
                name = pod["metadata"]["name"]
                logs = self.kubectl("-n", self.plan.namespace, "logs", name, "--all-containers", "--tail=15")
                error.add_note(f"{name}:\n{logs}")
            raise

    def account(self) -> str:
        """What there is to know of the cluster's state after a failure."""
        lines = [
            self.kubectl("get", "nodes,pods", "-A", "-o", "wide"),
            self.kubectl("get", "events", "-A", "--sort-by=.lastTimestamp")[-5000:],
            *(ended for node in self.cluster.nodes if (ended := node.ended()) is not None),
        ]
        return "\n".join(lines)

    def key(self, caller: str) -> str:
        """The first key of a caller."""
        secret = self.cluster.api.get("v1", "Secret", "gateway-keys", self.plan.namespace)
        assert secret is not None
        return base64.b64decode(secret["data"][caller]).decode().split()[0]

    def pods(self, component: str) -> list[dict[str, Any]]:
        """The pods of a component that are not on their way out nor evicted, by name."""
        found = [
            pod
            for pod in self.objects("v1", "Pod")
            if pod["metadata"]["labels"]["app.kubernetes.io/name"] == component
            and "deletionTimestamp" not in pod["metadata"]
            and pod["status"].get("phase") != "Failed"
        ]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def ready(self, component: str) -> int:
        """How many pods of a component are ready."""
        conditions = [pod["status"].get("conditions", ()) for pod in self.pods(component)]
        return sum(any(c["type"] == "Ready" and c["status"] == "True" for c in items) for items in conditions)

    def wait_ready(self, component: str, count: int) -> None:
        """Wait until exactly so many pods of a component exist and are ready."""
        until(
            lambda: self.ready(component) == count == len(self.pods(component)),
            f"{count} ready pods of {component}",
            ROLLOUT_SECONDS,
        )

    def all_ready(self) -> None:
        """Wait until every pod of the tier is ready and each gateway sends to exactly these engines."""
        for component, count in PODS.items():
            # The fetch into a shared volume is a Job, whose pod has ended.
            if component != "model-fetch" or self.plan.models[0].cache_kind is CacheKind.NODE:
                self.wait_ready(component, count)
        self.engines_known()

    def engines_known(self) -> None:
        """Wait until each gateway sends to exactly the engines that there are."""
        engines = {str(pod["status"]["podIP"]) for pod in self.pods("model-server")}
        until(
            lambda: all(self.engines_of(pod) == engines for pod in self.pods("gateway")),
            "the gateways know the engines",
        )

    def engines_of(self, gateway: dict[str, Any]) -> set[str]:
        """The addresses of the engines to which a gateway's pod sends; none while it takes a new configuration."""
        name = gateway["metadata"]["name"]
        command = ("exec", name, "-c", "nginx", "--", "sh", "-c", _CONFIGURATION, "sh", POD.scratch)
        try:
            text = self.kubectl("-n", self.plan.namespace, *command)
        except subprocess.CalledProcessError:  # its container has ended just now
            return set()
        return set(re.findall(r"^\s*server ([\d.]+):\d+ max_fails", text, re.MULTILINE))

    def set_secrets(self, **values: str) -> None:
        """Change secrets of the stack, such as `key_web`, and bring the tier up with them."""
        for name, value in values.items():
            key = f"tierup:secret-{name.replace('_', '-')}"
            self.project.pulumi("config", "set", "--secret", key, "--", value, quiet=True)
        self.up()

    @property
    def certificate(self) -> str:
        """The certificate with which the gateways are to answer, PEM."""
        secret = self.cluster.api.get("v1", "Secret", "gateway-tls", self.plan.namespace)
        assert secret is not None
        return base64.b64decode(secret["data"]["tls.crt"]).decode()

    def certificates(self) -> set[str]:
        """The certificate with which each gateway answers, PEM."""
        addresses = [pod["status"]["podIP"] for pod in self.pods("gateway")]
        commands = [
            self.from_client(sys.executable, "-c", _CERTIFICATE, ip, str(GATEWAY_PORT)) for ip in addresses
        ]
        return {
            subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands
        }

    def answers(self, key: str) -> set[str]:
        """The HTTP status with which each gateway answers a caller with this key."""
        urls = [
            f"{self.plan.gateway.scheme}://{pod['status']['podIP']}:{GATEWAY_PORT}"
            for pod in self.pods("gateway")
        ]
        commands = [self.from_client(sys.executable, "-c", _STATUS, f"{url}/v1/models", key) for url in urls]
        return {
            subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
            for command in commands
        }

    def deployments(self, component: str) -> list[str]:
        """Names of the component's Deployments."""
        found = self.objects("apps/v1", "Deployment")
        return [
            str(item["metadata"]["name"])
            for item in found
            if item["metadata"]["labels"]["app.kubernetes.io/name"] == component
        ]

    def restart(self, component: str) -> None:
        """Replace every pod of a component, as a change of its template does, and wait until that is done."""
        for name in self.deployments(component):
            self.kubectl("-n", self.plan.namespace, "rollout", "restart", f"deployment/{name}")
            self.kubectl(
                *("-n", self.plan.namespace, "rollout", "status", f"deployment/{name}"),
                f"--timeout={ROLLOUT_SECONDS:.0f}s",
            )

    def processes(self, pod: dict[str, Any], container: str) -> set[int]:
        """Pids, on this machine, of a pod's container."""
        status = self._container(pod, container)
        identifier = status["containerID"].rpartition("/")[2]
        found = set()
        for group in [h / node.record.cgroup for h in cgroups.hierarchies() for node in self.cluster.nodes]:
            for folder in group.rglob(f"*{identifier}*"):
                found |= set(map(int, (folder / "cgroup.procs").read_text().split()))
        assert found, f"no process of {container}"
        return found

    def signal(self, pod: dict[str, Any], container: str, number: signal.Signals) -> None:
        """Send a signal to every process of a pod's container; the kernel ends the others with the first one."""
        for pid in self.processes(pod, container):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def restarts(self, pod: dict[str, Any], container: str) -> int:
        """How often a container of a pod was restarted."""
        count: int = self._container(pod, container)["restartCount"]
        return count

    def _container(self, pod: dict[str, Any], container: str) -> dict[str, Any]:
        now = self.cluster.api.get("v1", "Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
        assert now is not None
        (status,) = (item for item in now["status"]["containerStatuses"] if item["name"] == container)
        return dict(status)

    @contextlib.contextmanager
    def load(
        self,
        *,
        key: str | None = None,
        clients: int = 2,
        tokens: int = 30,
        trusted: str | None = None,
        url: str | None = None,
    ) -> Iterator[Load]:
        """Send chats to the gateway's Service, or another `url`, during the block; the result is complete after it.

        `key` is by default that of the caller `web`, if there is one; `trusted` has certificates, PEM, by
        default the tier's own.
        """
        if key is None:
            key = self.key("web") if self.plan.gateway.keys else ""
        if trusted is None:
            trusted = self.certificate if self.plan.gateway.scheme == "https" else ""
        authorities = self.project.work_folder / "trusted.pem"
        authorities.write_text(trusted)
        target = self.gateway if url is None else url
        command = [
            *self.from_client(sys.executable, str(LOAD)),
            *(target, self.model, "--key", key, "--ca", str(authorities)),
            *("--clients", str(clients), "--tokens", str(tokens)),
        ]
        load = Load()
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(command, stdout=output, text=True)
            try:
                until(lambda: Path(f"/proc/{process.pid}/fd/1").stat().st_size > 0, "the first chat")
                yield load
            finally:
                process.terminate()
                code = process.wait(ROLLOUT_SECONDS)
                output.seek(0)
                load.chats += [json.loads(line) for line in output]
        assert code == 0
