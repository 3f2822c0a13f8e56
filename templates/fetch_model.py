"""Fetch model files once, pinned by revision and checked, and mark each folder complete. Runs in the engine's image."""

import fcntl
import hashlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

# The same weights once more, in other formats; some repositories carry them.
SECOND_COPIES = ["consolidated*", "original/*", "metal/*", "*.pth", "*.pt", "*.onnx", "*.msgpack", "*.h5"]
TOKENIZER = ["*.json", "*.txt", "*.model"]
AUTHORITIES = Path("/tmp/authorities.pem")
BLOCK = 1 << 20


def fetch(wanted: dict[str, str | int | None]) -> None:
    """Download one model into its folder; a folder that is marked complete is left alone."""
    folder = Path(str(wanted["folder"]))
    marker = folder / ".complete"
    folder.mkdir(parents=True, exist_ok=True)
    # Several fetches may meet on one volume; the second waits and then finds the marker.
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if marker.exists():
            print(f"{folder}: complete already", flush=True)
            return
        if "from" in wanted:
            import fetch_http  # beside this file

            fetch_http.fetch(wanted, folder, SECOND_COPIES)
        else:
            from_hub(wanted, folder)
        if "vocabulary" in wanted:
            import fetch_vocabulary  # beside this file

            fetch_vocabulary.write(folder, str(wanted["vocabulary"]))
        marker.touch()
        print(f"{folder}: complete", flush=True)


def from_hub(wanted: dict[str, str | int | None], folder: Path) -> None:
    """Download one model from the hub, and the tokenizer of one whose repository has none."""
    patterns = [str(wanted["files"])] if wanted["files"] else None
    download(str(wanted["repo"]), wanted["revision"], folder, patterns, SECOND_COPIES)
    if wanted["files"]:
        name_gguf(folder, str(wanted["files"]), int(wanted["parts"]))
    if wanted["tokenizer"]:
        repo, revision = str(wanted["tokenizer"]), wanted["tokenizer_revision"]
        download(repo, revision, folder / "tokenizer", TOKENIZER, None)


def download(
    repo: str,
    revision: str | None,
    folder: Path,
    patterns: list[str] | None,
    ignored: list[str] | None,
) -> None:
    """Download a repository's files and compare each with the hub's checksum; files that are there are kept.

    Raises OSError for a file that is missing or differs. It is removed, so that the next attempt fetches it again.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils import filter_repo_objects

    # Listed first: where the hub does not answer, its client takes what an earlier attempt left for all there is.
    listed = HfApi().list_repo_tree(repo, revision=revision, recursive=True)
    files = filter_repo_objects(
        [item for item in listed if isinstance(item, RepoFile)],
        allow_patterns=patterns,
        ignore_patterns=ignored,
        key=lambda file: file.path,
    )
    for part in folder.glob(".cache/huggingface/download/**/*.incomplete"):
        part.unlink()  # of a process that was killed: the client gives each process's parts new names
    snapshot_download(
        repo, revision=revision, local_dir=folder, allow_patterns=patterns, ignore_patterns=ignored
    )
    wrong = [file.path for file in files if not intact(folder / file.path, file)]
    for name in wrong:
        (folder / name).unlink(missing_ok=True)
    if wrong:
        raise OSError(f"{', '.join(wrong)} of {repo} differ from the hub's checksum")


def intact(path: Path, file) -> bool:
    """Whether a file has the checksum that the hub lists: SHA-256 of a large one, else that of a Git blob."""
    if not path.is_file():
        return False
    if file.lfs is not None:
        return digest(path, hashlib.sha256()) == file.lfs.sha256
    return digest(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size)) == file.blob_id


def digest(path: Path, checksum) -> str:
    """The checksum of a file's content, added to what `checksum` has; it reads a block at a time."""
    with path.open("rb") as content:
        while block := content.read(BLOCK):
            checksum.update(block)
    return checksum.hexdigest()


def name_gguf(folder: Path, pattern: str, parts: int) -> None:
    """Give the parts of a GGUF model the names that the engine is started with and finds the others by."""
    files = sorted(folder.glob(pattern))
    if len(files) != parts:
        raise FileNotFoundError(
            f"{len(files)} files match {pattern} in {folder}, where there must be {parts}"
        )
    for number, file in enumerate(files, start=1):
        part = f"-{number:05d}-of-{parts:05d}" if parts > 1 else ""
        link = folder / f"model{part}.gguf"
        link.unlink(missing_ok=True)
        link.symlink_to(file.name)


def trust(bundle: str) -> None:
    """Let the hub's client trust these authorities in addition to the public ones."""
    import certifi

    AUTHORITIES.write_text(f"{Path(certifi.where()).read_text()}\n{bundle}\n")
    os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = str(AUTHORITIES)


def failures() -> tuple[type[Exception], ...]:
    """What a fetch may fail with: the disk and the hub's answers, and the network as the hub's client reports it."""
    clients = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return (OSError, *(client.HTTPError for client in clients))


def name_of(wanted: dict[str, str | int | None]) -> str:
    """What messages call a model: its repository and commit, or the address of its folder."""
    return str(wanted["url"]) if "url" in wanted else f"{wanted['repo']} at {wanted['revision']}"


def main() -> None:
    """Fetch what `MODELS` names; with --stay, keep the pod as the sign that this node has its files."""
    # The first process of a container ignores SIGTERM unless it asks for it; a download cut short has failed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if bundle := os.environ.get("CA_BUNDLE"):
        trust(bundle)
    for wanted in json.loads(os.environ["MODELS"]):
        try:
            fetch(wanted)
        except Exception as error:
            if not isinstance(error, failures()):
                raise
            sys.exit(f"{name_of(wanted)}: {error}")  # the pod's next start tries again
    if "--stay" in sys.argv[1:]:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print("this node has its models", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
