"""Prints the tier's Kubernetes objects as plain YAML, secrets as references."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from tierup.cli.exits import examples
from tierup.cli.project import Stack, load_plan
from tierup.manifests import render as manifests_of
from tierup.manifests.common import Manifest, SecretRef

EXAMPLES = examples(
    "tierup render --stack standard | kubectl apply --server-side -f -",
    "tierup render --stack standard --out standard.yaml",
)


class _Dumper(yaml.SafeDumper):
    """Writes secret references as text and never uses anchors."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _multiline(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _multiline)
_Dumper.add_representer(SecretRef, lambda dumper, ref: dumper.represent_str(str(ref)))


def to_yaml(manifests: list[Manifest]) -> str:
    """Objects as one multi-document YAML text."""
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, width=120)


def render(
    stack: Stack, out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file")] = None
) -> None:
    """Write the objects that `pulumi up` creates as plain YAML, for GitOps and scanners.

    A secret is written as ${tierup:secret-NAME}; nodes are patches of existing nodes.
    """
    text = to_yaml(manifests_of(load_plan(stack)))
    if out is None:
        print(text, end="")
    else:
        out.write_text(text)
        typer.echo(f"{out}: {text.count('kind: ')} objects", err=True)
