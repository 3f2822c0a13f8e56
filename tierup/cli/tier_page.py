"""A running tier as text: its servers, their pods, and how to inspect it."""

import json
import time
from collections import defaultdict
from typing import Any

from tierup.cli.exits import console
from tierup.local.cluster.api import Api
from tierup.local.cluster.first_chat import first_chat, node_port_url
from tierup.local.cluster.project import LocalProject
from tierup.manifests.common import GATEWAY_PORT, PROMETHEUS_PORT
from tierup.plan.model import Plan
from tierup.resources.gpus import pod_gpus
from tierup.resources.identity import ROLE_LABEL, STACK_LABEL

_SETTLE_SECONDS = 60.0


def gpus_of_pod(pod: dict[str, Any]) -> int:
    """GPUs that a pod holds; one that has ended, such as an evicted one, holds none."""
    return 0 if pod["status"].get("phase") in ("Succeeded", "Failed") else pod_gpus(pod["spec"])


def settled_pods(api: Api, plan: Plan) -> list[dict[str, Any]]:
    """The stack's pods once every model has its minimum replicas, or as they are after a minute."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        pods = api.list_all("v1", "Pod", namespace=plan.namespace)
        running = [pod for pod in pods if pod["status"].get("phase") == "Running"]
        if sum(map(gpus_of_pod, running)) >= plan.gpus_used or time.monotonic() > deadline:
            return pods
        time.sleep(0.5)


def show(plan: Plan, project: LocalProject) -> None:
    """Print the servers, pods and outputs of a running tier, and how to inspect it."""
    out, api = console(), project.cluster.api
    plain: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}
    pods = settled_pods(api, plan)
    on_node: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for pod in pods:
        on_node[pod["spec"].get("nodeName", "not scheduled")].append(pod)
    real = [node.record.name for node in project.cluster.nodes]
    how = f"running on {' and '.join(real)}" if real else "scheduled on simulated nodes"
    out.print(f"[bold]{plan.stack}[/bold], {how}", highlight=False)
    for node in api.list_all("v1", "Node", selector={STACK_LABEL: plan.stack}):
        name, labels = node["metadata"]["name"], node["metadata"]["labels"]
        used = sum(map(gpus_of_pod, on_node[name]))
        total = node["status"]["capacity"].get(plan.cluster.gpu_resource, "0")
        product = labels["nvidia.com/gpu.product"]
        out.print(f"  {name}  {labels[ROLE_LABEL]}  {used} of {total} GPUs used ({product})", **plain)
        for pod in sorted(on_node[name], key=lambda pod: str(pod["metadata"]["name"])):
            out.print(f"    {pod['metadata']['name']}  {pod['status'].get('phase')}", **plain)
    for pod in on_node.get("not scheduled", []):
        out.print(f"  waiting: {pod['metadata']['name']} is not scheduled", **plain)
    out.print("outputs")
    for key, value in project.outputs().items():
        shown = json.dumps(value) if not isinstance(value, str) else value
        out.print(f"  {key}: {shown}", **plain)
    if real:
        chat = first_chat(project.cluster, plan)
        out.print("a chat (the weights are random, so the answer is noise)")
        out.print(
            f"  {chat.text!r}: {chat.tokens} tokens, the first after {chat.first_seconds:.2f} s, "
            f"the last after {chat.seconds:.2f} s",
            **plain,
        )
    out.print("inspect it")
    for line in (
        *_requests(plan, project),
        f"export KUBECONFIG={project.cluster.kubeconfig}",
        f"kubectl -n {plan.namespace} get pods,deployments,hpa,networkpolicies -o wide",
        f'eval "$(tierup local env --stack {plan.stack})" && pulumi stack --stack {plan.stack}',
        f"tierup plan --stack {plan.stack} --why    # every value and its reason",
        f"tierup cost --stack {plan.stack}    # what it costs a month",
        f"tierup local down --stack {plan.stack}    # remove it",
    ):
        out.print(f"  {line}", **plain)


def _requests(plan: Plan, project: LocalProject) -> list[str]:
    """How to reach the gateway and Prometheus of a tier that runs."""
    if project.cluster.node is None:
        return []
    kubectl = f"kubectl --kubeconfig {project.cluster.kubeconfig} -n {plan.namespace}"
    url = node_port_url(project.cluster, plan)
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
