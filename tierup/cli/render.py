"""Prints the tier's Kubernetes objects as plain YAML, secrets as references."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import yaml

from tierup.cli.exits import examples
from tierup.cli.project import Stack, load_plan
from tierup.cost import priced
from tierup.io.files import write_text
from tierup.manifests import render as manifests_of
from tierup.manifests.common import Manifest, SecretRef

EXAMPLES = examples(
    "tierup render --stack standard | kubectl apply --server-side -f -",
    "tierup render --stack standard --include secrets --include nodes --out standard.yaml",
)


class Part(StrEnum):
    """Objects that cannot be applied as they are written."""

    SECRETS = "secrets"
    NODES = "nodes"


_KINDS = {"Secret": Part.SECRETS, "Node": Part.NODES}


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
    stack: Stack,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file")] = None,
    include: Annotated[
        list[Part] | None, typer.Option("--include", help="Also write these; may be repeated")
    ] = None,
) -> None:
    """Write the objects that `pulumi up` creates as plain YAML, for GitOps and scanners.

    Left out unless included, as kubectl would store them wrongly: secrets, whose values are written as
    ${tierup:secret-NAME}, and nodes, which are patches of nodes that exist. docs/gitops.md says what takes their place.
    """
    included = set(include if include is not None else ())
    manifests = manifests_of(priced(load_plan(stack)))
    written = [item for item in manifests if _KINDS.get(item["kind"]) in (None, *included)]
    text = to_yaml(written)
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        typer.echo(f"{out}: {len(written)} objects", err=True)
    for line in _left_out([item for item in manifests if item not in written]):
        typer.echo(line, err=True)


def _left_out(manifests: list[Manifest]) -> Iterator[str]:
    """What was not written, and what to do instead."""
    for item in manifests:
        metadata = item["metadata"]
        if item["kind"] == "Node":
            labels = " ".join(f"{key}={value}" for key, value in metadata["labels"].items())
            yield f"left out: node {metadata['name']} - kubectl label node {metadata['name']} {labels}"
        else:
            keys = ", ".join(item["stringData"])
            yield (
                f"left out: secret {metadata['namespace']}/{metadata['name']} with {keys} - "
                "create it by External Secrets or SOPS: docs/gitops.md"
            )
