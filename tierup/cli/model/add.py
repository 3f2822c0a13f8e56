"""Writes the file with which a stack serves a model that is not in the catalogue."""

import datetime
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierup.cli.exits import UsageError, examples
from tierup.cli.project import OptionalStack, project_folder, shown_path, stack_file
from tierup.findings.model import FindingsError

if TYPE_CHECKING:
    from tierup.catalog.repository import Repository
    from tierup.io.hub.client import Way
    from tierup.stack.sections import Network

EXAMPLES = examples(
    "tierup model add acme/support-7b --stack standard",
    "tierup model add acme/support-7b@v1.2",
    "tierup model add acme/support-7b@COMMIT --from ./support-7b",
)
FOLDER = "models"  # beside the stack files


def add(
    repo: Annotated[
        str,
        typer.Argument(help="Repository, and after @ a branch, a tag or a commit", metavar="ORG/NAME[@REV]"),
    ],
    stack: OptionalStack = None,
    folder: Annotated[
        Path | None,
        typer.Option("--from", help="Read a folder with the repository's files, without a network"),
    ] = None,
) -> None:
    """Write a file with a repository's configuration and sizes, and print the lines that serve the model.

    The hub is reached as tierup:network of --stack says, else by HF_ENDPOINT, HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE;
    HF_TOKEN is for gated and private repositories. A model that cannot be served is refused, and nothing is written.
    """
    from tierup.io.files import write_text

    name, revision = _asked(repo)
    stacks = stack_file(stack if stack is not None else "any").parent
    file = f"{FOLDER}/{name.replace('/', '--')}.json"
    path = stacks / file
    before = _before(path)
    found = _read(name, revision, stack, folder)
    about = _served(found, file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{path.parent} cannot be made: {error.strerror} - remove what is there") from error
    write_text(path, found.model_dump_json(by_alias=True, indent=2) + "\n")
    typer.echo(f"{shown_path(path)} written: {about}")
    if before not in (None, found.revision):
        typer.echo(f"It was of {before}: every stack file that names it needs the new revision.")
    typer.echo("Below tierup:models of the stack file:")
    typer.echo(f"  - source:\n      repo: {name}\n      revision: {found.revision}\n      config: {file}")
    typer.echo(f"Then: tierup plan --stack {stack or 'NAME'} --why")


def _asked(text: str) -> tuple[str, str]:
    from tierup.catalog.repository import REPO

    repo, at, revision = text.partition("@")
    if not re.fullmatch(REPO, repo) or ".." in repo or len(repo) > 200:
        raise UsageError(f"{text}: no repository - write ORG/NAME, or ORG/NAME@REV")
    if at and not re.fullmatch(r"[\w][\w./+-]{0,199}", revision):
        raise UsageError(f"{text}: no revision - write a branch, a tag or a commit after the @")
    return repo, revision


def _read(repo: str, revision: str, stack: str | None, folder: Path | None) -> "Repository":
    from tierup.catalog.repository import COMMIT
    from tierup.io.hub.client import Hub
    from tierup.io.hub.repository import from_folder, from_hub

    today = datetime.datetime.now(datetime.UTC).date()
    if folder is None:
        way = _way(_network(stack))
        if sys.stderr.isatty():
            typer.echo(f"asking {way.url} for {repo} ...", err=True)
        return from_hub(Hub(way), way.url, repo, revision or "main", today)
    if revision and not re.fullmatch(COMMIT, revision):
        raise UsageError(
            f"{repo}@{revision}: with --from, write a commit of 40 hexadecimal digits after the @"
        )
    return from_folder(folder, repo, revision or None, today)


def _before(path: Path) -> str | None:
    """The commit of an earlier run's file, which is replaced; None where there is none that can be read."""
    from tierup.catalog.repository import MOST_BYTES, RepositoryError, read_repository
    from tierup.io.files import UnreadableFile, read_text

    try:
        return read_repository(read_text(path, MOST_BYTES)).revision
    except (RepositoryError, UnreadableFile):
        return None


def _served(repository: "Repository", file: str) -> str:
    """One line about the model; raises `OwnModelError` where no stack can serve it."""
    from tierup.catalog import load_catalog
    from tierup.plan.own_models import described, own_spec
    from tierup.sizing.memory import GIB
    from tierup.sizing.shapes import spec_shape
    from tierup.stack.parse import Attached
    from tierup.stack.sections import ModelSource

    source = ModelSource(repo=repository.repo, revision=repository.revision, config=file)
    files = {file: Attached(repository.model_dump_json(by_alias=True))}
    spec = own_spec(source, files, load_catalog())
    size = repository.safetensors.total_bytes if repository.safetensors is not None else None
    held = f"{size / GIB:.1f} GiB of files" if size is not None else "without the size of its files"
    gated = "; gated, so the stack needs the secret hub-token" if repository.gated else ""
    return f"{spec.published}, {held}; {described(spec, spec_shape(repository.repo, spec))}{gated}"


def _network(stack: str | None) -> "Network | None":
    from tierup.io.stack.read import read_stack
    from tierup.stack.parse import parse

    if stack is None:
        project_folder()
        return None
    parsed = parse(read_stack(stack_file(stack)))
    wrong = [item for item in parsed.findings if item.path.startswith("network")]
    if not parsed.raw.readable or wrong:
        raise FindingsError(wrong or parsed.findings, f"stack '{parsed.raw.stack}'")
    network: Network | None = parsed.sections.get("network")
    return network


def _way(network: "Network | None") -> "Way":
    """The stack's way to the hub; for what it does not say, the environment's."""
    from urllib.request import getproxies

    from tierup.io.hub.client import PUBLIC_HUB, Way

    given, env = network, os.environ
    url = given.hub_url if given is not None else None
    proxy = given.proxy if given is not None else None
    outside = env.get("no_proxy") or env.get("NO_PROXY") or ""
    none = given.no_proxy if given is not None else None
    return Way(
        url=(url or env.get("HF_ENDPOINT") or PUBLIC_HUB).rstrip("/"),
        proxies={"http": proxy, "https": proxy} if proxy else getproxies(),
        no_proxy=",".join(none) if none else "" if proxy else outside,
        authorities=given.ca_bundle if given is not None else None,
        ca_file=env.get("REQUESTS_CA_BUNDLE") or env.get("CURL_CA_BUNDLE"),
        token=env.get("HF_TOKEN") or None,
    )
