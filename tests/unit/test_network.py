"""A cluster that reaches the model hub through a mirror, a proxy or an authority of its own."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from small_stack import refusals, small_plan

from tierup.findings.model import Code
from tierup.manifests import render
from tierup.plan.model import Plan

MIRROR = "https://hub.internal:8443/models"
PROXY = "http://proxy.internal:3128"


@pytest.fixture(scope="module")
def company() -> str:
    """The certificate of a company's authority, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "company")])
    day = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def environment(plan: Plan) -> dict[str, str]:
    """The environment of the fetch, without its secrets."""
    (fetch,) = (item for item in render(plan) if item["kind"] in ("Job", "DaemonSet"))
    (container,) = fetch["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item["value"] for item in container["env"] if "value" in item}


def ports(plan: Plan) -> list[int]:
    """The ports to which the fetch may connect, besides the DNS."""
    (policy,) = (
        item
        for item in render(plan)
        if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] == "model-fetch"
    )
    _, hub = policy["spec"]["egress"]
    return [port["port"] for port in hub["ports"]]


def test_without_a_network_section_the_public_hub_is_asked_directly() -> None:
    plan = small_plan()
    assert environment(plan).keys() == {"HOME", "HF_HOME", "MODELS"}
    assert ports(plan) == [443]
    notes = {default.path: default.value for default in plan.defaults if default.path.startswith("network.")}
    assert notes == {
        "network.hubUrl": "the public hub",
        "network.proxy": "none",
        "network.noProxy": "none",
        "network.caBundle": "the public authorities",
    }


def test_a_mirror_behind_a_proxy_with_an_authority_of_the_company_s_own(company: str) -> None:
    network = {"hubUrl": MIRROR, "proxy": PROXY, "noProxy": [".internal", "10.0.0.1"], "caBundle": company}
    plan = small_plan(network=network)
    assert (
        environment(plan).items()
        >= {
            "HF_ENDPOINT": MIRROR,
            "HTTP_PROXY": PROXY,
            "HTTPS_PROXY": PROXY,
            "NO_PROXY": ".internal,10.0.0.1",
            "CA_BUNDLE": company,
            "HF_HUB_DISABLE_XET": "1",
        }.items()
    )
    assert ports(plan) == [443, 3128, 8443]


@pytest.mark.parametrize(
    ("url", "port"), [("http://hub", 80), ("https://hub", 443), ("http://hub:8080/a", 8080)]
)
def test_the_policy_opens_the_port_of_the_mirror(url: str, port: int) -> None:
    assert ports(small_plan(network={"hubUrl": url})) == sorted({443, port})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hubUrl", "hub.internal"),
        ("hubUrl", "ftp://hub.internal"),
        ("hubUrl", "https://hub.internal?token=abc"),
        ("hubUrl", "https://user:word@hub.internal"),
        ("proxy", "http://user:word@proxy:3128"),
        ("noProxy", ["https://hub.internal"]),
        ("caBundle", "company-ca.pem"),
        ("caBundle", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ],
)
def test_a_wrong_value_is_refused(key: str, value: object) -> None:
    (finding,) = refusals(network={key: value})
    assert finding.code is Code.BAD_FORMAT
    assert finding.path.startswith(f"network.{key}")


def test_a_bundle_with_a_private_key_is_refused(company: str) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    (finding,) = refusals(network={"caBundle": company + key})
    assert finding.path == "network.caBundle"
