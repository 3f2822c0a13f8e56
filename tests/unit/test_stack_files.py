"""The three tiers as committed: each plans without an error, in every variant, and meets the hardware guide."""

import re
from typing import Any

import pytest
from stack_variants import in_use, uncomment_variant, variants
from tier_plans import TIERS, VARIANTS, every_tier, every_variant, plan_of, stack_text

from tierup.catalog import Sourced
from tierup.findings.model import errors
from tierup.io.stack.read import load_yaml
from tierup.plan.model import Plan
from tierup.stack.schema import json_schema
from tierup.templates import ROOT

GPU_EXPORTER = "nvidia-dcgm-exporter.gpu-operator.svc.cluster.local:9400"
NODE_EXPORTER = "node-exporter.monitoring.svc.cluster.local:9100"
QWEN_COMMIT = "a09a35458c702b33eeacc393d103063234e8bc28"
# What the hardware guide requires of each tier, and where it is written. The speeds and the memory per card that it
# claims are not required but computed by the sizing model.
#   stack    a line of the stack file            server   a part of the catalogue's server (`gpu.` its GPUs)
#   default  a default that the plan prints      variant  a block that can be commented in
#   comment  a sentence of the stack file        choice   a value that the schema offers
# fmt: off
REQUIREMENTS: list[tuple[str, str, str, str, Any]] = [
    # 1. entry
    ("entry", "2 x RTX 4090", "server", "gpus", 2),
    ("entry", "RTX 4090", "server", "gpu.product_label", "NVIDIA-GeForce-RTX-4090"),
    ("entry", "24 GB", "server", "gpu.memory_mib", 24564),
    ("entry", "FP16 with TP=2", "variant", "fp16-tp2", ("fp16", 2, 1)),
    ("entry", "GPTQ-Int4", "variant", "gptq-int4", ("gptq-int4", 1, 1)),
    ("entry", "Ryzen 9 7950X", "server", "cpu.model", "AMD Ryzen 9 7950X"),
    ("entry", "16 cores", "server", "cpu.cores", 16),
    ("entry", "32 threads", "server", "cpu.threads", 32),
    ("entry", "boost 5.7 GHz", "server", "cpu.boost_ghz", 5.7),
    ("entry", "64 GB", "server", "memory.gb", 64),
    ("entry", "DDR5", "server", "memory.type", "DDR5"),
    ("entry", "dual channel", "server", "memory.channels", 2),
    ("entry", "never swapping", "comment", "the server never swaps", None),
    ("entry", "2 TB", "server", "disk.tb", 2),
    ("entry", "NVMe, PCIe 4.0", "server", "disk.kind", "NVMe, PCIe 4.0"),
    ("entry", ">= 7 GB/s", "server", "disk.read_gb_s", 7),
    ("entry", "model files and logs on it", "default", "models[0].cache.kind", "node"),
    ("entry", "2.5 GbE NIC", "server", "nics.0.gbps", 2.5),
    ("entry", "1 Gbps fibre", "server", "nics.1.gbps", 1),
    ("entry", "bursts are absorbed by a queue", "stack", "gateway.queueLength", 40),
    ("entry", "vLLM, continuous batching", "default", "models[0].engine", "vllm"),
    ("entry", "Nginx as load balancer", "default", "images.nginx", "nginxinc/nginx-unprivileged:1.29.3"),
    ("entry", "keepalive_timeout 60s", "stack", "gateway.keepaliveTimeoutSeconds", 60),
    ("entry", "~$15,000", "server", "capex_usd", 15000),
    ("entry", "chassis included", "server", "chassis", "in the price"),
    ("entry", "power supply included", "server", "psu", "in the price"),
    ("entry", "cooling included", "server", "cooling", "in the price"),
    ("entry", "answers <= 100 tokens", "stack", "workload.classes.chat.answerTokens", 100),
    ("entry", "500-800 ms, at a bound of the engine's histogram", "stack", "workload.classes.chat.ttftMs", 750),
    ("entry", "500-800 ms", "server", "claim.latency_ms", 800),
    ("entry", "30-40 users", "stack", "workload.users", 40),
    ("entry", "tuned batch size", "default", "models[0].maxNumSeqs", "24"),
    ("entry", "$10k-20k", "stack", "budget.capexUsd", 20000),
    # 2. standard
    ("standard", "2 x A100", "server", "gpus", 2),
    ("standard", "A100 80 GB PCIe", "server", "gpu.product_label", "NVIDIA-A100-80GB-PCIe"),
    ("standard", "FP16 with TP=2", "variant", "fp16-tp2", ("fp16", 2, 1)),
    ("standard", "AWQ", "variant", "awq", ("awq", 1, 1)),
    ("standard", "EPYC 7502", "server", "cpu.model", "AMD EPYC 7502"),
    ("standard", "32 cores", "server", "cpu.cores", 32),
    ("standard", "64 threads", "server", "cpu.threads", 64),
    ("standard", "2.5 GHz", "server", "cpu.base_ghz", 2.5),
    ("standard", "3.35 GHz", "server", "cpu.boost_ghz", 3.35),
    ("standard", "128 GB", "server", "memory.gb", 128),
    ("standard", "DDR4", "server", "memory.type", "DDR4"),
    ("standard", "ECC", "server", "memory.ecc", True),
    ("standard", "quad channel", "server", "memory.channels", 4),
    ("standard", "4 TB", "server", "disk.tb", 4),
    ("standard", "NVMe", "server", "disk.kind", "NVMe"),
    ("standard", "RAID 0", "server", "disk.raid", "0"),
    ("standard", ">= 12 GB/s", "server", "disk.read_gb_s", 12),
    ("standard", "Q5_K_M and Q8_0 side by side", "variant", "q5-k-m-and-q8-0", ("q5_k_m q8_0", 1, 1)),
    ("standard", "10 GbE", "server", "nics.0.gbps", 10),
    ("standard", "fibre switch", "server", "switch", "fibre switch"),
    ("standard", "TP=2 and pipeline parallel on 4 x A100", "variant", "4x-a100-tp2-pp2", ("bf16", 2, 2)),
    ("standard", "containers", "default", "images.vllm", "vllm/vllm-openai:v0.32.0"),
    ("standard", "scaled by Kubernetes", "stack", "autoscaling.enabled", True),
    ("standard", "~$60,000", "server", "capex_usd", 60000),
    ("standard", "cabinet included", "server", "cabinet", "in the price"),
    ("standard", "redundant power supplies", "server", "redundant_psu", True),
    ("standard", "$50k-70k a server, two spares", "stack", "budget.capexUsd", 210000),
    ("standard", "answers <= 200 tokens", "stack", "workload.classes.chat.answerTokens", 200),
    ("standard", "300-500 ms", "stack", "workload.classes.chat.ttftMs", 500),
    ("standard", "300-500 ms", "server", "claim.latency_ms", 500),
    ("standard", "50-60 users", "server", "claim.users", 60),
    ("standard", "50-60 users", "stack", "workload.users", 50),
    ("standard", "batch 16", "stack", "models.0.maxNumSeqs", 16),
    # 3. premium
    ("premium", "4 x H100", "server", "gpus", 4),
    ("premium", "H100 80 GB", "server", "gpu.product_label", "NVIDIA-H100-80GB-HBM3"),
    ("premium", "NVLink", "server", "gpu.link.kind", "nvlink"),
    ("premium", "FP8", "stack", "models.0.precision", "fp8"),
    ("premium", "model parallel 4", "variant", "fp8-mp4", ("fp8", 4, 1)),
    ("premium", "2 x Xeon", "server", "cpu.sockets", 2),
    ("premium", "Platinum 8480+, AVX-512", "server", "cpu.model", "Intel Xeon Platinum 8480+"),
    ("premium", "56 cores each", "server", "cpu.cores", 112),
    ("premium", "112 threads each", "server", "cpu.threads", 224),
    ("premium", "clocks, as the vendor's sheet has them", "server", "cpu.base_ghz", 2.0),
    ("premium", "512 GB", "server", "memory.gb", 512),
    ("premium", "DDR5", "server", "memory.type", "DDR5"),
    ("premium", "ECC", "server", "memory.ecc", True),
    ("premium", "eight channel", "server", "memory.channels", 8),
    ("premium", "8 TB", "server", "disk.tb", 8),
    ("premium", "U.2 NVMe", "server", "disk.kind", "U.2 NVMe"),
    ("premium", "RAID 10", "server", "disk.raid", "10"),
    ("premium", ">= 16 GB/s", "server", "disk.read_gb_s", 16),
    ("premium", "hot model updates: a commit is pinned", "default", "models[0].revision", QWEN_COMMIT),
    ("premium", "durable logs", "default", "monitoring.retain", "true"),
    ("premium", "200 Gbps", "server", "nics.0.gbps", 200),
    ("premium", "InfiniBand", "server", "nics.0.kind", "infiniband"),
    ("premium", "multi-node inference over it", "server", "nics.0.gbps", 200),
    ("premium", "switch", "server", "switch", "InfiniBand, 200 Gbps"),
    ("premium", "OpenAI-compatible server", "default", "images.vllm", "vllm/vllm-openai:v0.32.0"),
    ("premium", "first token < 100 ms", "stack", "workload.classes.chat.ttftMs", 100),
    ("premium", "8K-token contexts", "stack", "models.0.context", 8192),
    ("premium", "TensorRT compilation", "comment", "TensorRT compilation", None),
    ("premium", "TensorRT-LLM as a choice", "choice", "Engine", "tensorrt-llm"),
    ("premium", "FlashAttention", "comment", "FlashAttention 3", None),
    ("premium", "cabinet", "server", "cabinet", "dedicated"),
    ("premium", "liquid cooling", "server", "cooling", "liquid"),
    ("premium", "~$250,000", "server", "capex_usd", 250000),
    ("premium", "$200k-300k a server, one spare", "stack", "budget.capexUsd", 600000),
    ("premium", "answers <= 500 tokens", "stack", "workload.classes.chat.answerTokens", 500),
    ("premium", "100-200 ms", "server", "claim.latency_ms", 200),
    ("premium", "80-100 users", "stack", "workload.users", 100),
    ("premium", "batch 32", "stack", "models.0.maxNumSeqs", 32),
    # 4. across the tiers: "all" stands for each of them
    ("all", "FP16 for precision work", "choice", "Precision", "fp16"),
    ("all", "GPTQ-Int4 for chat", "choice", "Precision", "gptq-int4"),
    ("all", "AWQ for chat", "choice", "Precision", "awq"),
    ("all", "client_body_buffer_size 128k", "stack", "gateway.clientBodyBufferSize", "128k"),
    ("all", "keepalive_timeout 60s", "stack", "gateway.keepaliveTimeoutSeconds", 60),
    ("all", "chat goes first", "stack", "workload.classes.chat.priority", 80),
    ("all", "long text waits", "stack", "workload.classes.longform.priority", 20),
    ("all", "Prometheus", "default", "images.prometheus", "prom/prometheus:v3.8.0"),
    ("all", "Grafana", "default", "images.grafana", "grafana/grafana:11.6.0"),
    ("all", "GPU memory is measured", "default", "monitoring.gpuExporter", GPU_EXPORTER),
    ("all", "CPU load and network are measured", "default", "monitoring.nodeExporter", NODE_EXPORTER),
    ("all", "load test before going live", "comment", "Load-test before going live", None),
    ("standard", "HPA on CPU", "stack", "autoscaling.cpuTargetPercent", 90),
    ("standard", "HPA on GPU", "stack", "autoscaling.gpuTargetPercent", 95),
    ("standard", "cold standby", "stack", "nodes.standby.mode", "cold"),
    ("standard", "2 spare servers", "stack", "nodes.standby.count", 2),
    ("entry", "HPA on CPU", "default", "autoscaling.cpuTargetPercent", "90"),
    ("entry", "HPA on GPU", "default", "autoscaling.gpuTargetPercent", "95"),
    ("premium", "HPA on CPU", "stack", "autoscaling.cpuTargetPercent", 90),
    ("premium", "HPA on GPU", "stack", "autoscaling.gpuTargetPercent", 95),
    ("premium", "cold standby", "stack", "nodes.standby.mode", "cold"),
]
# fmt: on


def in_stack(tier: str, path: str) -> Any:
    section, *rest = path.split(".")
    value = load_yaml(stack_text(tier))["config"][f"tierup:{section}"]
    for key in rest:
        value = value[int(key) if isinstance(value, list) else key]
    return value


def in_catalog(plan: Plan, path: str) -> Any:
    first, *rest = path.split(".")
    value: Any = plan.nodes.gpu if first == "gpu" and rest else getattr(plan.nodes.server, first)
    for key in rest:
        value = value[int(key)] if isinstance(value, tuple) else getattr(value, key)
    assert isinstance(value, Sourced)
    return value.value


def in_variant(tier: str, name: str) -> tuple[str, int, int]:
    models = plan_of(tier, name).models
    return " ".join(model.precision for model in models), models[0].tensor, models[0].pipeline


def value_of(tier: str, kind: str, where: str) -> Any:
    match kind:
        case "stack":
            return in_stack(tier, where)
        case "server":
            return in_catalog(plan_of(tier), where)
        case "default":
            return {default.path: default.value for default in plan_of(tier).defaults}.get(where)
        case "variant":
            return in_variant(tier, where)
        case "comment":
            lines = [line for line in stack_text(tier).splitlines() if line.startswith("#")]
            return None if where in " ".join(line.removeprefix("# ") for line in lines) else f"no '{where}'"
        case "choice":
            return None
    raise AssertionError(kind)


ROWS = [
    pytest.param(tier, kind, where, value, id=f"{tier}: {what}")
    for whom, what, kind, where, value in REQUIREMENTS
    for tier in (TIERS if whom == "all" else [whom])
]


@pytest.mark.parametrize(("tier", "kind", "where", "value"), ROWS)
def test_the_guides_requirements_are_visible(tier: str, kind: str, where: str, value: Any) -> None:
    if kind == "choice":
        assert value in json_schema()["$defs"][where]["enum"]
    else:
        assert value_of(tier, kind, where) == value


@every_tier
def test_a_tier_plans_without_an_error(plan: Plan) -> None:
    assert errors(plan.findings) == ()


@every_variant
def test_a_variant_plans_without_an_error(plan: Plan) -> None:
    assert errors(plan.findings) == ()
    assert plan.gpus_used <= plan.nodes.gpus_in_service
    assert plan.gpus_used == plan.nodes.gpus_in_service  # an owned GPU costs the same when idle


def test_the_guide_s_variants_are_all_there() -> None:
    assert {tier: variants(stack_text(tier)) for tier in TIERS} == {
        "entry": ["bf16", "fp16-tp2", "gptq-int4"],
        "standard": ["bf16", "fp16-tp2", "awq", "q5-k-m-and-q8-0", "4x-a100-tp2-pp2"],
        "premium": ["fp8-tp2", "fp8-mp4"],
    }


@pytest.mark.parametrize(("tier", "name"), VARIANTS)
def test_exactly_one_block_is_in_use(tier: str, name: str) -> None:
    before = stack_text(tier)
    after = uncomment_variant(before, name)
    assert in_use(after) == name
    keys = re.findall(r"^  (tierup:[a-z]+):", after, re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert {"tierup:nodes", "tierup:models"} <= set(keys)
    # The way back leads to the same file, so nothing but the two blocks was touched.
    assert uncomment_variant(after, in_use(before)) == before


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(ValueError, match="no variant fp4"):
        uncomment_variant(stack_text("entry"), "fp4")


@pytest.mark.parametrize("tier", TIERS)
def test_a_stack_file_is_short(tier: str) -> None:
    lines = stack_text(tier).splitlines()
    assert len([line for line in lines if line.strip() and not line.lstrip().startswith("#")]) <= 45
    assert max(map(len, lines)) <= 130
    assert f"tierup plan --stack {tier}" in stack_text(tier)


def test_pulumi_finds_the_stack_files() -> None:
    project = load_yaml((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
    assert (project["name"], project["stackConfigDir"]) == ("tierup", "stacks")
