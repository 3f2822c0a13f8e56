"""Install method: files of packages of another Debian release, with everything that they need, in one tar.

Programs of another release need its libraries, down to libc, so they run only where those are the only ones: in an
image. apt checks the signatures; nothing is installed on this machine.
"""

import shutil
import tarfile
from pathlib import Path

from tierup.local.toolchain.install_run import InstallMethodFailed, InstallRun, last_lines, run
from tierup.local.toolchain.pins import Root, Tool

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def from_root(install_run: InstallRun, tool: Tool, target: Path) -> None:
    """Download the packages from a mirror that this machine uses, unpack them, and pack the files."""
    assert tool.root is not None
    if not (shutil.which("apt-get") and shutil.which("dpkg") and _KEYRING.exists()):
        raise InstallMethodFailed("apt-get, dpkg or Debian's keyring is not installed")
    folder = install_run.scratch / f"root-{tool.name}"
    failures = []
    for mirror in _mirrors(install_run):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            packages = _download(install_run, tool.root, mirror, folder)
        except InstallMethodFailed as failed:
            failures.append(f"{mirror}: {last_lines(str(failed))}")
            continue
        for package in packages:
            run(["dpkg", "-x", str(package), str(folder / "root")], folder, install_run)
        _pack(folder / "root", tool.root.files, target)
        return
    raise InstallMethodFailed("; ".join(failures) or "this machine has no mirror of Debian")


def _mirrors(install_run: InstallRun) -> list[str]:
    """The mirrors in this machine's sources, those of whole releases first."""
    listed = run(["apt-get", "indextargets", "--format", "$(REPO_URI)"], install_run.scratch, install_run)
    return sorted({line.strip() for line in listed.splitlines() if line.strip()}, key=len)


def _download(install_run: InstallRun, root: Root, mirror: str, folder: Path) -> list[Path]:
    """The packages and all they need, as if on a machine that has none."""
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {mirror} {root.suite} main\n")
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": folder,
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "1",
    }
    apt = [
        "apt-get",
        "-q",
        *(argument for name, value in settings.items() for argument in ("-o", f"{name}={value}")),
    ]
    run([*apt, "-o", "APT::Update::Error-Mode=any", "update"], folder, install_run)
    download = ["--yes", "--download-only", "--no-install-recommends", "install"]
    run([*apt, *download, *root.packages], folder, install_run)
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def _pack(root: Path, patterns: tuple[str, ...], target: Path) -> None:
    """A tar of the files that match, with their links."""
    with tarfile.open(target, "w") as tar:
        for pattern in patterns:
            found = sorted(path for path in root.glob(pattern) if path.is_symlink() or path.is_file())
            if not found:
                raise InstallMethodFailed(f"the packages have no file {pattern}")
            for path in found:
                tar.add(path, str(path.relative_to(root)), recursive=False)
