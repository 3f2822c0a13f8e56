"""Create the golden plans: plans of the real Pulumi engine, committed for tests without it. To renew them:

    .venv/bin/python tests/support/golden_plans.py

Values that differ between runs or that no parser reads are left out; long texts are cut.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiers import Tier, own_checkout

from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.project import LocalProject

GOLDEN = Path(__file__).parents[1] / "unit" / "plans"
PREVIEW = ("preview", "--json", "--show-sames")
EXPORT = ("stack", "export")
DESTROY = ("destroy", "--preview-only", "--json", "--show-sames")
SHARED = "  tierup:cluster: {modelStorageClass: shared}\n"
SECRET = "  tierup:secret-hub-token:\n    secure: v1:of:another:passphrase\n"
QUOTE = (
    "  tierup:cost:\n    quotes:\n      electricity: {value: 0.25, source: our contract, asOf: 2026-11-01}\n"
)
_KEPT = ("urn", "custom", "delete", "type", "parent", "external", "retainOnDelete", "inputs")
# Large parts of inputs that no test uses.
_BULK = {
    *("affinity", "behavior", "command", "egress", "env", "ingress", "labels", "lifecycle", "livenessProbe"),
    *(
        "matchLabels",
        "metrics",
        "ports",
        "readinessProbe",
        "startupProbe",
        "tolerations",
        "volumeMounts",
        "volumes",
    ),
    *("selector", "topologySpreadConstraints"),
}
_LONGEST = 60


def make(cluster: Cluster, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and slim content of every golden plan, created by the real engine on this cluster; `folder` is empty."""
    tier = Tier(LocalProject(own_checkout(folder), "entry", cluster))

    def slim_output(*args: str) -> dict[str, Any]:
        tier.prepare()
        return slim(tier.project.pulumi(*args, quiet=True), tier.project)

    yield "create", slim_output(*PREVIEW)
    tier.up()
    yield "no_op", slim_output(*PREVIEW)
    yield "delete", slim_output(*DESTROY)
    tier.edit(lambda text: text + SECRET)
    yield "secrets", slim_output(*PREVIEW)
    tier.up()
    yield "state", slim_output(*EXPORT)
    tier.edit(
        lambda text: (
            text.replace("    count: 1\n", "    count: 2\n").replace("Usd: 20000", "Usd: 200000") + SHARED
        )
    )
    yield "scale", slim_output(*PREVIEW)
    standard = "server: standard-2x-a100-80g-pcie\n    count: 1\n    standby: {mode: cold, count: 1}"
    tier.edit(lambda text: text.replace("server: entry-2x-rtx-4090\n    count: 2", standard) + QUOTE)
    yield "tier", slim_output(*PREVIEW)
    yield "foreign", _foreign(cluster, folder)


def _foreign(cluster: Cluster, folder: Path) -> dict[str, Any]:
    source = folder / "foreign"
    (source / "stacks").mkdir(parents=True)
    shutil.copy(folder / "Pulumi.yaml", source)
    shutil.copy(Path(__file__).with_name("foreign_program.py"), source / "__main__.py")
    stack_file = source / "stacks" / "Pulumi.foreign.yaml"
    stack_file.write_text("config: {}\n")
    project = LocalProject(source, "foreign", cluster)
    project.prepare()
    for key in ("kubeconfig", "context"):
        project.pulumi("config", "set", f"kubernetes:{key}", str(getattr(cluster, key)), quiet=True)
    project.pulumi("up", "--yes", "--skip-preview", quiet=True)
    project.pulumi("config", "set", "tierup:grown", "true", quiet=True)
    plan = slim(project.pulumi(*PREVIEW, quiet=True), project)
    project.pulumi("destroy", "--yes", "--skip-preview", quiet=True)
    return plan


def slim(text: str, project: LocalProject[Cluster]) -> dict[str, Any]:
    """A preview or state export without paths, times, outputs and all else that our parser does not read."""
    here = {str(project.cluster.kubeconfig): "kubeconfig", project.cluster.context: "context"}
    for found, named in here.items():
        text = text.replace(json.dumps(found)[1:-1], named)
    document = json.loads(text)
    if "deployment" in document:
        resources = [_state(state) for state in document["deployment"]["resources"]]
        return {"version": document["version"], "deployment": {"resources": resources}}
    steps = [
        {
            "op": step["op"],
            "urn": step["urn"],
            **{k: _state(step[k]) for k in ("oldState", "newState") if k in step},
        }
        for step in document["steps"]
    ]
    steps.sort(key=lambda step: step["urn"])  # the engine's order is not fixed
    return {"steps": steps, "diagnostics": [], "duration": 0, "changeSummary": document["changeSummary"]}


def _state(state: dict[str, Any]) -> dict[str, Any]:
    return {key: _cut(state[key]) for key in _KEPT if key in state}


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in _BULK}
        return {key: "ciphertext" if key == "ciphertext" else _cut(item) for key, item in kept.items()}
    if isinstance(value, list):
        return [_cut(item) for item in value]
    # Keep resource names, which are long, because they identify the resources.
    longest = isinstance(value, str) and len(value) > _LONGEST and not value.startswith("urn:")
    return f"{value[: _LONGEST // 2]}... ({len(value)} characters)" if longest else value


def write(folder: Path, name: str, plan: dict[str, Any]) -> None:
    """JSON with one resource per line, for readable diffs."""
    lines = json.dumps(plan, separators=(",", ":"), sort_keys=True)
    for mark in ('{"op":', '{"newState":', '{"oldState":', '{"custom":'):
        lines = lines.replace(mark, f"\n{mark}")
    (folder / f"{name}.json").write_text(f"{lines}\n", encoding="utf-8")


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        cluster = Cluster.up("golden", root=Path(scratch) / "clusters")
        checkout = Path(scratch) / "checkout"
        checkout.mkdir()
        try:
            for name, plan in make(cluster, checkout):
                write(GOLDEN, name, plan)
                print(
                    f"{name}: {len(plan.get('steps', ())) or len(plan['deployment']['resources'])} resources"
                )
        finally:
            cluster.down()


if __name__ == "__main__":
    main()
