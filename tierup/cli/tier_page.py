"""A running tier as text: its servers, their pods, and how to inspect it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tierup.cli.exits import console
from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.existing import ExistingCluster
from tierup.local.cluster.first_chat import first_chat, node_port_url
from tierup.local.cluster.project import LocalProject
from tierup.manifests.common import GATEWAY_PORT, PROMETHEUS_PORT
from tierup.plan.model import Plan
from tierup.resources.gpus import pod_gpus
from tierup.resources.identity import ROLE_LABEL

if TYPE_CHECKING:
    from rich.console import Console

AnyCluster = Cluster | ExistingCluster
Object = dict[str, Any]
_SETTLE_SECONDS = 60.0
_PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}


def gpus_of_pod(pod: dict[str, Any]) -> int:
    """GPUs that a pod holds; one that has ended, such as an evicted one, holds none."""
    return 0 if pod["status"].get("phase") in ("Succeeded", "Failed") else pod_gpus(pod["spec"])


def settled_pods(cluster: AnyCluster, plan: Plan) -> list[Object]:
    """The stack's pods once every model has its minimum replicas, or as they are after a minute."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        pods = cluster.pods(plan.namespace)
        running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        if sum(map(gpus_of_pod, running)) >= plan.gpus_used or time.monotonic() > deadline:
            return pods
        time.sleep(0.5)


def show(plan: Plan, project: LocalProject[Cluster] | LocalProject[ExistingCluster]) -> None:
    """Print the servers, pods and outputs of a tier that is up, and how to inspect it."""
    cluster, out = project.cluster, console()
    out.print(f"[bold]{plan.stack}[/bold], {cluster.how}", highlight=False, soft_wrap=True)
    _show_servers(out, plan, cluster)
    out.print("outputs")
    for key, value in project.outputs().items():
        shown = json.dumps(value) if not isinstance(value, str) else value
        out.print(f"  {key}: {shown}", **_PLAIN)
    if isinstance(cluster, Cluster) and cluster.node is not None:
        chat = first_chat(cluster, plan)
        out.print("a chat (the weights are random, so the answer is noise)")
        out.print(
            f"  {chat.text!r}: {chat.tokens} tokens, the first after {chat.first_seconds:.2f} s, "
            f"the last after {chat.seconds:.2f} s",
            **_PLAIN,
        )
    out.print("inspect it")
    for line in (
        *_requests(plan, cluster),
        f"export KUBECONFIG={cluster.kubeconfig}",
        f"kubectl -n {plan.namespace} get pods,deployments,hpa,networkpolicies -o wide",
        f'eval "$(tierup local env --stack {plan.stack})" && pulumi stack --stack {plan.stack}',
        f"tierup plan --stack {plan.stack} --why    # every value and its reason",
        f"tierup cost --stack {plan.stack}    # what it costs a month",
        f"tierup local down --stack {plan.stack}    # remove it",
    ):
        out.print(f"  {line}", **_PLAIN)


def _show_servers(out: Console, plan: Plan, cluster: AnyCluster) -> None:
    on_node: dict[str, list[Object]] = defaultdict(list)
    for pod in settled_pods(cluster, plan):
        on_node[pod["spec"].get("nodeName", "not scheduled")].append(pod)
    for node in cluster.servers(plan.stack):
        name, labels = node["metadata"]["name"], node["metadata"]["labels"]
        used = sum(map(gpus_of_pod, on_node[name]))
        total = node["status"]["capacity"].get(plan.cluster.gpu_resource, "0")
        product = labels["nvidia.com/gpu.product"]
        out.print(f"  {name}  {labels[ROLE_LABEL]}  {used} of {total} GPUs used ({product})", **_PLAIN)
        for pod in sorted(on_node[name], key=lambda pod: str(pod["metadata"]["name"])):
            out.print(f"    {pod['metadata']['name']}  {pod['status'].get('phase')}", **_PLAIN)
    for pod in on_node.get("not scheduled", []):
        out.print(f"  waiting: {pod['metadata']['name']} is not scheduled", **_PLAIN)


def _requests(plan: Plan, cluster: AnyCluster) -> list[str]:
    """How to reach the gateway and Prometheus of a tier whose pods run."""
    url = None
    if isinstance(cluster, Cluster):
        if cluster.node is None:
            return []
        url = node_port_url(cluster, plan)
    kubectl = f"kubectl --kubeconfig {cluster.kubeconfig} -n {plan.namespace}"
    if url is not None:
        lines = [f"{url}/v1    # the service, from this machine"]
    else:
        forward = f"{kubectl} port-forward service/gateway {GATEWAY_PORT}"
        lines = [f"{forward}    # then {plan.gateway.scheme}://127.0.0.1:{GATEWAY_PORT}/v1"]
    if plan.gateway.keys:
        name = plan.gateway.keys[0].name
        template = f'{{{{index .data "{name}" | base64decode}}}}'
        lines.append(f"{kubectl} get secret gateway-keys -o go-template='{template}'    # the key of {name}")
    prometheus = f"{kubectl} port-forward service/prometheus {PROMETHEUS_PORT}"
    return [*lines, f"{prometheus}    # metrics: http://127.0.0.1:{PROMETHEUS_PORT}"]
