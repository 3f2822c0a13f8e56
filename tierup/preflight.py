"""Decides what is refused before anything exists, and what is only warned about.

`references` looks at what the file says before defaults exist; `check` looks at the resolved plan.
"""

from collections import Counter
from collections.abc import Iterable

from tierup.catalog import Architecture, Catalog, Precision
from tierup.config import (
    CacheKind,
    Engine,
    Model,
    MonitoringMode,
    Nodes,
    Parsed,
    Provider,
    ServiceType,
    StandbyMode,
    TierConfig,
)
from tierup.defaults import gpus_of, resolve, served_name, slug_of
from tierup.findings import Code, Finding, Severity, TierError, did_you_mean, errors
from tierup.plan import ModelPlan, Plan

_GROUP = 128  # weights per scale in GPTQ, AWQ
_GROUPED = (Precision.GPTQ_INT4, Precision.GPTQ_INT8, Precision.AWQ)
_FLOATING = ("latest", "main", "master", "nightly", "stable", "edge")


def make_plan(parsed: Parsed, catalog: Catalog) -> Plan:
    """The checked plan of a stack file; raises `TierError` with every error found, warnings stand in the plan."""
    subject = f"stack '{parsed.raw.stack}'"
    found = [*parsed.findings, *references(parsed, catalog)]
    if found:
        raise TierError(found, subject)
    plan = resolve(parsed.config(), catalog)
    findings = check(plan)
    if errors(findings):
        raise TierError(errors(findings), subject)
    return Plan(**{**{name: getattr(plan, name) for name in Plan.__slots__}, "findings": findings})


def references(parsed: Parsed, catalog: Catalog) -> tuple[Finding, ...]:
    """Names that the catalogue does not know, and names given twice; sections that could not be read are passed over."""
    found: list[Finding] = []
    nodes: Nodes | None = parsed.sections.get("nodes")
    if nodes is not None and nodes.server not in catalog.servers:
        found.append(_unknown(Code.UNKNOWN_SERVER, "nodes.server", "server", nodes.server, catalog.servers))
    if nodes is not None:
        found.extend(_node_names(nodes))
    for index, model in enumerate(parsed.models):
        found.extend(_model_references(model, f"models[{index}]", catalog))
    for key, names in (("name", [served_name(m) for m in parsed.models]), ("name", _slugs(parsed.models))):
        twice = [name for name, count in Counter(names).items() if count > 1]
        found.extend(
            Finding(Code.DUPLICATE_NAME, f"models[].{key}", "two models have the same name", "give one of them another `name`", name)
            for name in twice
        )
        if twice:
            break
    return tuple(found)


def _slugs(models: Iterable[Model]) -> list[str]:
    return [slug_of(served_name(model)) for model in models]


def _unknown(code: Code, path: str, what: str, got: str, known: Iterable[str]) -> Finding:
    hint = did_you_mean(got, known)
    return Finding(code, path, f"the catalogue has no such {what}", hint or "choose one of them", got, ", ".join(sorted(known)))


def _node_names(nodes: Nodes) -> list[Finding]:
    if nodes.names is None:
        return []
    found = []
    twice = [name for name, count in Counter(nodes.names).items() if count > 1]
    if twice:
        found.append(Finding(Code.DUPLICATE_NAME, "nodes.names", "a node is named twice", "name each node once", ", ".join(twice)))
    spare_default = 0 if nodes.standby is None or nodes.standby.mode in (None, StandbyMode.NONE) else 1
    said = nodes.standby.count if nodes.standby is not None else None
    wanted = (nodes.count if nodes.count is not None else 1) + (said if said is not None else spare_default)
    if len(nodes.names) != wanted:
        fix = f"name {wanted} nodes (servers in service first, then spares), or change count or standby.count"
        found.append(Finding(Code.NODE_NAMES, "nodes.names", "does not match count and standby", fix, f"{len(nodes.names)} names"))
    return found


def _model_references(model: Model, at: str, catalog: Catalog) -> list[Finding]:
    spec = catalog.models.get(model.id)
    if spec is None:
        return [_unknown(Code.UNKNOWN_MODEL, f"{at}.id", "model", model.id, catalog.models)]
    precision = model.precision if model.precision is not None else Precision.BF16
    variant = spec.variants.get(precision)
    if variant is None:
        known = [str(key) for key in spec.variants]
        return [_unknown(Code.UNKNOWN_PRECISION, f"{at}.precision", f"precision of {model.id}", str(precision), known)]
    if model.revision is None and variant.revision is None:
        fix = f"set `revision` to a commit of {variant.repo}"
        return [Finding(Code.NO_REVISION, f"{at}.revision", "the catalogue has no verified commit of these files", fix)]
    return []


def check(plan: Plan) -> tuple[Finding, ...]:
    """Everything that cannot work, or works with a catch, in a plan."""
    found: list[Finding] = []
    for index, model in enumerate(plan.models):
        at = f"models[{index}]"
        found.extend([*_gpu_rules(plan, model, at), *_engine_rules(plan, model, at), *_cache_rules(plan, model, at)])
    found.extend([*_capacity(plan), *_node_rules(plan), *_service_rules(plan), *_image_rules(plan.config, plan)])
    return tuple(found)


def _warn(code: Code, path: str, problem: str, fix: str, got: str | None = None) -> Finding:
    return Finding(code, path, problem, fix, got, severity=Severity.WARNING)


def _gpu_rules(plan: Plan, model: ModelPlan, at: str) -> list[Finding]:
    found: list[Finding] = []
    spec, gpu, per_node = model.spec, plan.nodes.gpu, plan.nodes.gpus_per_server
    heads, kv_heads, tensor = spec.q_heads.value, spec.kv_heads.value, model.tensor
    path = f"{at}.parallelism.tensor"
    legal = [str(n) for n in range(1, heads + 1) if heads % n == 0 and (kv_heads % n == 0 or n % kv_heads == 0) and n <= per_node]
    if heads % tensor or (kv_heads % tensor and tensor % kv_heads):
        problem = f"must divide the {heads} attention heads and fit the {kv_heads} KV heads of {model.spec_id}"
        found.append(Finding(Code.TP_HEADS, path, problem, "use one of them", str(tensor), ", ".join(legal)))
    if model.gpus > per_node:
        problem = f"tensor x pipeline needs {model.gpus} GPUs in one server, {plan.nodes.server_id} has {per_node}"
        got, fix = f"{tensor} x {model.pipeline}", "use fewer, or a server with more GPUs"
        found.append(Finding(Code.TP_EXCEEDS_NODE, f"{at}.parallelism", problem, fix, got, f"at most {per_node}"))
    if model.precision in _GROUPED and spec.intermediate.value % (tensor * _GROUP):
        problem = f"splits the {spec.intermediate.value} intermediate columns inside a quantization group of {_GROUP}"
        found.append(Finding(Code.TP_GROUPS, path, problem, "use a smaller tensor size, or another precision", str(tensor)))
    if model.precision is Precision.FP8 and gpu.architecture.value is Architecture.AMPERE:
        problem = f"{gpu.product_label.value} has no FP8 units: weights are stored in FP8 and computed in 16 bit"
        found.append(_warn(Code.FP8_WEIGHT_ONLY, f"{at}.precision", problem, "use awq or gptq-int4 for more speed"))
    memory = gpu.memory_mib.value / 1024 * model.gpu_memory_utilization
    weights = model.variant.weight_gib.value / model.gpus
    if weights >= memory:
        problem = f"the weights take {weights:.1f} GiB per GPU, the engine may use {memory:.1f} GiB of {gpu.product_label.value}"
        found.append(Finding(Code.WEIGHTS_DO_NOT_FIT, at, problem, "use a smaller precision, or more GPUs per replica"))
    if tensor > 1 and not model.p2p:
        problem = f"{gpu.product_label.value} cards cannot read each other's memory: every layer waits for the host"
        found.append(_warn(Code.TP_WITHOUT_P2P, path, problem, "use replicas where the model fits one card", str(tensor)))
    longest = spec.max_context.value
    if model.context > longest:
        problem = f"{model.spec_id} was trained for {longest:,} tokens"
        found.append(Finding(Code.CONTEXT_TOO_LONG, f"{at}.context", problem, f"use at most {longest}", str(model.context)))
    return found


def _engine_rules(plan: Plan, model: ModelPlan, at: str) -> list[Finding]:
    found: list[Finding] = []
    if model.engine is not Engine.VLLM:
        fix = "use vllm; the guide's TensorRT compilation is torch.compile and CUDA graphs there"
        found.append(Finding(Code.ENGINE_NOT_BUILT, f"{at}.engine", "is not served yet", fix, str(model.engine), "vllm"))
    if model.variant.format == "gguf" and plan.images.gguf is None:
        problem = "GGUF left vLLM's core: it needs an image with the vllm-gguf-plugin, and no public image has it"
        fix = "build one and set `images.gguf`, or use awq or gptq-int8"
        found.append(Finding(Code.GGUF_IMAGE, f"{at}.precision", problem, fix, str(model.precision)))
    last = model.spec.last_engine_version.value
    version = plan.images.vllm.rpartition(":v")[2]
    if last is not None and _version(version) > _version(last):
        problem = f"vLLM serves {model.spec_id} up to {last}, images.vllm is {version}"
        found.append(
            Finding(Code.ENGINE_TOO_NEW, f"{at}.id", problem, f"use qwen2.5-7b, or images.vllm: vllm/vllm-openai:v{last}", model.spec_id)
        )
    if model.spec.gated.value and "hub-token" not in plan.secrets:
        problem = f"{model.variant.repo} is behind a licence: the download needs a token of an account that accepted it"
        fix = "pulumi config set --secret tierup:secret-hub-token"
        found.append(Finding(Code.GATED_MODEL, f"{at}.id", problem, fix))
    return found


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _cache_rules(plan: Plan, model: ModelPlan, at: str) -> list[Finding]:
    found = []
    path = f"{at}.cache.kind"
    if model.cache_kind in (CacheKind.REPLICA, CacheKind.IMAGE):
        found.append(Finding(Code.CACHE_KIND, path, "is not built yet", "use shared or node", str(model.cache_kind), "shared, node"))
    disk_gib = plan.nodes.server.disk.tb.value * 931
    need = sum(other.cache_gib for other in plan.models if other.cache_kind is CacheKind.NODE)
    if model.cache_kind is CacheKind.NODE and need > disk_gib:
        problem = f"model files need {need} GiB, the server's disk has {disk_gib:.0f}"
        found.append(Finding(Code.DISK_EXCEEDED, path, problem, "serve fewer models, or keep them on a shared volume"))
    return found


def _capacity(plan: Plan) -> list[Finding]:
    """GPUs, CPU and memory of the servers against what runs on them."""
    found: list[Finding] = []
    nodes = plan.nodes
    at_rest, at_most = plan.gpus_used, sum(model.max_replicas * model.gpus for model in plan.models)
    if at_rest > nodes.gpus_in_service:
        problem = f"the models need {at_rest} GPUs, the servers in service have {nodes.gpus_in_service}"
        found.append(Finding(Code.GPUS_EXCEEDED, "models", problem, "use fewer replicas, smaller parallelism or more servers"))
    elif at_most > nodes.gpus_schedulable:
        problem = f"the autoscaler may ask for {at_most} GPUs, there are {nodes.gpus_schedulable}"
        fix = "lower autoscaling.maxReplicas, or add servers or warm spares"
        found.append(Finding(Code.AUTOSCALER_RANGE, "autoscaling.maxReplicas", problem, fix))
    ceiling = plan.config.autoscaling.max_replicas
    for index, model in enumerate(plan.models):
        if plan.autoscaling.enabled and ceiling is not None and ceiling < model.replicas:
            problem = f"is below models[{index}].replicas ({model.replicas})"
            found.append(Finding(Code.AUTOSCALER_RANGE, "autoscaling.maxReplicas", problem, "raise it", str(ceiling)))
    # The fullest server: as many replicas as its GPUs hold, and in the worst case all of gateway and monitoring.
    server = nodes.server
    cores = server.cpu.threads.value - server.system_reserved.cpu.value
    memory = server.memory.gb.value / 1.073741824 - server.system_reserved.memory_gib.value
    held = _fullest_server(plan)
    cpu_need = sum(model.cpu * count for model, count in held) + SYSTEM_CPU
    memory_need = sum((model.memory_gib + model.shm_gib) * count for model, count in held) + SYSTEM_MEMORY_GIB
    if cpu_need > cores:
        problem = f"a full server needs {cpu_need:g} CPUs, {nodes.server_id} has {cores:g} for pods"
        found.append(Finding(Code.CPU_EXCEEDED, "nodes.server", problem, "use a larger server, or fewer GPUs per replica"))
    if memory_need > memory:
        problem = f"a full server needs {memory_need:.0f} GiB of memory, {nodes.server_id} has {memory:.0f} for pods"
        found.append(Finding(Code.MEMORY_EXCEEDED, "nodes.server", problem, "use a larger server or a smaller precision"))
    return found


SYSTEM_CPU = 4.0  # two gateways, one fetch, Prometheus and Grafana
SYSTEM_MEMORY_GIB = 7.0


def _fullest_server(plan: Plan) -> list[tuple[ModelPlan, int]]:
    free, held = plan.nodes.gpus_per_server, []
    for model in sorted(plan.models, key=lambda model: -model.memory_gib):
        count = min(model.max_replicas, free // model.gpus)
        free -= count * model.gpus
        held.append((model, count))
    return held


def _node_rules(plan: Plan) -> list[Finding]:
    found: list[Finding] = []
    nodes, standby = plan.nodes, plan.config.nodes.standby
    if nodes.provider is not Provider.EXISTING:
        problem, fix = "this provider is not built yet", "use existing: make the nodes yourself, tierup adopts them"
        found.append(Finding(Code.PROVIDER_NOT_BUILT, "nodes.provider", problem, fix, str(nodes.provider), "existing"))
    if nodes.standby_mode is StandbyMode.NONE and nodes.standby:
        problem = f"{len(nodes.standby)} spare(s) without a mode"
        found.append(Finding(Code.STANDBY, "nodes.standby.mode", problem, "use cold or warm, or count 0", "none", "cold, warm"))
    if standby is not None and standby.mode in (StandbyMode.COLD, StandbyMode.WARM) and not nodes.standby:
        fix = "give standby.count at least 1, or mode none"
        found.append(Finding(Code.STANDBY, "nodes.standby.count", f"mode {standby.mode} without a spare", fix, "0"))
    if len(nodes.in_service) == 1:
        problem = "one server is one failure domain: gateway, monitoring and models stop together"
        found.append(_warn(Code.ONE_FAILURE_DOMAIN, "nodes.count", problem, "use count 2 where an outage costs more than a server", "1"))
    budget = plan.config.budget.capex_usd
    capex = nodes.server.capex_usd.value * (len(nodes.in_service) + len(nodes.standby))
    if budget is not None and capex > budget:
        problem = f"the servers cost ${capex:,.0f} by the catalogue, spares too"
        found.append(Finding(Code.OVER_BUDGET, "budget.capexUsd", problem, "raise it, or use fewer servers", f"{budget:,.0f}"))
    return found


def _service_rules(plan: Plan) -> list[Finding]:
    found: list[Finding] = []
    for index, model in enumerate(plan.models):
        if model.rollout.recreate:
            problem = f"its one replica takes every GPU: a change stops it for about {model.startup_seconds // 2} s"
            fix = "add a server or a warm spare, or use a smaller parallelism"
            found.append(_warn(Code.ROLLOUT_RECREATE, f"models[{index}]", problem, fix))
        if round(model.slots * plan.gateway.longform_cap) < 1:
            problem = f"leaves no slot of {model.slots} for long jobs"
            fix = "raise it, or maxNumSeqs"
            found.append(Finding(Code.LONGFORM_CAP, "gateway.longformCap", problem, fix, f"{plan.gateway.longform_cap:g}"))
    if plan.gateway.service_type is ServiceType.LOAD_BALANCER and not plan.gateway.source_ranges:
        problem, fix = "a load balancer without source ranges is open to everybody", "list the networks that may call it"
        found.append(Finding(Code.OPEN_LOAD_BALANCER, "gateway.sourceRanges", problem, fix, allowed="CIDRs"))
    if plan.monitoring.mode is not MonitoringMode.BUNDLED:
        fix = "use bundled; it stays in its own namespace"
        found.append(Finding(Code.MONITORING_NOT_BUILT, "monitoring.mode", "is not built yet", fix, str(plan.monitoring.mode), "bundled"))
    return found


def _image_rules(config: TierConfig, plan: Plan) -> list[Finding]:
    found = []
    for name in ("vllm", "gguf", "nginx", "prometheus", "grafana"):
        image = getattr(plan.images, name)
        tag = image.rpartition(":")[2] if image is not None and "@" not in image else None
        if tag is not None and (tag in _FLOATING or "/" in tag or not any(char.isdigit() for char in tag)):
            problem = "a floating tag: the next pod may run another version"
            found.append(Finding(Code.FLOATING_IMAGE, f"images.{name}", problem, "name a version or a digest", image))
    return found
