"""Every rule that can refuse or warn, on both sides of its boundary."""

import math
from typing import Any

import pytest
from listed_findings import not_listed
from own_hardware import section as hardware
from own_hardware import with_box
from own_models import FILES, SUPPORT, changed, own_entry
from searched_codes import SEARCHED
from small_stack import MODEL, NODES, codes, findings, refusals, small_plan, small_stack

from tierup.catalog import Catalog, Precision, load_catalog
from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, price
from tierup.findings.explanations import EXPLAINED, NOT_IN_PLANS, group_of
from tierup.findings.model import Code, FindingsError, Severity
from tierup.plan.parallelism import divides, splits_group
from tierup.plan.resolve import resolve
from tierup.rules.preflight import check, make_plan
from tierup.stack.parse import Images, parse

TWO, FOUR = "standard-2x-a100-80g-pcie", "standard-4x-a100-80g-pcie"
ENTRY, PREMIUM = "entry-2x-rtx-4090", "premium-4x-h100-80g-sxm"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
GGUF = {"gguf": "registry.example.com/vllm-gguf:v0.32.0"}


def nodes(server: str = TWO, **more: object) -> dict[str, Any]:
    return {"nodes": {"server": server, **more}}


def model(**more: object) -> dict[str, Any]:
    return {"models": [MODEL | more]}


def own_card(gpu: str, **more: object) -> dict[str, Any]:
    """A stack on a server of its own with this card."""
    return with_box(hardware(gpu)) | model(**more)


def tolerating(**toleration: str) -> dict[str, Any]:
    return {"cluster": {"tolerations": [toleration]}}


def tensor(size: int, pipeline: int = 1) -> dict[str, Any]:
    return {"parallelism": {"tensor": size, "pipeline": pipeline}}


def chat(**more: object) -> dict[str, Any]:
    item = {
        "promptTokens": 512,
        "answerTokens": 200,
        "ttftMs": 5000,
        "tpotMs": 50,
        "share": 1,
        "priority": 80,
    }
    return {"workload": {"users": 8, "classes": {"chat": item | more}}}


CACHED_PROMPTS = chat(sharedPrefix=0.5)
BY_PREFIX = {"gateway": {"balance": "prefix"}}


def priced(servers: int) -> float:
    return load_catalog().servers[TWO].capex_usd.value * servers


def quoted(name: str = "electricity", value: float = 0.11, **more: Any) -> dict[str, Any]:
    quote = {"value": value, "source": "contract 17", "asOf": "2026-11-02"}
    return {"cost": {"quotes": {name: quote | more}}}


def shown_in(code: str, per_usd: float) -> dict[str, Any]:
    rate = {"code": code, "perUsd": per_usd, "source": "our bank", "asOf": "2026-11-02"}
    return {"cost": {"currency": rate}}


def rented(**more: Any) -> dict[str, Any]:
    return {"nodes": NODES | {"tenure": "rented"} | more}


def a_month(**changes: Any) -> int:
    """The monthly cost of the small stack, rounded up to dollars."""
    return math.ceil(price(bill_of(small_plan(**changes)), load_prices()).usd_per_month)


V1: dict[str, Any] = {"id": "qwen-7b"}
TRT: dict[str, Any] = {"engine": "tensorrt-llm"}
LB = {"serviceType": "LoadBalancer"}
LB_IN = LB | {"sourceRanges": ["10.0.0.0/8"]}
NODE_PORT = {"serviceType": "NodePort"}
INGRESS: dict[str, Any] = {"className": "nginx", "host": "llm.example.com"}
WEB_KEY: dict[str, Any] = {"secrets": frozenset({"key-web"})}
OTHER_VLLM: dict[str, Any] = {"images": {"vllm": "vllm/vllm-openai:v0.33.0"}}
TEMPLATE: dict[str, Any] = {"files": {"c.jinja": "{{ messages[-1].content }}"}}
NGRAM: dict[str, Any] = {"method": "ngram", "tokens": 5}
LORA: dict[str, Any] = {"name": "support", "repo": "acme/support", "revision": COMMIT, "rank": 16}
CLAIM: dict[str, Any] = {"from": "claim", "claim": "models"}
S3: dict[str, Any] = {"url": "s3://models", "sha256": "0" * 64}
SCOPED: dict[str, Any] = MODEL | {
    "revision": COMMIT,
    "weights": {"from": "modelScope", "endpoint": "http://scope"},
}
TLS: dict[str, Any] = {"secrets": frozenset({"tls-certificate", "tls-key"})}


def callers(**keys: Any) -> dict[str, Any]:
    """Callers by name, beside the gateway's other settings."""
    others = {key: keys.pop(key) for key in LB_IN if key in keys}
    return {"gateway": {"keys": keys} | others}


def alias(name: str = "qwen", **settings: Any) -> dict[str, Any]:
    return {"gateway": {"aliases": {name: settings}}}


def two_classes(second: dict[str, Any]) -> dict[str, Any]:
    """`chat`, and another one that is the same except for the keys in `second`."""
    stack = chat(share=0.5)
    same = stack["workload"]["classes"]["chat"]
    return {"workload": stack["workload"] | {"classes": {"chat": same, "other": same | second}}}


def model_shares(*shares: float | None) -> dict[str, Any]:
    """Models with these shares of the requests; None: the rest."""
    named = [MODEL | {"name": f"m{at}"} for at in range(len(shares))]
    return {
        "models": [
            m | ({} if share is None else {"share": share}) for m, share in zip(named, shares, strict=True)
        ]
    }


def weights(source: str, **more: object) -> dict[str, Any]:
    """The small stack with its model from another source."""
    return model(weights={"from": source, **more})


def option(name: str, value: object) -> dict[str, Any]:
    """The small stack with one option of the engine."""
    return model(engineArgs={name: value})


def variable(name: str, value: object = "quiet") -> dict[str, Any]:
    """The small stack with one variable of the engine."""
    return model(env={name: value})


# code, the last valid value, the first invalid value
BOUNDARIES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("UNKNOWN_SERVER", nodes(TWO), nodes(TWO + "x")),
    ("UNKNOWN_MODEL", model(), model(id="qwen2.5-7")),
    ("UNKNOWN_PRECISION", model(precision="awq"), model(id="llama-3.1-8b", precision="awq")),
    ("NO_REVISION", model(precision="int8", revision=COMMIT), model(precision="int8")),
    (
        "MODEL_SOURCE",
        {"models": [own_entry(SUPPORT)], "files": FILES},
        {"models": [own_entry(SUPPORT)], "files": changed(SUPPORT, revision=COMMIT)},
    ),
    ("DUPLICATE_NAME", {"models": [MODEL, MODEL | {"precision": "awq"}]}, {"models": [MODEL, MODEL]}),
    (
        "DUPLICATE_NAME",
        {"models": [MODEL | {"name": "a/b"}, MODEL]},
        {"models": [MODEL | {"name": "a/b"}, MODEL | {"name": "A.b"}]},
    ),
    ("DUPLICATE_NAME", nodes(count=2, names=["a", "b"]), nodes(count=2, names=["a", "a"])),
    ("NODE_NAMES", nodes(count=2, names=["a", "b"]), nodes(count=2, names=["a"])),
    (
        "NODE_NAMES",
        nodes(standby={"mode": "cold"}, names=["a", "b"]),
        nodes(standby={"mode": "cold"}, names=["a"]),
    ),
    ("TP_HEADS", nodes(FOUR) | model(**tensor(4)), nodes(FOUR) | model(**tensor(3))),
    ("TP_EXCEEDS_NODE", nodes(FOUR) | model(**tensor(2, 2)), nodes(TWO) | model(**tensor(2, 2))),
    (
        "TP_GROUPS",
        nodes(FOUR) | model(precision="q5_k_m", **tensor(2)),
        nodes(FOUR) | model(precision="q5_k_m", **tensor(4)),
    ),
    (
        "TP_GROUPS",
        nodes(FOUR) | model(precision="gptq-int4", **tensor(4)),
        nodes(FOUR) | model(id="qwen-7b", precision="gptq-int4", revision=COMMIT, **tensor(4)),
    ),
    ("GPUS_EXCEEDED", model(replicas=2), model(replicas=3)),
    (
        "GPUS_EXCEEDED",
        nodes(FOUR, count=2) | {"models": [MODEL | tensor(1, 3) | {"replicas": 2}]},
        nodes(FOUR, count=2)
        | {
            "models": [
                MODEL | tensor(1, 3) | {"replicas": 2},
                MODEL | tensor(2) | {"name": "b", "replicas": 1},
            ]
        },
    ),
    ("FP8_WEIGHT_ONLY", nodes(PREMIUM) | model(precision="fp8"), nodes(TWO) | model(precision="fp8")),
    ("FP8_WEIGHT_ONLY", nodes(ENTRY) | model(precision="fp8"), nodes(FOUR) | model(precision="fp8")),
    ("FP8_WEIGHT_ONLY", own_card("b200", precision="fp8"), own_card("a30", precision="fp8")),
    ("GPU_LACKS", own_card("t4", precision="fp16"), own_card("t4", precision="bf16")),
    ("GPU_LACKS", own_card("l40s", precision="int8"), own_card("b200", precision="int8")),
    ("GPU_LACKS", own_card("a30", kvCacheDtype="fp8"), own_card("t4", precision="awq", kvCacheDtype="fp8")),
    ("GPU_LACKS", own_card("t4", precision="awq"), own_card("v100-32g-sxm", precision="fp16")),
    ("GPU_LACKS", own_card("h200-141g"), own_card("mi300x")),
    ("UNUSED_MEMORY", model(gpuMemoryUtilization=0.73), model(gpuMemoryUtilization=0.71)),
    ("UNUSED_MEMORY", own_card("gb10", gpuMemoryUtilization=0.3), own_card("l20", gpuMemoryUtilization=0.3)),
    ("SHARING", nodes(sharing={"mig": "3g.40gb"}), nodes(sharing={"mig": "3g.20gb"})),
    (
        "SHARING",
        nodes(sharing={"timeSlices": 2}) | model(gpuMemoryUtilization=0.5),
        nodes(sharing={"timeSlices": 2}) | model(gpuMemoryUtilization=0.51),
    ),
    ("OWN_ENTRY", with_box(), with_box(hardware() | {"gpus": {"l40": {}}})),
    ("TP_WITHOUT_P2P", nodes(TWO) | model(**tensor(2)), nodes(ENTRY) | model(**tensor(2))),
    ("TP_WITHOUT_P2P", nodes(ENTRY) | model(**tensor(1, 2)), nodes(ENTRY) | model(**tensor(2))),
    ("CONTEXT_TOO_LONG", model(context=32768), model(context=32769)),
    ("CONTEXT_TOO_SHORT", chat(promptTokens=7992), chat(promptTokens=7993)),
    (
        "GPUS_FRAGMENTED",
        nodes(TWO, count=2) | {"models": [MODEL | {"replicas": 2}, MODEL | {"name": "b", "replicas": 2}]},
        nodes(TWO, count=2)
        | {"models": [MODEL | {"replicas": 2}, MODEL | {"name": "b", "replicas": 1} | tensor(2)]},
    ),
    ("GGUF_IMAGE", model(precision="q8_0") | {"images": GGUF}, model(precision="q8_0")),
    (
        "ENGINE_TOO_NEW",
        model(**V1) | {"images": {"vllm": "vllm/vllm-openai:v0.23.0"}},
        model(**V1) | {"images": {"vllm": "vllm/vllm-openai:v0.23.1"}},
    ),
    (
        "ENGINE_TOO_NEW",
        model(**V1) | {"images": {"vllm": "r.example.com:5000/vllm:0.9.2-cu12@sha256:" + "a" * 64}},
        model(**V1) | {"images": {"vllm": "r.example.com:5000/vllm:0.32.0-cu12@sha256:" + "a" * 64}},
    ),
    ("FLOATING_IMAGE", {"images": {"nginx": "nginx:1.29"}}, {"images": {"nginx": "nginx:latest"}}),
    (
        "FLOATING_IMAGE",
        {"images": {"reloader": "python:3.13-alpine"}},
        {"images": {"reloader": "python:latest"}},
    ),
    (
        "FLOATING_IMAGE",
        {"images": {"nginx": "nginx@sha256:" + "a" * 64}},
        {"images": {"nginx": "nginx:alpine"}},
    ),
    (
        "GATED_MODEL",
        model(id="llama-3.1-8b") | {"secrets": frozenset({"hub-token"})},
        model(id="llama-3.1-8b") | {"secrets": frozenset({"grafana-admin"})},
    ),
    ("ENGINE_LOADS_NOT", model(**TRT), model(**TRT, precision="awq")),
    ("ENGINE_LOADS_NOT", model(**TRT, precision="fp16"), nodes(PREMIUM) | model(**TRT, precision="fp8")),
    ("ENGINE_LOADS_NOT", model(**TRT), model(**V1, **TRT)),
    ("ENGINE_NAME", model(**TRT, name="qwen"), model(**TRT, name="acme/qwen")),
    ("ENGINE_NAME", model(name="acme/qwen"), model(**TRT, name="acme/qwen")),
    ("ENGINE_NOT_PROVEN", model(engine="vllm"), model(**TRT)),
    ("ENGINE_IN_ORDER", chat() | model(**TRT), model(**TRT)),
    ("ENGINE_IN_ORDER", model(), model(**TRT)),
    ("ENGINE_NOT_SCALED", model(**TRT), model(**TRT) | {"autoscaling": {"enabled": True}}),
    (
        "ENGINE_NOT_SCALED",
        {"autoscaling": {"enabled": True}},
        {"models": [MODEL, MODEL | TRT | {"name": "b"}], "autoscaling": {"enabled": True}},
    ),
    # GGUF's image and vLLM's version do not matter for another engine.
    ("GGUF_IMAGE", model(**TRT, precision="q8_0"), model(precision="q8_0")),
    ("ENGINE_TOO_NEW", model(**V1, **TRT), model(**V1)),
    ("KV_FP8_BACKEND", model(**TRT, kvCacheDtype="fp8"), model(kvCacheDtype="fp8")),
    ("ONE_FAILURE_DOMAIN", nodes(count=2), nodes(count=1)),
    ("ONE_FAILURE_DOMAIN", nodes(count=2), nodes(count=1, standby={"mode": "warm", "count": 1})),
    ("ROLLOUT_RECREATE", model(**tensor(1)), model(**tensor(2))),
    (
        "ROLLOUT_RECREATE",
        nodes(standby={"mode": "warm", "count": 1}) | model(**tensor(2)),
        nodes(standby={"mode": "cold", "count": 1}) | model(**tensor(2)),
    ),
    ("PROVIDER_NOT_BUILT", nodes(provider="existing"), nodes(provider="metal3")),
    ("PROVIDER_NOT_BUILT", nodes(provider="existing"), nodes(provider="karpenter")),
    ("STANDBY", nodes(standby={"mode": "cold", "count": 1}), nodes(standby={"mode": "cold", "count": 0})),
    ("STANDBY", nodes(standby={"count": 0}), nodes(standby={"count": 1})),
    ("AUTOSCALER_RANGE", {"autoscaling": {"maxReplicas": 2}}, {"autoscaling": {"maxReplicas": 3}}),
    ("AUTOSCALER_RANGE", {"autoscaling": {"maxReplicas": 2}}, {"autoscaling": {"maxReplicas": 1}}),
    (
        "AUTOSCALER_RANGE",
        {"autoscaling": {"maxReplicas": 3, "enabled": False}},
        {"autoscaling": {"maxReplicas": 3, "enabled": True}},
    ),
    (
        "AUTOSCALER_RANGE",
        nodes(standby={"mode": "warm", "count": 1}) | {"autoscaling": {"maxReplicas": 4}},
        nodes(standby={"mode": "cold", "count": 1}) | {"autoscaling": {"maxReplicas": 4}},
    ),
    (
        "LONGFORM_CAP",
        model(maxNumSeqs=8) | {"gateway": {"longformCap": 0.125}},
        model(maxNumSeqs=8) | {"gateway": {"longformCap": 0.06}},
    ),
    ("CACHE_KIND", model(cache={"kind": "shared"}), model(cache={"kind": "replica"})),
    ("CACHE_KIND", model(cache={"kind": "node"}), model(cache={"kind": "image"})),
    ("OPEN_LOAD_BALANCER", {"gateway": LB | {"sourceRanges": ["10.0.0.0/8"]}}, {"gateway": LB}),
    ("OPEN_LOAD_BALANCER", {"gateway": {"serviceType": "ClusterIP"}}, {"gateway": LB | {"sourceRanges": []}}),
    ("MONITORING_NOT_BUILT", {"monitoring": {"mode": "bundled"}}, {"monitoring": {"mode": "operator"}}),
    (
        "OVER_BUDGET",
        nodes(standby={"mode": "cold", "count": 2}) | {"budget": {"capexUsd": priced(3)}},
        nodes(standby={"mode": "cold", "count": 2}) | {"budget": {"capexUsd": priced(3) - 1}},
    ),
    ("OVER_BUDGET", nodes(), {"budget": {"capexUsd": priced(1) - 0.01, "mode": "advisory"}}),
    (
        "OVER_BUDGET",
        quoted(TWO, 55_000.5) | {"budget": {"capexUsd": 55_000.5}},
        quoted(TWO, 55_000.5) | {"budget": {"capexUsd": 55_000}},
    ),
    ("OVER_MONTHLY_BUDGET", {"budget": {"monthlyUsd": a_month()}}, {"budget": {"monthlyUsd": a_month() - 1}}),
    (
        "OVER_MONTHLY_BUDGET",
        quoted() | {"budget": {"monthlyUsd": a_month(**quoted())}},
        quoted() | {"budget": {"monthlyUsd": a_month(), "mode": "advisory"}},
    ),
    ("TENURE", rented(rent={}), {"nodes": NODES | {"rent": {}}}),
    ("TENURE", {"nodes": NODES | {"purchased": "2026-10-02"}}, rented(purchased="2026-10-02")),
    ("UNKNOWN_QUOTE", quoted("electricity"), quoted("electricty")),
    ("UNKNOWN_QUOTE", quoted("storage-fast"), quoted("disk-fast")),
    ("UNKNOWN_QUOTE", quoted(TWO), quoted(TWO + "x")),
    ("BAD_QUOTE", quoted(unit="USD/kWh"), quoted(unit="USD/MWh")),
    ("BAD_QUOTE", quoted("storage-fast", unit="USD/GiB-month"), quoted("storage-fast", unit="USD/GB-month")),
    ("BAD_QUOTE", quoted("life", 1), quoted("life", 0)),
    ("BAD_QUOTE", quoted("residual", 1), quoted("residual", 1.01)),
    ("BAD_QUOTE", shown_in("USD", 1), shown_in("USD", 0.99)),
    ("BAD_QUOTE", shown_in("EUR", 0.86), shown_in("USD", 0.86)),
    ("SHARES", chat(share=1), chat(share=0.99)),
    ("MODEL_SHARES", model_shares(0.7, 0.3), model_shares(0.7, 0.31)),
    ("MODEL_SHARES", model_shares(0.7, 0.3), model_shares(0.7, 0.29)),
    ("MODEL_SHARES", model_shares(0.99, None), model_shares(1, None)),
    ("LONG_DRAIN", chat(answerTokens=3600, tpotMs=1000), chat(answerTokens=3601, tpotMs=1000)),
    ("KV_FP8_BACKEND", nodes(PREMIUM) | model(kvCacheDtype="fp8"), model(kvCacheDtype="fp8")),
    ("KV_FP8_BACKEND", nodes(ENTRY), nodes(ENTRY) | model(kvCacheDtype="fp8")),
    (
        "IDLE_GPUS",
        model(replicas=2) | {"autoscaling": {"enabled": False}},
        model(replicas=1) | {"autoscaling": {"enabled": False}},
    ),
    ("IDLE_GPUS", nodes(FOUR) | model(**tensor(2)), nodes(FOUR) | model(**tensor(1, 3))),
    ("RAID_LEVEL", nodes(ENTRY, provider="metal3"), nodes(TWO, provider="metal3")),
    ("RAID_LEVEL", nodes(PREMIUM), nodes(PREMIUM, provider="metal3")),
    (
        "SOURCE_RANGES",
        {"gateway": LB | {"sourceRanges": ["192.168.0.0/16", "2001:db8::/32"]}},
        {"gateway": LB | {"sourceRanges": ["127.0.0.0/8"]}},
    ),
    (
        "SOURCE_RANGES",
        {"gateway": LB | {"sourceRanges": ["10.0.0.0/8"]}},
        {"gateway": LB | {"sourceRanges": ["10.0.0.0/8", "ff00::/8"]}},
    ),
    (
        "OPEN_LOAD_BALANCER",
        {"gateway": LB | {"sourceRanges": ["128.0.0.0/1"]}},
        {"gateway": LB | {"sourceRanges": ["0.0.0.0/0"]}},
    ),
    (
        "LONGFORM_CAP",
        model(maxNumSeqs=8) | {"gateway": {"longformCap": 0.93}},
        model(maxNumSeqs=8) | {"gateway": {"longformCap": 0.94}},
    ),
    ("SLO_BUCKET", chat(ttftMs=500, tpotMs=50), chat(ttftMs=501, tpotMs=50)),
    ("SLO_BUCKET", chat(ttftMs=750, tpotMs=25), chat(ttftMs=750, tpotMs=40)),
    # vLLM's histograms do not matter for an engine without any.
    ("SLO_BUCKET", chat(ttftMs=501) | model(**TRT), chat(ttftMs=501)),
    (
        "SLO_BUCKET",
        chat(ttftMs=501) | model(**TRT),
        chat(ttftMs=501) | {"models": [MODEL | TRT, MODEL | {"name": "b"}]},
    ),
    ("NO_SECRET", callers(web={}) | WEB_KEY, callers(web={}, batch={}) | WEB_KEY),
    ("NO_SECRET", {"gateway": {"tls": True}} | TLS, {"gateway": {"tls": True}} | WEB_KEY),
    ("UNUSED_KEY", callers(web={}) | WEB_KEY, WEB_KEY),
    ("OPEN_TO_ALL", callers(web={}, **LB_IN) | WEB_KEY, {"gateway": LB_IN} | WEB_KEY),
    ("OPEN_TO_ALL", {"gateway": {"serviceType": "ClusterIP"}}, {"gateway": LB_IN}),
    ("CLEAR_TEXT", {"gateway": LB_IN | {"tls": True}} | TLS, {"gateway": LB_IN}),
    ("OPEN_LOAD_BALANCER", {"gateway": LB_IN | NODE_PORT}, {"gateway": NODE_PORT}),
    ("CLEAR_TEXT", {"gateway": {"ingress": INGRESS | {"tlsSecret": "x"}}}, {"gateway": {"ingress": INGRESS}}),
    ("EXPOSURE", {"gateway": LB_IN | NODE_PORT}, {"gateway": LB_IN | NODE_PORT | {"ingress": INGRESS}}),
    (
        "EXPOSURE",
        {"gateway": LB_IN | NODE_PORT | {"nodePort": 30080}},
        {"gateway": LB_IN | {"nodePort": 30080}},
    ),
    (
        "PROXY_UNKNOWN",
        {"gateway": {"ingress": INGRESS | {"className": "traefik"}}},
        {"gateway": {"ingress": INGRESS | {"className": "gce"}}},
    ),
    (
        "PROXY_BLOCKED",
        {"gateway": {"ingress": INGRESS | {"className": "gce"}}},
        {"gateway": {"ingress": INGRESS | {"className": "gce"}, "namespaces": ["chat-app"]}},
    ),
    (
        "OWN_COPIES",
        nodes(ENTRY, count=2) | {"cluster": {"modelStorageClass": "nfs"}},
        nodes(ENTRY, count=2),
    ),
    ("OWN_COPIES", nodes(ENTRY, count=1), nodes(ENTRY, standby={"mode": "cold", "count": 1})),
    ("TOLERATION", tolerating(key="a", operator="Exists"), tolerating(key="a", operator="Exists", value="b")),
    ("TOLERATION", tolerating(key="a", operator="Equal"), tolerating(operator="Equal")),
    (
        "TOKEN_IN_CLEAR",
        {"network": {"hubUrl": "https://hub"}, "secrets": frozenset({"hub-token"})},
        {"network": {"hubUrl": "http://hub"}, "secrets": frozenset({"hub-token"})},
    ),
    (
        "TOKEN_IN_CLEAR",
        {"network": {"hubUrl": "http://hub"}},
        {"network": {"hubUrl": "http://hub"}, "secrets": frozenset({"hub-token"})},
    ),
    (
        "TOKEN_IN_CLEAR",
        {"models": [SCOPED]},
        {"models": [SCOPED], "secrets": frozenset({"modelscope-token"})},
    ),
    ("NO_REVISION", {"models": [SCOPED]}, weights("modelScope")),
    ("NO_SECRET", weights("s3", **S3), weights("s3", **S3) | {"secrets": frozenset({"s3-access-key"})}),
    ("WEIGHTS", weights("s3", **S3), weights("s3", url="s3://models")),
    ("WEIGHTS", weights("claim", claim="a"), weights("claim", claim="a", region="b")),
    ("WEIGHTS", weights("claim", claim="a"), model(weights=CLAIM, revision="0" * 40)),
    (
        "WEIGHTS",
        model(weights=CLAIM, cache={"kind": "node"}, adapters=[LORA]),
        model(weights=CLAIM, cache={}),
    ),
    (
        "WEIGHTS",
        model(precision="q8_0") | {"images": GGUF},
        model(precision="q8_0", weights=CLAIM) | {"images": GGUF},
    ),
    ("GATED_MODEL", model(id="llama-3.1-8b", weights=CLAIM), model(id="llama-3.1-8b")),
    ("CLASS_UNREACHABLE", two_classes({"answerTokens": 201}), two_classes({})),
    ("CLASS_UNREACHABLE", two_classes({"match": {"stream": True}}), two_classes({"match": {}})),
    *(
        (
            "BUDGET_NOT_METERED",
            {"gateway": {"meterTokens": True, "keys": {"web": {name: 1000}}}} | WEB_KEY,
            callers(web={name: 1000}) | WEB_KEY,
        )
        for name in ("tokensPerMinute", "tokensPerDay")
    ),
    (
        "OPEN_ORIGINS",
        {"gateway": {"allowedOrigins": ["https://chat.example.com"]}},
        {"gateway": {"allowedOrigins": ["https://chat.example.com", "*"]}},
    ),
    (
        "OPEN_ORIGINS",
        {"gateway": {"allowedOrigins": ["*"], "keys": {"web": {}}}} | WEB_KEY,
        {"gateway": {"allowedOrigins": ["*"]}},
    ),
    (
        "CLASS_UNREACHABLE",
        two_classes({"match": {"paths": ["/v1/messages", "/v1/embeddings"]}}),
        two_classes({"match": {"paths": ["/v1/embeddings"]}}),
    ),
    (
        "UNKNOWN_NAME",
        callers(web={"classes": ["chat"]}) | WEB_KEY,
        callers(web={"classes": ["cat"]}) | WEB_KEY,
    ),
    ("UNKNOWN_NAME", alias(weights={"qwen2.5-7b": 1}), alias(weights={"qwen2.5": 1})),
    ("UNKNOWN_NAME", alias(classes={"chat": "qwen2.5-7b"}), alias(classes={"chat": "any"})),
    ("UNKNOWN_NAME", alias(classes={"chat": "qwen2.5-7b"}), alias(classes={"chats": "qwen2.5-7b"})),
    (
        "UNKNOWN_NAME",
        two_classes({"match": {"models": ["qwen2.5-7b"]}}),
        two_classes({"match": {"models": ["q"]}}),
    ),
    ("ALIAS", alias(weights={"qwen2.5-7b": 1}), alias()),
    ("ALIAS", alias(weights={"qwen2.5-7b": 1}), alias("qwen2.5-7b", weights={"qwen2.5-7b": 1})),
    ("ENGINE_TAKES_NOT", model(**TRT, toolCallParser="none"), model(**TRT, toolCallParser="hermes")),
    ("ENGINE_TAKES_NOT", model(reasoningParser="qwen3"), model(**TRT, reasoningParser="qwen3")),
    ("NO_PARSER", model(toolCallParser="hermes"), model(toolCallParser="Hermes")),
    ("NO_PARSER", model(reasoningParser="qwen3"), model(reasoningParser="hermes")),
    ("NO_PARSER", model(toolCallParser="none"), model(toolCallParser="qwen9") | OTHER_VLLM),
    ("NO_REVISION", model(adapters=[LORA]), model(adapters=[{"name": "support", "repo": "acme/support"}])),
    ("DUPLICATE_NAME", model(adapters=[LORA]), model(adapters=[LORA | {"name": "qwen2.5-7b"}])),
    ("DUPLICATE_NAME", model(adapters=[LORA, LORA | {"name": "b"}]), model(adapters=[LORA, LORA])),
    (
        "DUPLICATE_NAME",
        {"models": [MODEL | {"adapters": [LORA]}, MODEL | {"name": "b", "adapters": [LORA | {"name": "c"}]}]},
        {"models": [MODEL | {"adapters": [LORA]}, MODEL | {"name": "b", "adapters": [LORA]}]},
    ),
    ("ADAPTER", model(adapters=[LORA | {"rank": 512}]), model(adapters=[LORA | {"rank": 513}])),
    (
        "ADAPTER",
        model(adapters=[LORA], precision="awq"),
        model(adapters=[LORA], precision="q8_0") | {"images": GGUF},
    ),
    ("ENGINE_TAKES_NOT", model(adapters=[LORA]), model(**TRT, adapters=[LORA])),
    (
        "UNKNOWN_NAME",
        model(adapters=[LORA]) | alias(weights={"support": 1}),
        model() | alias(weights={"support": 1}),
    ),
    (
        "ALIAS",
        model(adapters=[LORA]) | alias("other", weights={"support": 1}),
        model(adapters=[LORA]) | alias("support", weights={"support": 1}),
    ),
    ("ENGINE_TAKES_NOT", model(kvOffloadGib=8), model(**TRT, kvOffloadGib=8)),
    ("ENGINE_TAKES_NOT", model(speculative=NGRAM), model(**TRT, speculative=NGRAM)),
    ("OWNED_OPTION", model(speculative=NGRAM), option("speculative-config", {"method": "ngram"})),
    (
        "SPECULATIVE",
        model(speculative=NGRAM | {"promptLookupMin": 4, "promptLookupMax": 4}),
        model(speculative=NGRAM | {"promptLookupMin": 5, "promptLookupMax": 4}),
    ),
    (
        "SPECULATIVE",
        model(speculative=NGRAM | {"tokens": 7}, maxNumSeqs=256),
        model(speculative=NGRAM | {"tokens": 8}, maxNumSeqs=256),
    ),
    ("ENGINE_TAKES_NOT", model(engineArgs={"seed": 1}), model(**TRT, engineArgs={"seed": 1})),
    ("UNKNOWN_OPTION", option("stream-interval", 4), option("stream-intervals", 4)),
    (
        "NO_PREFIX_CACHE",
        option("enable-prefix-caching", True) | CACHED_PROMPTS,
        option("enable-prefix-caching", False) | CACHED_PROMPTS,
    ),
    (
        "NO_PREFIX_CACHE",
        option("enable-prefix-caching", False),
        option("enable-prefix-caching", False) | CACHED_PROMPTS,
    ),
    (
        "NOTHING_TO_BALANCE",
        model(replicas=2) | BY_PREFIX,
        model(replicas=1) | BY_PREFIX | {"autoscaling": {"enabled": False}},
    ),
    ("UNKNOWN_OPTION", option("stream-interval", 4), option("new-in-033", 4) | OTHER_VLLM),
    ("UNKNOWN_OPTION", variable("VLLM_LOGGING_LEVEL"), variable("VLLM_LOGGING_LEVELS")),
    ("UNKNOWN_OPTION", variable("MY_LEVEL"), variable("VLLM_MY_LEVEL")),
    ("OWNED_OPTION", option("max-num-batched-tokens", 4096), option("max-num-seqs", 64)),
    ("OWNED_OPTION", option("seed", 1), option("port", 1)),
    ("OWNED_OPTION", variable("HF_HUB_VERBOSITY"), variable("HF_HUB_OFFLINE")),
    ("OWNED_OPTION", variable("VLLM_LOGGING_LEVEL"), variable("VLLM_API_KEY")),
    ("OPTION_VALUE", option("stream-interval", 4), option("stream-interval", "4")),
    ("OPTION_VALUE", option("uvicorn-log-level", "warning"), option("uvicorn-log-level", "WARNING")),
    ("OPTION_VALUE", option("middleware", ["a.b"]), option("middleware", "a.b")),
    ("SECRET_IN_CLEAR", variable("CACHE_PASSWORD", {"secret": "s", "key": "k"}), variable("CACHE_PASSWORD")),
    ("CHAT_TEMPLATE", model(chatTemplate="c.jinja") | TEMPLATE, model(chatTemplate="d.jinja") | TEMPLATE),
    ("CHAT_TEMPLATE", model(chatTemplate="none"), model(chatTemplate="c.jinja")),
    ("LARGE_BODIES", {"gateway": {"maxBodySize": "4m"}}, {"gateway": {"maxBodySize": "4097k"}}),
]


@pytest.mark.parametrize(
    ("code", "right", "wrong"),
    BOUNDARIES,
    ids=[f"{number}-{row[0]}" for number, row in enumerate(BOUNDARIES)],
)
def test_both_sides_of_a_boundary(code: str, right: dict[str, Any], wrong: dict[str, Any]) -> None:
    assert code not in codes(**right)
    assert code in codes(**wrong)


def test_every_finding_is_listed_at_its_key_of_the_reference() -> None:
    found = [item for _, _, wrong in BOUNDARIES for item in (*findings(**wrong), *refusals(**wrong))]
    assert len({item.code for item in found}) > 40
    assert not_listed(found) == set()


def test_rules_report_the_severities_that_are_explained() -> None:
    proven = {Code[row[0]] for row in BOUNDARIES}
    reported: dict[Code, set[Severity]] = {code: set() for code in proven}
    for _, _, wrong in BOUNDARIES:
        for finding in (*findings(**wrong), *refusals(**wrong)):
            reported.setdefault(finding.code, set()).add(finding.severity)
    for code, severities in reported.items():
        assert severities <= set(EXPLAINED[code].severities), code
        assert code not in proven or severities == set(EXPLAINED[code].severities), code


def with_server(catalog: Catalog, path: str, value: float) -> Catalog:
    """The catalogue with another value in one field of the two-card server."""
    first, second = path.split(".")
    server = catalog.servers[TWO]
    part = getattr(server, first)
    changed = part.model_copy(update={second: getattr(part, second).model_copy(update={"value": value})})
    servers = catalog.servers | {TWO: server.model_copy(update={first: changed})}
    return catalog.model_copy(update={"servers": servers})


# Two replicas of one GPU each: 2 x 4 + 3.8 CPUs and 2 for the system; 2 x (12 + 2) + 4.8 GiB and 8 for it; node cache
# 2 x (14.19 x 1.2 + 2) GiB on a disk in TB.
@pytest.mark.parametrize(
    ("code", "path", "right", "wrong", "models"),
    [
        ("CPU_EXCEEDED", "cpu.threads", 14, 13, [MODEL]),
        ("MEMORY_EXCEEDED", "memory.gb", 44, 43, [MODEL]),
        (
            "DISK_EXCEEDED",
            "disk.tb",
            0.0430,
            0.0429,
            [MODEL | {"cache": {"kind": "node"}}, MODEL | {"name": "b", "cache": {"kind": "node"}}],
        ),
    ],
)
def test_both_sides_of_a_server_s_size(
    code: str, path: str, right: float, wrong: float, models: list[dict[str, Any]]
) -> None:
    catalog = load_catalog()
    assert code not in codes(catalog=with_server(catalog, path, right), models=models)
    assert code in codes(catalog=with_server(catalog, path, wrong), models=models)


def test_every_code_of_a_rule_has_a_test_of_its_boundary() -> None:
    others = {"Stack file", "Cluster features", "Cluster check"}  # reported by the parser and by a cluster
    of_rules = {code.name for code in Code if group_of(code) not in others and code not in NOT_IN_PLANS}
    tested = (
        ({row[0] for row in BOUNDARIES} - {"SECRET_IN_CLEAR"})
        | {"CPU_EXCEEDED", "MEMORY_EXCEEDED", "DISK_EXCEEDED"}
        | SEARCHED
    )
    assert tested == of_rules


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("qwen2.5-7b", [1, 2, 4]),
        ("deepseek-r1-distill-qwen-7b", [1, 2, 4]),
        ("qwen-7b", [1, 2, 4, 8]),
        ("qwen3-8b", [1, 2, 4, 8]),
        ("llama-3.1-8b", [1, 2, 4, 8]),
        ("mistral-7b", [1, 2, 4, 8]),
    ],
)
def test_tensor_sizes_that_the_engine_takes(name: str, sizes: list[int]) -> None:
    assert [size for size in range(1, 9) if divides(load_catalog().models[name], size)] == sizes


@pytest.mark.parametrize(
    ("name", "precision", "sizes"),
    [
        ("qwen2.5-7b", Precision.AWQ, [1, 2, 4]),
        ("qwen2.5-7b", Precision.GPTQ_INT4, [1, 2, 4]),
        ("qwen2.5-7b", Precision.Q5_K_M, [1, 2]),
        ("qwen2.5-7b", Precision.Q8_0, [1, 2, 4]),
        ("qwen-7b", Precision.GPTQ_INT4, [1, 2]),
        ("qwen2.5-7b", Precision.BF16, [1, 2, 4]),
    ],
)
def test_tensor_sizes_that_split_no_quantization_group(
    name: str, precision: Precision, sizes: list[int]
) -> None:
    spec = load_catalog().models[name]
    assert [size for size in (1, 2, 4) if not splits_group(spec, precision, size)] == sizes


def test_warnings_are_in_the_plan_and_stop_nothing() -> None:
    plan = small_plan(**nodes(ENTRY), **model(**tensor(2)))
    assert {finding.severity for finding in plan.findings} == {Severity.WARNING, Severity.NOTE}
    assert {"TP_WITHOUT_P2P", "ROLLOUT_RECREATE", "ONE_FAILURE_DOMAIN"} <= {
        f.code.name for f in plan.findings
    }


@pytest.mark.parametrize("key", Images.model_fields)
def test_every_image_that_a_stack_file_can_name_is_pinned(key: str) -> None:
    floating = [
        finding.path
        for finding in findings(images={key: "registry.example.com/some/image:latest"})
        if finding.code is Code.FLOATING_IMAGE
    ]
    assert floating == [f"images.{key}"]
    assert "FLOATING_IMAGE" not in codes(images={key: "registry.example.com/some/image:v1.2.3"})


def test_a_promise_between_two_bounds_is_reported_once_for_models_of_one_engine() -> None:
    two = {"models": [MODEL, MODEL | {"name": "b"}]}
    reported = [item for item in findings(**chat(ttftMs=501) | two) if item.code is Code.SLO_BUCKET]
    assert [item.path for item in reported] == ["workload.classes.chat.ttftMs"]


def test_an_engine_that_no_model_uses_has_no_findings() -> None:
    reported = findings(**chat(ttftMs=501, tpotMs=51) | model(**TRT, kvCacheDtype="fp8", precision="fp16"))
    assert {Code.ENGINE_NOT_PROVEN} <= {item.code for item in reported}
    assert not [item for item in reported if "vllm:" in item.problem]


def test_an_error_is_raised_without_the_warnings() -> None:
    with pytest.raises(FindingsError) as caught:
        small_plan(**nodes(ENTRY, provider="metal3"), **model(**tensor(2)))
    assert [finding.code for finding in caught.value.findings] == [Code.PROVIDER_NOT_BUILT]


# An unreadable section, and a mistake in each other section: only findings that need the unreadable one are missing.
MISTAKES: dict[str, Any] = {
    "workload": {"users": 40, "classes": chat(share=0.5)["workload"]["classes"]},
    "nodes": NODES | {"provider": "metal3"},
    "models": [MODEL | {"cache": {"kind": "replica"}}],
    "gateway": LB,
    "monitoring": {"mode": "operator"},
    "images": {"nginx": "nginx:latest"},
    "budget": {"capexUsd": 1},
    "cost": quoted("electricty")["cost"],
    "autoscaling": {"maxReplicas": 9},
}
CODES_BY_SECTION = {
    "workload": {"SHARES"},
    "nodes": {"PROVIDER_NOT_BUILT", "RAID_LEVEL", "OVER_BUDGET", "AUTOSCALER_RANGE"},
    "models": {"CACHE_KIND", "AUTOSCALER_RANGE"},
    "gateway": {"OPEN_LOAD_BALANCER"},
    "monitoring": {"MONITORING_NOT_BUILT"},
    "images": {"FLOATING_IMAGE"},
    "budget": {"OVER_BUDGET"},
    "cost": {"UNKNOWN_QUOTE", "OVER_BUDGET"},
    "autoscaling": {"AUTOSCALER_RANGE"},
}


def test_all_mistakes_are_reported_together() -> None:
    assert codes(**MISTAKES) - {"ONE_FAILURE_DOMAIN"} == set().union(*CODES_BY_SECTION.values())


@pytest.mark.parametrize("broken", CODES_BY_SECTION)
def test_a_broken_section_hides_only_what_needs_it(broken: str) -> None:
    expected = set().union(*CODES_BY_SECTION.values()) - CODES_BY_SECTION[broken]
    assert codes(**MISTAKES | {broken: 5}) == expected | {"WRONG_TYPE"}


def test_a_broken_model_leaves_the_others_at_their_index() -> None:
    models = [MODEL | {"nonsense": 1}, MODEL | {"id": "nothing"}, MODEL | {"context": 65536}]
    with pytest.raises(FindingsError) as caught:
        small_plan(models=models)
    places = {finding.code.name: finding.path for finding in caught.value.findings}
    assert places == {
        "UNKNOWN_KEY": "models[0].nonsense",
        "UNKNOWN_MODEL": "models[1].id",
        "CONTEXT_TOO_LONG": "models[2].context",
    }


def test_check_alone_reports_what_make_plan_raises() -> None:
    parsed = parse(small_stack(monitoring={"mode": "operator"}))
    found = check(resolve(parsed.config(), load_catalog()))
    with pytest.raises(FindingsError) as caught:
        make_plan(parsed, load_catalog())
    assert caught.value.findings == tuple(f for f in found if f.severity is Severity.ERROR)


def test_a_commit_that_nobody_pinned_hides_no_other_mistake() -> None:
    """A model's memory does not depend on its commit: kaito-project/kaito issue 2132, Llama 70B on two H100."""
    big = {"id": "llama-3.1-70b", "precision": "bf16", "parallelism": {"tensor": 2}, "context": 131_072}
    known = load_catalog()
    spec = known.models["llama-3.1-70b"]
    variants = {key: item.model_copy(update={"revision": None}) for key, item in spec.variants.items()}
    unpinned = {"llama-3.1-70b": spec.model_copy(update={"variants": variants})}
    catalog = known.model_copy(update={"models": known.models | unpinned})
    told = codes(nodes=nodes(PREMIUM)["nodes"], models=[big], catalog=catalog)
    assert {Code(code).name for code in ("TIER023", "TIER034", "TIER043")} <= told
    pinned = codes(nodes=nodes(PREMIUM)["nodes"], models=[{**big, "revision": COMMIT}], catalog=catalog)
    assert told - pinned == {"NO_REVISION"}
