"""A copy of the policy pack that our Pulumi build can start, and programs with more resources than a tier."""

import shutil
from pathlib import Path

import yaml
from tiers import ROOT, Tier

# An engine asks an executable of this name for a runtime that it has no language plugin for. The language host that is
# built here starts no packs; the official one does, so the committed pack says `python`.
RUNTIME = "pypack"
STARTER = '#!/bin/sh\nexec python -u -m pulumi.policy "$1" "$2"\n'


def runnable_pack(folder: Path) -> Path:
    """Copy the pack with another runtime, whose executable is in the folder `bin` next to it."""
    pack, starter = folder / "policies", folder / "bin" / f"pulumi-analyzer-policy-{RUNTIME}"
    shutil.copytree(ROOT / "policies", pack)
    settings = yaml.safe_load((pack / "PulumiPolicy.yaml").read_text())
    assert settings["runtime"]["name"] == "python"
    (pack / "PulumiPolicy.yaml").write_text(yaml.safe_dump({**settings, "runtime": RUNTIME}))
    starter.parent.mkdir()
    starter.write_text(STARTER)
    starter.chmod(0o755)
    return pack


PROGRAM = """
import pulumi
import pulumi_kubernetes as k8s
from components.program import main

main()
others = "NAMESPACE"
here = pulumi.Config("tierup").require_object("cluster")
theirs = pulumi.ResourceOptions(
    provider=k8s.Provider("theirs", kubeconfig=here["kubeconfig"], context=here["context"])
)
"""


def write_program(tier: Tier, namespace: str, more: str = "") -> None:
    """The checkout's own program: the tier, and somebody else's resources with the options `theirs` in `others`.

    `namespace` is what `others` names.
    """
    program = tier.project.source / "__main__.py"
    program.unlink()
    program.write_text(PROGRAM.replace("NAMESPACE", namespace) + more)
