"""How clients outside reach the gateway: one way, its objects, who may connect, the URL, and what it costs."""

from collections.abc import Callable
from typing import Any

import pytest
from fake_api import FakeApi
from policed import messages, refused, resource, service
from small_stack import codes, findings, refusals, small_plan
from tier_run import run_tier

from tierup.cost.bill.of_plan import bill_of
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.kinds import kind_findings
from tierup.manifests import exposure, gateway, render
from tierup.manifests.common import Manifest
from tierup.resources.ingress import controller_of
from tierup.resources.model import resource_of

HOST = "llm.example.com"
NGINX: dict[str, Any] = {"className": "nginx", "host": HOST}
ISSUER: dict[str, Any] = {"issuer": {"name": "letsencrypt"}}
ROUTE: dict[str, Any] = {"parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": [HOST]}
INSIDE = ["10.0.0.0/8"]


def objects(**settings: Any) -> list[Manifest]:
    """The gateway's objects of the small stack with these settings."""
    return gateway.objects(small_plan(gateway=settings))


def one(kind: str, **settings: Any) -> Manifest:
    (found,) = [
        item for item in objects(**settings) if item["kind"] == kind and item["metadata"]["name"] == "gateway"
    ]
    return found


def kinds(**settings: Any) -> set[str]:
    return {item["kind"] for item in objects(**settings)}


def clients(**settings: Any) -> list[Manifest]:
    """Who may connect to the gateway's port, by its network policy."""
    sources: list[Manifest] = one("NetworkPolicy", **settings)["spec"]["ingress"][0]["from"]
    return sources


def named_namespaces(**settings: Any) -> list[str]:
    (expression,) = clients(**settings)[0]["namespaceSelector"]["matchExpressions"]
    values: list[str] = expression["values"]
    return values


# --- a port of the nodes


def test_a_node_port_shows_the_gateway_its_clients_and_lets_in_their_networks() -> None:
    spec = one("Service", serviceType="NodePort", nodePort=30080, sourceRanges=INSIDE)["spec"]
    assert (spec["type"], spec["externalTrafficPolicy"]) == ("NodePort", "Local")
    assert spec["ports"][0]["nodePort"] == 30080
    assert "loadBalancerSourceRanges" not in spec, "the network policy holds them"
    assert clients(serviceType="NodePort", sourceRanges=INSIDE)[1:] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]


def test_without_a_number_the_cluster_chooses_the_port() -> None:
    assert "nodePort" not in one("Service", serviceType="NodePort", sourceRanges=INSIDE)["spec"]["ports"][0]


def test_a_cloud_s_load_balancer_is_set_up_by_annotations() -> None:
    own = {"service.beta.kubernetes.io/aws-load-balancer-type": "external"}
    service = one("Service", serviceType="LoadBalancer", sourceRanges=INSIDE, serviceAnnotations=own)
    plain = one("Service", serviceType="LoadBalancer", sourceRanges=INSIDE)
    assert service["metadata"]["annotations"] == plain["metadata"]["annotations"] | own
    assert service["spec"] == plain["spec"]


# --- an Ingress


def test_an_ingress_serves_the_host_and_its_service_stays_inside() -> None:
    ingress = one("Ingress", ingress=NGINX | {"tlsSecret": "llm-tls"})
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"hosts": [HOST], "secretName": "llm-tls"}]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == (HOST, "/", "Prefix")
    target = one("Service", ingress=NGINX)
    assert path["backend"]["service"]["name"] == target["metadata"]["name"]
    assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in target["spec"]["ports"]}
    assert target["spec"]["type"] == "ClusterIP"
    assert "tls" not in one("Ingress", ingress=NGINX)["spec"]


@pytest.mark.parametrize(
    ("class_name", "buffering", "timeout", "body"),
    [
        (
            "nginx",
            ("nginx.ingress.kubernetes.io/proxy-buffering", "off"),
            ("nginx.ingress.kubernetes.io/proxy-read-timeout", "{}"),
            ("nginx.ingress.kubernetes.io/proxy-body-size", "4m"),
        ),
        (
            "nginx-internal",  # of F5's controller, say
            ("nginx.org/proxy-buffering", "False"),
            ("nginx.org/proxy-read-timeout", "{}s"),
            ("nginx.org/client-max-body-size", "4m"),
        ),
        (
            "haproxy",
            None,
            ("haproxy.org/timeout-server", "{}s"),
            ("haproxy-ingress.github.io/proxy-body-size", "4m"),
        ),
        (
            "alb",
            None,
            ("alb.ingress.kubernetes.io/load-balancer-attributes", "idle_timeout.timeout_seconds={}"),
            None,
        ),
    ],
)
def test_a_known_controller_streams_and_waits_longer_than_the_gateway(
    class_name: str, buffering: Any, timeout: tuple[str, str], body: Any
) -> None:
    settings = {"readTimeoutSeconds": 1200, "maxBodySize": "4m", "sourceRanges": INSIDE}
    written = one("Ingress", ingress=NGINX | {"className": class_name}, **settings)["metadata"]["annotations"]
    name, value = timeout
    assert written[name] == value.format(1210)
    assert all(
        written[name] == value for name, value in (way for way in (buffering, body) if way is not None)
    )


def test_the_read_timeout_follows_the_longest_answer_of_the_plan() -> None:
    plan = small_plan(gateway={"ingress": NGINX})
    written = exposure.streaming_annotations(plan.gateway, "nginx")
    seconds = int(written["nginx.ingress.kubernetes.io/proxy-read-timeout"])
    assert seconds > plan.gateway.read_timeout_seconds > 60


def test_a_load_balancer_of_the_cloud_asks_for_pods_and_their_health() -> None:
    settings: dict[str, Any] = {"ingress": NGINX | {"className": "alb"}, "sourceRanges": INSIDE}
    written = one("Ingress", **settings, readTimeoutSeconds=7200)["metadata"]["annotations"]
    own = "alb.ingress.kubernetes.io"
    assert written[f"{own}/target-type"] == "ip"
    assert written[f"{own}/healthcheck-path"] == "/health"
    assert written[f"{own}/load-balancer-attributes"].endswith("=4000"), "the most that AWS accepts"


@pytest.mark.parametrize("class_name", ["traefik", "acme"])
def test_other_controllers_get_no_annotations_but_those_of_the_stack_file(class_name: str) -> None:
    own = {"acme.example.com/buffer": "no"}
    ingress = NGINX | {"className": class_name, "annotations": own}
    assert one("Ingress", ingress=ingress)["metadata"]["annotations"] == own | {
        "pulumi.com/skipAwait": "true"
    }


def test_an_annotation_of_the_stack_file_replaces_ours() -> None:
    name = "nginx.ingress.kubernetes.io/proxy-body-size"
    written = one("Ingress", ingress=NGINX | {"annotations": {name: "64m"}})["metadata"]["annotations"]
    assert written[name] == "64m"
    assert written["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"


@pytest.mark.parametrize(
    ("class_name", "known"),
    [
        ("nginx", "nginx"),
        ("nginx-internal", "nginx"),
        ("team.traefik", "traefik"),
        ("alb", "alb"),
        ("haproxy", "haproxy"),
        *(("gce", None), ("cilium", None), ("mynginxes", None), ("nginx-to-traefik", None)),
    ],
)
def test_a_class_is_known_by_a_word_of_its_name(class_name: str, known: str | None) -> None:
    controller = controller_of(class_name)
    assert (controller.name if controller is not None else None) == known


# --- an HTTPRoute


def test_a_route_belongs_to_the_gateways_and_sets_no_timeouts() -> None:
    route = one(
        "HTTPRoute",
        httpRoute=ROUTE | {"parentRefs": [*ROUTE["parentRefs"], {"name": "own", "sectionName": "https"}]},
    )
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"]["parentRefs"] == [
        {"name": "public", "namespace": "gateways"},
        {"name": "own", "namespace": "tierup-small", "sectionName": "https"},
    ]
    assert route["spec"]["hostnames"] == [HOST]
    (rule,) = route["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert rule["backendRefs"] == [{"name": "gateway", "port": 8080}]
    every_host = {"parentRefs": [{"name": "public"}]}
    assert "hostnames" not in one("HTTPRoute", httpRoute=every_host)["spec"]


# --- certificates of cert-manager


def test_an_issuer_gives_the_gateway_its_certificate() -> None:
    certificate = one("Certificate", tls=ISSUER)["spec"]
    assert certificate["issuerRef"] == {
        "group": "cert-manager.io",
        "kind": "ClusterIssuer",
        "name": "letsencrypt",
    }
    assert certificate["dnsNames"] == ["gateway.tierup-small.svc", "gateway.tierup-small.svc.cluster.local"]
    volumes = one("Deployment", tls=ISSUER)["spec"]["template"]["spec"]["volumes"]
    mounted = {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    assert mounted == {certificate["secretName"]}
    assert "Secret" not in kinds(tls=ISSUER), "cert-manager makes it"
    assert small_plan(gateway={"tls": ISSUER}).gateway.scheme == "https"


def test_the_certificate_has_the_hosts_and_the_issuer_of_the_stack_file() -> None:
    tls = {"issuer": {"name": "private", "kind": "Issuer"}, "hosts": [HOST, "llm.example.org"]}
    certificate = one("Certificate", tls=tls)["spec"]
    assert certificate["dnsNames"] == [HOST, "llm.example.org"]
    assert certificate["issuerRef"]["kind"] == "Issuer"


@pytest.mark.parametrize(("kind", "annotation"), [("ClusterIssuer", "cluster-issuer"), ("Issuer", "issuer")])
def test_the_issuer_of_an_ingress_is_its_annotation(kind: str, annotation: str) -> None:
    settings: dict[str, Any] = {"ingress": NGINX, "tls": {"issuer": {"name": "letsencrypt", "kind": kind}}}
    ingress = one("Ingress", **settings)
    assert ingress["metadata"]["annotations"][f"cert-manager.io/{annotation}"] == "letsencrypt"
    assert ingress["spec"]["tls"] == [{"hosts": [HOST], "secretName": "gateway-tls"}]
    assert not {"Certificate", "Secret"} & kinds(**settings), "cert-manager makes both for the Ingress"
    assert small_plan(gateway=settings).gateway.scheme == "http", "the Ingress ends TLS"
    own = settings | {"ingress": NGINX | {"tlsSecret": "llm-tls"}}
    assert one("Ingress", **own)["spec"]["tls"][0]["secretName"] == "llm-tls"


def test_the_files_of_the_stack_are_still_its_secrets() -> None:
    secrets = frozenset({"tls-certificate", "tls-key"})
    manifests = gateway.objects(small_plan(gateway={"tls": True}, secrets=secrets))
    assert "gateway-tls" in {item["metadata"]["name"] for item in manifests if item["kind"] == "Secret"}
    assert "Certificate" not in {item["kind"] for item in manifests}
    assert "NO_SECRET" in codes(gateway={"tls": True})
    assert "NO_SECRET" not in codes(gateway={"tls": ISSUER})


# --- who may connect


def test_the_controllers_namespace_may_connect_beside_the_callers() -> None:
    callers = {"namespaces": ["chat-app"]}
    assert named_namespaces(ingress=NGINX, **callers) == ["chat-app", "ingress-nginx"]
    assert named_namespaces(ingress=NGINX | {"controllerNamespace": "edge"}, **callers) == [
        "chat-app",
        "edge",
    ]
    assert named_namespaces(httpRoute=ROUTE, **callers) == ["chat-app", "gateways"]
    envoy = ROUTE | {"controllerNamespace": "envoy-gateway-system"}
    assert named_namespaces(httpRoute=envoy, **callers) == ["chat-app", "envoy-gateway-system"]


@pytest.mark.parametrize("proxy", [{"ingress": NGINX}, {"httpRoute": ROUTE}])
def test_a_proxy_opens_the_gateway_to_no_networks_but_its_own(proxy: dict[str, Any]) -> None:
    assert clients(**proxy) == [{"namespaceSelector": {}}], "every pod of the cluster, as without a proxy"
    assert clients(**proxy, sourceRanges=INSIDE)[1:] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]


@pytest.mark.parametrize(
    ("settings", "balancers", "ports"),
    [
        ({"serviceType": "NodePort", "sourceRanges": INSIDE}, "0", "1"),
        ({"ingress": NGINX}, "0", "0"),
        ({"httpRoute": ROUTE}, "0", "0"),
    ],
)
def test_the_quota_allows_what_the_way_needs(settings: dict[str, Any], balancers: str, ports: str) -> None:
    (quota,) = [item for item in render(small_plan(gateway=settings)) if item["kind"] == "ResourceQuota"]
    hard = quota["spec"]["hard"]
    assert (hard["services.loadbalancers"], hard["services.nodeports"]) == (balancers, ports)


# --- findings


def test_all_settings_that_exclude_each_other_are_reported_at_once() -> None:
    found = refusals(
        gateway={"serviceType": "LoadBalancer", "sourceRanges": INSIDE, "nodePort": 30080}
        | {"ingress": NGINX, "httpRoute": ROUTE, "tls": ISSUER}
    )
    assert {str(item.code) for item in found} == {"TIER112"}
    assert [item.path for item in found] == ["gateway", "gateway.nodePort", "gateway.tls"]
    assert "serviceType: LoadBalancer, ingress, httpRoute" in found[0].what


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"serviceType": "NodePort", "sourceRanges": INSIDE, "ingress": NGINX}, "gateway"),
        ({"ingress": NGINX, "httpRoute": ROUTE}, "gateway"),
        ({"nodePort": 30080}, "gateway.nodePort"),
        ({"ingress": NGINX, "tls": True}, "gateway.tls"),
        ({"httpRoute": ROUTE, "tls": True}, "gateway.tls"),
        ({"httpRoute": ROUTE, "tls": ISSUER}, "gateway.tls"),
        ({"ingress": NGINX, "tls": ISSUER | {"hosts": ["other.example.com"]}}, "gateway.tls.hosts"),
    ],
)
def test_one_way_with_its_own_settings(settings: dict[str, Any], path: str) -> None:
    secrets = frozenset({"tls-certificate", "tls-key"})
    assert [(item.code.name, item.path) for item in refusals(gateway=settings, secrets=secrets)] == [
        ("EXPOSURE", path)
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ingress": NGINX, "tls": ISSUER},
        {"httpRoute": ROUTE},
        {"serviceType": "NodePort", "nodePort": 30080, "sourceRanges": INSIDE},
    ],
)
def test_a_single_way_is_accepted(settings: dict[str, Any]) -> None:
    assert refusals(gateway=settings) == ()


def test_an_unknown_class_says_what_its_controller_must_do() -> None:
    acme = NGINX | {"className": "acme"}
    (found,) = [item for item in findings(gateway={"ingress": acme}) if item.code.name == "PROXY_UNKNOWN"]
    assert found.path == "gateway.ingress.className"
    assert "not buffer" in found.fix
    assert " s for their next part" in found.fix
    assert "2m" in found.fix
    for known in (NGINX | {"className": "traefik"}, acme | {"annotations": {"acme/buffer": "no"}}):
        assert "PROXY_UNKNOWN" not in codes(gateway={"ingress": known})


@pytest.mark.parametrize(
    ("blocked", "let_in"),
    [
        (
            {"ingress": NGINX | {"className": "acme"}, "namespaces": ["chat-app"]},
            {
                "ingress": NGINX | {"className": "acme", "controllerNamespace": "edge"},
                "namespaces": ["chat-app"],
            },
        ),
        (
            {"ingress": NGINX | {"className": "alb"}},
            {"ingress": NGINX | {"className": "alb"}, "sourceRanges": INSIDE},
        ),
        (
            {
                "httpRoute": {"parentRefs": [{"name": "a"}, {"name": "b", "namespace": "c"}]},
                "namespaces": ["chat-app"],
            },
            {
                "httpRoute": {
                    "parentRefs": [{"name": "a"}, {"name": "b", "namespace": "c"}],
                    "controllerNamespace": "c",
                },
                "namespaces": ["chat-app"],
            },
        ),
    ],
)
def test_a_proxy_that_the_network_policy_would_keep_out_is_refused(
    blocked: dict[str, Any], let_in: dict[str, Any]
) -> None:
    assert [item.code.name for item in refusals(gateway=blocked)] == ["PROXY_BLOCKED"]
    assert refusals(gateway=let_in) == ()


@pytest.mark.parametrize(
    ("settings", "clear"),
    [
        ({"serviceType": "NodePort", "sourceRanges": INSIDE}, "gateway.tls"),
        ({"serviceType": "NodePort", "sourceRanges": INSIDE, "tls": ISSUER}, None),
        ({"ingress": NGINX}, "gateway.ingress.tlsSecret"),
        ({"ingress": NGINX | {"tlsSecret": "llm-tls"}}, None),
        ({"ingress": NGINX, "tls": ISSUER}, None),
        (
            {
                "ingress": NGINX
                | {"className": "alb", "annotations": {"alb.ingress.kubernetes.io/certificate-arn": "arn:x"}},
                "sourceRanges": INSIDE,
            },
            None,
        ),
        ({"httpRoute": ROUTE}, None),
    ],
)
def test_a_way_from_outside_should_have_keys_and_tls(settings: dict[str, Any], clear: str | None) -> None:
    found = {item.code.name: item.path for item in findings(gateway=settings)}
    assert found["OPEN_TO_ALL"] == "gateway.keys"
    assert found.get("CLEAR_TEXT") == clear


# --- the URL, the bill and the policies


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://gateway.tierup-small.svc:8080"),
        ({"tls": ISSUER}, "https://gateway.tierup-small.svc:8080"),
        ({"ingress": NGINX}, f"http://{HOST}"),
        ({"ingress": NGINX, "tls": ISSUER}, f"https://{HOST}"),
        ({"ingress": NGINX | {"host": "*.example.com"}}, "http://gateway.tierup-small.svc:8080"),
        ({"httpRoute": ROUTE}, f"https://{HOST}"),
        ({"httpRoute": ROUTE | {"parentRefs": [{"name": "g", "sectionName": "http"}]}}, f"http://{HOST}"),
        ({"httpRoute": {"parentRefs": [{"name": "g"}]}}, "http://gateway.tierup-small.svc:8080"),
    ],
)
def test_the_program_gives_the_url_that_clients_use(settings: dict[str, Any], url: str) -> None:
    plan = small_plan(gateway=settings)
    assert exposure.address(plan) == url


def test_the_program_registers_every_object_of_a_proxy() -> None:
    for settings in ({"ingress": NGINX}, {"httpRoute": ROUTE}, {"tls": ISSUER}):
        registered = {
            item.type.rpartition(":")[2] for item in run_tier(small_plan(gateway=settings)).resources.values()
        }
        assert kinds(**settings) <= registered


@pytest.mark.parametrize(
    ("settings", "balancers", "unknown"),
    [
        ({"ingress": NGINX}, 0, 0),
        ({"ingress": NGINX | {"className": "alb"}, "sourceRanges": INSIDE}, 1, 0),
        ({"ingress": NGINX | {"className": "gce"}}, 0, 1),
        ({"httpRoute": ROUTE}, 0, 0),
        ({"tls": ISSUER}, 0, 0),
    ],
)
def test_a_load_balancer_of_an_ingress_is_on_the_bill(
    settings: dict[str, Any], balancers: int, unknown: int
) -> None:
    bill = bill_of(small_plan(gateway=settings))
    assert (bill.load_balancers, len(bill.unknown)) == (balancers, unknown)


def test_policies_know_node_ports_and_ingresses_of_others() -> None:
    (message,) = messages(service(type="NodePort"))
    assert message.startswith("spec.externalTrafficPolicy: a NodePort that hides its clients")
    assert refused(service(type="NodePort", externalTrafficPolicy="Local")) == []
    (message,) = messages(
        resource("kubernetes:networking.k8s.io/v1:Ingress", {"spec": {"rules": [{"host": HOST}]}})
    )
    assert message.startswith("spec.tls: an Ingress without TLS")
    certified = {
        "metadata": {"annotations": {"alb.ingress.kubernetes.io/certificate-arn": "arn:x"}},
        "spec": {},
    }
    assert refused(resource("kubernetes:networking.k8s.io/v1:Ingress", certified)) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"serviceType": "NodePort", "sourceRanges": INSIDE},
        {"ingress": NGINX, "tls": ISSUER},
        {"httpRoute": ROUTE},
        {"tls": ISSUER},
    ],
)
def test_our_own_ways_pass_all_policies_and_are_well_formed(
    settings: dict[str, Any], well_formed: Callable[[list[Manifest]], None]
) -> None:
    manifests = render(small_plan(gateway=settings))
    assert refused(*(resource_of(item) for item in manifests)) == []
    well_formed(objects(**settings))


# --- the cluster


def test_a_cluster_without_the_kinds_is_reported(api: FakeApi, cluster: Cluster) -> None:
    manifests = render(small_plan(gateway={"httpRoute": ROUTE}))
    root = "/apis/gateway.networking.k8s.io/v1"
    api.missing.add(root)
    (found,) = kind_findings(cluster, manifests)
    assert (found.code.name, found.got) == ("MISSING_KIND", "HTTPRoute of gateway.networking.k8s.io/v1")
    assert "Gateway API" in found.fix
    api.missing.remove(root)
    api.holds(root, {"resources": [{"kind": "Gateway"}, {"kind": "HTTPRoute"}]})
    assert kind_findings(cluster, manifests) == []


def test_a_stack_without_add_ons_asks_for_none(api: FakeApi, cluster: Cluster) -> None:
    assert kind_findings(cluster, render(small_plan(gateway={"ingress": NGINX, "tls": ISSUER}))) == []
