"""The ways to get a tool other than a download: PATH, the unpacked distribution package, a source build."""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath

from tierup.local.toolchain.pins import ModuleFile, Tool
from tierup.local.toolchain.workshop import WayFailed, Workshop, run, short, verify

GO_MINIMUM = (1, 26)
LONG_BUILD_SECONDS = 10
GO_ADVICE = (
    "  install Go >= 1.26: curl -fL https://go.dev/dl/go1.26.8.linux-amd64.tar.gz"
    " | sudo tar -C /usr/local -xz && export PATH=/usr/local/go/bin:$PATH   (other systems: https://go.dev/dl/)"
)


def from_path(shop: Workshop, tool: Tool, target: Path) -> None:
    """Link the first copy on PATH (or in the tool's own folders) that passes the check."""
    assert tool.path is not None
    found = list(dict.fromkeys(_candidates(shop, tool)))
    if not found:
        raise WayFailed("not found")
    reasons = []
    for file in found:
        try:
            verify(shop, tool, file)
        except WayFailed as failed:
            reasons.append(str(failed))
        else:
            target.symlink_to(file)
            return
    raise WayFailed("; ".join(reasons))


def _candidates(shop: Workshop, tool: Tool) -> list[Path]:
    assert tool.path is not None
    if tool.path.beside is None:
        folders = [Path(part) for part in [*os.get_exec_path(), *tool.path.dirs] if os.path.isabs(part)]
    else:
        neighbour = shop.bin / tool.path.beside
        if not neighbour.is_symlink():
            return []
        folders = [neighbour.resolve().parent / part for part in tool.path.dirs]
    files = [(folder / tool.name).absolute() for folder in folders if folder != shop.bin]
    return [file for file in files if file.is_file() and (os.access(file, os.X_OK) or file.suffix == ".so")]


def from_debian(shop: Workshop, tool: Tool, target: Path) -> None:
    """Unpack the distribution's package without installing it; needs no root."""
    assert tool.debian is not None
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise WayFailed("no apt-get and dpkg here")
    folder = shop.scratch / f"package-{tool.debian.package}"
    if not (folder / "root").exists():  # one package may hold several tools
        unpack(shop, tool.debian.package, folder)
    files = [file for file in (folder / "root").glob(tool.debian.file) if file.is_file()]
    if not files:
        raise WayFailed(f"package {tool.debian.package} has no file {tool.debian.file}")
    shutil.move(files[0], target)


def unpack(shop: Workshop, package: str, folder: Path) -> None:
    """Download a package into `folder` and unpack it in its `root`."""
    folder.mkdir(exist_ok=True)
    download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root"]
    try:
        run([*download, *shop.apt_options, "download", package], folder, shop)
    except WayFailed:
        # No package lists on this machine, or old ones: fetch our own, in a folder this user may write.
        state = shop.scratch / "apt"
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        places = {"Dir::State": state, "Dir::State::Lists": state / "lists", "Dir::Cache": state / "cache"}
        shop.apt_options = [word for key, at in places.items() for word in ("-o", f"{key}={at}")]
        shop.apt_options += ["-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "Debug::NoLocking=1"]
        run([*download, *shop.apt_options, "update"], folder, shop)
        run([*download, *shop.apt_options, "download", package], folder, shop)
    for file in folder.glob("*.deb"):
        run(["dpkg", "-x", str(file), str(folder / "root")], folder, shop)
        file.unlink()  # a folder may take several packages, each is unpacked once


def from_go(shop: Workshop, tool: Tool, target: Path) -> None:
    """Build from the module that tools/<module> pins, in a copy of that folder."""
    recipe = tool.go
    assert recipe is not None
    _require_go(shop)
    source = Path(tempfile.mkdtemp(dir=shop.scratch)) / recipe.module
    shutil.copytree(shop.modules / recipe.module, source)
    for item in recipe.copies:
        _module_file(shop, source, item, source / PurePosixPath(item.path).name)
    if recipe.file:
        _module_file(shop, source, recipe.file, target)
        return
    assert recipe.package is not None
    if recipe.seconds >= LONG_BUILD_SECONDS:
        shop.echo(
            f"        building {tool.name}, about {recipe.seconds} s on two cores when nothing is cached"
        )
    flags = [
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        f"-s -w {tool.fill(recipe.ldflags)}",
    ]
    run(
        ["go", "build", *flags, "-o", str(target), recipe.package], source, shop, beat=f"building {tool.name}"
    )


def _require_go(shop: Workshop) -> None:
    if shutil.which("go") is None:
        shop.advice[GO_ADVICE] = None
        raise WayFailed("no go on PATH, Go >= 1.26 is needed")
    # `go version` in a folder without go.mod: never lets Go fetch another release of itself.
    said = run(["go", "env", "GOVERSION"], shop.scratch, shop)
    match = re.search(r"go(\d+)\.(\d+)", said)
    if match is None or (int(match[1]), int(match[2])) < GO_MINIMUM:
        shop.advice[GO_ADVICE] = None
        raise WayFailed(f"go on PATH is {short(said)}, Go >= 1.26 is needed")


def _module_file(shop: Workshop, source: Path, item: ModuleFile, target: Path) -> None:
    said = run(["go", "mod", "download", "-json", item.module], source, shop)
    # The module cache is read-only, so copy the bytes without the mode.
    shutil.copyfile(Path(json.loads(said[said.index("{") :])["Dir"]) / item.path, target)
