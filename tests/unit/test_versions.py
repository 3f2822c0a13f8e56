"""Every version is defined once, in tierup/catalog/versions.yaml; every mention elsewhere is the same."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.catalog.versions import load_versions
from tierup.local.toolchain.pins import load_pins

REPO = Path(__file__).parents[2]
PINNED = load_versions()
VLLM, TENSORRT_LLM = (engine_facts(name).version.value for name in ("vllm", "tensorrt-llm"))
TOOLS = load_pins(REPO / "tierup/local/toolchain/pins.yaml")


def text_of(file: str) -> str:
    return (REPO / file).read_text(encoding="utf-8")


def test_every_tool_has_its_version_from_the_table_and_none_is_left_over() -> None:
    ours = {"tierup-bench"}  # our own program, whose version is its recipe's
    assert set(PINNED.tools) == set(TOOLS) - ours
    assert {name: TOOLS[name].version for name in PINNED.tools} == PINNED.tools


def test_a_tool_has_the_version_of_what_it_works_with() -> None:
    """Plans are made by the engine of the Python packages, and rules checked by the Prometheus that is deployed."""
    for tool, package in {"pulumi": "pulumi", "pulumi-resource-kubernetes": "pulumi-kubernetes"}.items():
        assert PINNED.tools[tool] == PINNED.packages[package]
    for tool in ("prometheus", "promtool"):
        assert PINNED.tools[tool] == PINNED.images["prometheus"]


def test_the_python_packages_are_those_of_the_table() -> None:
    wanted = tomllib.loads(text_of("pyproject.toml"))["project"]["dependencies"]
    for name in ("pulumi", "pulumi-kubernetes", "pulumi-policy"):
        assert f"{name}=={PINNED.packages[name]}" in wanted
    assert f"grafana-foundation-sdk==1769699379!{PINNED.images['grafana']}" in wanted
    assert f"\nvllm-cpu=={VLLM}\n" in text_of("requirements/engine-cpu.in")
    assert f"\ntorch=={PINNED.packages['torch']}\n" in text_of("requirements/engine-cpu-overrides.in")
    assert f"\nvllm-router=={PINNED.packages['vllm-router']}\n" in text_of("requirements/vllm-router.in")


def go_modules() -> Iterator[tuple[str, str]]:
    """The tools that are built from a Go module of their own version, with the line that pins it."""
    for name, module in {
        "pulumi": "github.com/pulumi/pulumi/pkg/v3",
        "pulumi-language-python-exec": "github.com/pulumi/pulumi/sdk/v3",
        "etcd": "go.etcd.io/etcd/server/v3",
        "kube-apiserver": "k8s.io/kubernetes",
        "kube-controller-manager": "k8s.io/kubernetes",
        "kube-scheduler": "k8s.io/kubernetes",
        "kubectl": "k8s.io/kubernetes",
        "kwok": "sigs.k8s.io/kwok",
        "keda.sh_scaledobjects.yaml": "github.com/kedacore/keda/v2",
        "gateway.networking.k8s.io_httproutes.yaml": "sigs.k8s.io/gateway-api",
        "cert-manager.io_certificates.yaml": "github.com/cert-manager/cert-manager",
        "actionlint": "github.com/rhysd/actionlint",
        "coredns": "github.com/coredns/coredns",
        "metrics-server": "sigs.k8s.io/metrics-server",
        "network-policy-enforcer": "sigs.k8s.io/kube-network-policies",
        "volume-provisioner": "sigs.k8s.io/sig-storage-lib-external-provisioner/v13",
    }.items():
        yield name, f"{module} v{PINNED.tools[name]}"
    # As a Go module, Prometheus 3.8.0 is v0.308.0.
    major, minor, patch = PINNED.tools["prometheus"].split(".")
    for name in ("prometheus", "promtool"):
        yield name, f"github.com/prometheus/prometheus v0.{major}{int(minor):02}.{patch}"


@pytest.mark.parametrize(("name", "line"), list(go_modules()))
def test_a_tool_is_built_from_the_go_module_of_its_version(name: str, line: str) -> None:
    recipe = TOOLS[name].go
    assert recipe is not None
    assert line in {
        line.removeprefix("require").strip() for line in text_of(f"tools/{recipe.module}/go.mod").splitlines()
    }


def test_the_libraries_of_kubernetes_are_of_its_version() -> None:
    _, minor, patch = PINNED.kubernetes.tested.split(".")
    replaced = re.findall(r"k8s\.io/\S+ => k8s\.io/\S+ v(\S+)", text_of("tools/kubernetes/go.mod"))
    assert set(replaced) == {f"0.{minor}.{patch}"}


def test_the_engines_facts_are_of_its_version() -> None:
    options = engine_facts(DEFAULT_ENGINE).options
    assert options is not None
    assert options.version == VLLM


# The patterns of mentions in texts, and the versions allowed there.
VERSION = r"v?(\d+\.\d+(?:\.\d+)?)"
MENTIONS = {
    rf"vLLM {VERSION}": {VLLM},
    rf"vllm-(?:openai|gguf):{VERSION}": {VLLM},
    rf"images\.vllm`, {VERSION}": {VLLM},
    rf"images\.tensorrtllm`, {VERSION}": {TENSORRT_LLM},
    rf"(?:TensorRT-LLM|trtllm-serve|tensorrt-llm/release:|pinned release|[Ii]mage) ?{VERSION}": {
        TENSORRT_LLM
    },
    rf"Kubernetes (?:cluster )?\(?{VERSION}": {PINNED.kubernetes.tested, PINNED.kubernetes.oldest},
    rf"Nginx {VERSION}": {PINNED.tools["nginx"], PINNED.images["nginx"]},
    rf"nginx-unprivileged:{VERSION}": {PINNED.images["nginx"]},
    rf"Prometheus {VERSION}|prom/prometheus:{VERSION}": {PINNED.images["prometheus"]},
    rf"Grafana {VERSION}|grafana/grafana:{VERSION}": {PINNED.images["grafana"]},
    rf"Pulumi {VERSION}|pulumi {VERSION}": {PINNED.packages["pulumi"]},
}
# Another version is meant: of a measurement, or the one since which something is so.
OTHERS = {
    "vLLM 0.4.3",
    "vLLM 0.5.4",
    "vLLM 0.8",
    "vLLM 0.6",
    "vLLM 0.7",
    "vLLM 0.10.1",
    "vLLM 0.11",
    "vLLM 0.21",
    "Kubernetes 1.29",
    "vllm-openai:v0.23.0",
    "TensorRT-LLM 0.15",
    "Nginx 1.25.1",
}
# What was measured or decided with the versions of its day stays as it is.
RECORDS = ("docs/adr/", "docs/loadtest-run.md")
TEXTS = [
    path.relative_to(REPO).as_posix()
    for part in (
        "README.md",
        "docs",
        "images",
        "stacks",
        "templates",
        "tests",
        "tierup",
        "components",
        "benchmarks",
    )
    for path in sorted([REPO / part] if (REPO / part).is_file() else (REPO / part).rglob("*"))
    if path.suffix in (".md", ".py", ".yaml", ".j2", ".js") or path.name == "Containerfile"
]


def mentions(file: str) -> Iterator[tuple[str, str, set[str]]]:
    """Each mention in a file: its text, its version, and the allowed ones."""
    for pattern, allowed in MENTIONS.items():
        for match in re.finditer(pattern, text_of(file)):
            yield match[0], next(group for group in match.groups() if group), allowed


def agrees(version: str, allowed: set[str]) -> bool:
    """Either may be shorter: 1.35 of 1.35.4, and 1.22.1 of "1.22 or newer"."""
    return any(f"{version}.".startswith(f"{one}.") or f"{one}.".startswith(f"{version}.") for one in allowed)


def is_current(file: str) -> bool:
    return not file.startswith(RECORDS) and not file.startswith("tests/unit/")


def test_the_texts_mention_the_pinned_versions() -> None:
    wrong = [
        f"{file}: {mention}"
        for file in TEXTS
        if is_current(file)
        for mention, version, allowed in mentions(file)
        if mention not in OTHERS and not agrees(version, allowed)
    ]
    assert wrong == []


def test_every_other_version_is_still_mentioned() -> None:
    mentioned = {mention for file in TEXTS if is_current(file) for mention, _, _ in mentions(file)}
    assert mentioned >= OTHERS
    assert len(mentioned - OTHERS) > 10
