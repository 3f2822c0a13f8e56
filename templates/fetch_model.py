"""Fetch model files once, pinned by revision, and mark each folder complete. Runs in the engine's image."""

import fcntl
import json
import os
import signal
import sys
import threading
from pathlib import Path

# The same weights once more, in other formats; some repositories carry them.
SECOND_COPIES = ["consolidated*", "original/*", "*.pth", "*.pt", "*.onnx", "*.msgpack", "*.h5"]


def fetch(wanted: dict[str, str | int | None]) -> None:
    """Download one model into its folder; a folder that is marked complete is left alone."""
    from huggingface_hub import snapshot_download

    folder = Path(str(wanted["folder"]))
    marker = folder / ".complete"
    folder.mkdir(parents=True, exist_ok=True)
    # Several fetches may meet on one volume; the second waits and then finds the marker.
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if marker.exists():
            print(f"{folder}: complete already", flush=True)
            return
        patterns = [wanted["files"]] if wanted["files"] else None
        snapshot_download(
            wanted["repo"],
            revision=wanted["revision"],
            local_dir=folder,
            allow_patterns=patterns,
            ignore_patterns=SECOND_COPIES,
        )
        if wanted["files"]:
            name_gguf(folder, str(wanted["files"]), int(wanted["parts"]))
        if wanted["tokenizer"]:
            snapshot_download(
                wanted["tokenizer"],
                revision=wanted["tokenizer_revision"],
                local_dir=folder / "tokenizer",
                allow_patterns=["*.json", "*.txt", "*.model"],
            )
        marker.touch()
        print(f"{folder}: complete", flush=True)


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


def main() -> None:
    """Fetch what `MODELS` names; with --stay, keep the pod as the sign that this node has its files."""
    # The first process of a container ignores SIGTERM unless it asks for it; a download cut short has failed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for wanted in json.loads(os.environ["MODELS"]):
        fetch(wanted)
    if "--stay" in sys.argv[1:]:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print("this node has its models", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
