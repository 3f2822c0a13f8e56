"""What stands before the gateway, at a real API server: with the Gateway API's and cert-manager's own definitions."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from tiers import Edit, Tier

from tierup.io.cluster.paths import collection
from tierup.local.cluster.api import WAIT_TIMEOUT_S, Api, ApiError
from tierup.local.cluster.project import PulumiFailed
from tierup.local.toolchain import ToolMissing, tool
from tierup.manifests import gateway

HOST = "llm.example.com"
DEFINED = {
    "gateway.networking.k8s.io_httproutes.yaml": ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    "cert-manager.io_certificates.yaml": ("cert-manager.io/v1", "Certificate"),
}
WAYS = {
    "route": (
        f"httpRoute:\n      hostnames: [{HOST}]\n"
        "      parentRefs: [{name: public, namespace: gateways, sectionName: https}]"
    ),
    "ingress": f"ingress: {{className: nginx, host: {HOST}}}\n    tls: {{issuer: {{name: letsencrypt}}}}",
    "node-port": (
        "serviceType: NodePort\n    nodePort: 30080\n    sourceRanges: [10.0.0.0/8]\n"
        "    tls: {issuer: {name: letsencrypt}}"
    ),
}


@pytest.fixture(scope="session")
def definitions() -> list[str]:
    """The files with the definitions of HTTPRoutes and Certificates; skips if the toolchain has none."""
    try:
        return [str(tool(name)) for name in DEFINED]
    except ToolMissing as missing:
        pytest.skip(f"NOT PROVEN, the definitions are not there: run `make toolchain` ({missing})")


def way(name: str, instead_of: str | None = None) -> Edit:
    """An edit of the stack file: this way to the gateway, instead of another one."""
    section = "  tierup:gateway:\n"
    old = f"{section}    {WAYS[instead_of]}\n" if instead_of is not None else section
    return lambda text: text.replace(old, f"{section}    {WAYS[name]}\n", 1)


def define(tier: Tier, files: list[str]) -> None:
    """Create the definitions, and wait until the API server serves their kinds."""
    for file in files:
        tier.kubectl("apply", "--server-side", "-f", file)
    deadline = time.monotonic() + WAIT_TIMEOUT_S
    while not all(serves(tier.cluster.api, *kind) for kind in DEFINED.values()):
        assert time.monotonic() < deadline, "the API server never served the kinds"
        time.sleep(0.2)


def serves(api: Api, version: str, kind: str) -> bool:
    try:
        return kind in {item["kind"] for item in api.request("GET", f"/apis/{version}")["resources"]}
    except ApiError:
        return False


def live(tier: Tier, version: str, kind: str) -> dict[str, Any] | None:
    return tier.cluster.api.get(version, kind, "gateway", tier.plan.namespace)


def outputs(tier: Tier) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(tier.project.pulumi("stack", "output", "--json", quiet=True))
    return shown


@pytest.fixture
def tier(tier_of: Callable[..., Tier]) -> Tier:
    return tier_of("entry", way("route"), own_cluster=True)


def test_a_cluster_that_lacks_the_kinds_is_refused_before_anything_exists(tier: Tier) -> None:
    tier.prepare()
    command = [sys.executable, "-c", "from tierup.cli import main; main()", "doctor", "--json"]
    ended = subprocess.run(
        [*command, "--stack", tier.stack],
        cwd=tier.project.source,
        env=tier.project.environment() | {"KUBECONFIG": str(tier.cluster.kubeconfig)},
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    (missing,) = [item for item in json.loads(ended.stdout)["checks"] if item["name"] == "apis"]
    assert missing["found"] == "the cluster does not serve HTTPRoute of gateway.networking.k8s.io/v1"
    assert "Gateway API" in missing["fix"]
    with pytest.raises(PulumiFailed, match=r"TIER016 gateway: .*HTTPRoute"):
        tier.project.pulumi("preview", quiet=True)


def test_a_tier_changes_from_a_route_to_an_ingress_to_a_node_port(tier: Tier, definitions: list[str]) -> None:
    """The API server checks each object against the projects' own schemas; no controller runs."""
    define(tier, definitions)
    tier.up()
    route = live(tier, "gateway.networking.k8s.io/v1", "HTTPRoute")
    assert route is not None
    assert route["spec"]["rules"][0]["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert route["spec"]["parentRefs"][0]["namespace"] == "gateways"
    assert outputs(tier)["gateway"] == f"https://{HOST}"

    tier.edit(way("ingress", "route"))
    tier.up()
    assert live(tier, "gateway.networking.k8s.io/v1", "HTTPRoute") is None
    ingress = live(tier, "networking.k8s.io/v1", "Ingress")
    assert ingress is not None
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
    assert ingress["spec"]["tls"] == [{"hosts": [HOST], "secretName": "gateway-tls"}]
    assert outputs(tier)["gateway"] == f"https://{HOST}"

    tier.edit(way("node-port", "ingress"))
    tier.up()
    assert live(tier, "networking.k8s.io/v1", "Ingress") is None
    certificate, service = live(tier, "cert-manager.io/v1", "Certificate"), live(tier, "v1", "Service")
    assert certificate is not None
    assert service is not None
    assert certificate["spec"]["issuerRef"]["name"] == "letsencrypt"
    assert service["spec"]["ports"][0]["nodePort"] == 30080, "the quota allows the port"
    assert outputs(tier)["gateway"] == f"https://gateway.{tier.plan.namespace}.svc:8080"


def test_the_api_server_knows_every_field(tier: Tier, definitions: list[str]) -> None:
    """A dry run with strict validation: a misspelt field is refused, where a plain request would lose it."""
    define(tier, definitions)
    api, namespace = tier.cluster.api, tier.plan.namespace
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for before, name in ((None, "route"), ("route", "ingress"), ("ingress", "node-port")):
        if before is not None:
            tier.edit(way(name, before))
        for manifest in gateway.objects(tier.plan):
            api.request("POST", f"{collection(manifest)}?dryRun=All&fieldValidation=Strict", manifest)
    (route,) = [item for item in gateway.objects(route_plan(tier)) if item["kind"] == "HTTPRoute"]
    route["spec"]["rules"][0]["timeout"] = route["spec"]["rules"][0].pop("timeouts")
    with pytest.raises(ApiError, match="timeout"):
        api.request("POST", f"{collection(route)}?dryRun=All&fieldValidation=Strict", route)


def route_plan(tier: Tier) -> Any:
    """The plan of the tier with its route again."""
    tier.edit(way("route", "node-port"))
    return tier.plan
