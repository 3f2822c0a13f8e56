"""Install methods other than a download: a tool on PATH, an unpacked Debian package, a Go build."""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath

from tierup.local.toolchain.install_run import InstallMethodFailed, InstallRun, last_lines, run, verify
from tierup.local.toolchain.pins import ModuleFile, Tool

GO_MINIMUM = (1, 26)
LONG_BUILD_SECONDS = 10
GO_ADVICE = (
    "  install Go >= 1.26: curl -fL https://go.dev/dl/go1.26.8.linux-amd64.tar.gz"
    " | sudo tar -C /usr/local -xz && export PATH=/usr/local/go/bin:$PATH   (other systems: https://go.dev/dl/)"
)


def from_path(install_run: InstallRun, tool: Tool, target: Path) -> None:
    """Link the first copy on PATH (or in the tool's own folders) that passes the check."""
    assert tool.path is not None
    candidates = list(dict.fromkeys(_candidates(install_run, tool)))
    if not candidates:
        raise InstallMethodFailed("not found")
    reasons = []
    for file in candidates:
        try:
            verify(install_run, tool, file)
        except InstallMethodFailed as failed:
            reasons.append(str(failed))
        else:
            target.symlink_to(file)
            return
    raise InstallMethodFailed("; ".join(reasons))


def _candidates(install_run: InstallRun, tool: Tool) -> list[Path]:
    assert tool.path is not None
    if tool.path.beside is None:
        folders = [Path(part) for part in [*os.get_exec_path(), *tool.path.dirs] if Path(part).is_absolute()]
    else:
        sibling = install_run.bin / tool.path.beside
        if not sibling.is_symlink():
            return []
        folders = [sibling.resolve().parent / part for part in tool.path.dirs]
    files = [(folder / tool.name).absolute() for folder in folders if folder != install_run.bin]
    return [file for file in files if file.is_file() and (os.access(file, os.X_OK) or file.suffix == ".so")]


def from_debian(install_run: InstallRun, tool: Tool, target: Path) -> None:
    """Unpack the tool's Debian package without installing it; needs no root."""
    assert tool.debian is not None
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise InstallMethodFailed("apt-get and dpkg are not installed")
    folder = install_run.scratch / f"package-{tool.debian.package}"
    if not (folder / "root").exists():  # one package may hold several tools
        unpack(install_run, tool.debian.package, folder)
    files = [file for file in (folder / "root").glob(tool.debian.file) if file.is_file()]
    if not files:
        raise InstallMethodFailed(f"package {tool.debian.package} has no file {tool.debian.file}")
    shutil.move(files[0], target)


def unpack(install_run: InstallRun, package: str, folder: Path) -> None:
    """Download a package into `folder` and unpack it into `folder/root`."""
    folder.mkdir(exist_ok=True)
    download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root"]
    try:
        run([*download, *install_run.apt_options, "download", package], folder, install_run)
    except InstallMethodFailed:
        # This machine's package lists are missing or old: download our own into a folder that this user may write to.
        state = install_run.scratch / "apt"
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        folders = {"Dir::State": state, "Dir::State::Lists": state / "lists", "Dir::Cache": state / "cache"}
        install_run.apt_options = [arg for key, path in folders.items() for arg in ("-o", f"{key}={path}")]
        install_run.apt_options += [
            "-o",
            "Dir::State::status=/var/lib/dpkg/status",
            "-o",
            "Debug::NoLocking=1",
        ]
        run([*download, *install_run.apt_options, "update"], folder, install_run)
        run([*download, *install_run.apt_options, "download", package], folder, install_run)
    for file in folder.glob("*.deb"):
        run(["dpkg", "-x", str(file), str(folder / "root")], folder, install_run)
        file.unlink()  # several packages may use this folder; unpack each only once


def from_go(install_run: InstallRun, tool: Tool, target: Path) -> None:
    """Build the tool in a copy of the Go module tools/<module>."""
    recipe = tool.go
    assert recipe is not None
    _require_go(install_run)
    source = Path(tempfile.mkdtemp(dir=install_run.scratch)) / recipe.module
    shutil.copytree(install_run.modules / recipe.module, source)
    for item in recipe.copies:
        _module_file(install_run, source, item, source / PurePosixPath(item.path).name)
    if recipe.file:
        _module_file(install_run, source, recipe.file, target)
        return
    assert recipe.package is not None
    if recipe.seconds >= LONG_BUILD_SECONDS:
        install_run.echo(
            f"        building {tool.name}, about {recipe.seconds} s on two cores without a Go cache"
        )
    flags = [
        "-mod=readonly",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        f"-s -w {tool.fill(recipe.ldflags)}",
    ]
    run(
        ["go", "build", *flags, "-o", str(target), recipe.package],
        source,
        install_run,
        label=f"building {tool.name}",
    )


def _require_go(install_run: InstallRun) -> None:
    if shutil.which("go") is None:
        install_run.advice[GO_ADVICE] = None
        raise InstallMethodFailed("go is not on PATH; Go >= 1.26 is needed")
    # Run it in a folder without go.mod, so that Go does not download another release of itself.
    version = run(["go", "env", "GOVERSION"], install_run.scratch, install_run)
    match = re.search(r"go(\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) < GO_MINIMUM:
        install_run.advice[GO_ADVICE] = None
        raise InstallMethodFailed(f"go on PATH is {last_lines(version)}, but Go >= 1.26 is needed")


def _module_file(install_run: InstallRun, source: Path, item: ModuleFile, target: Path) -> None:
    output = run(["go", "mod", "download", "-json", item.module], source, install_run)
    # Files in the module cache are read-only, so copy the content without the mode.
    shutil.copyfile(Path(json.loads(output[output.index("{") :])["Dir"]) / item.path, target)
