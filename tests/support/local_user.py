"""A user of the installed command, with a home and a checkout of their own."""

import os
import subprocess
import sys
from pathlib import Path

from tiers import own_checkout

from tierup.local.toolchain import toolchain_dir

TIERUP = str(Path(sys.prefix) / "bin" / "tierup")


class User:
    """A user with their own home and checkout; only the installed tools are shared."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.checkout = folder / "checkout"
        self.home.mkdir()
        self.checkout.mkdir()
        own_checkout(self.checkout)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "PULUMI_", "KUBE"))}
        self.env = {**kept, "HOME": str(self.home), "TIERUP_CACHE": str(toolchain_dir().parents[2])}

    def run(self, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [TIERUP, *args],
            cwd=self.checkout,
            env={**self.env, **more},
            text=True,
            capture_output=True,
            check=False,
        )

    def files(self) -> dict[str, bytes]:
        """Every file of the checkout's own (links are the program's)."""
        own = (path for path in self.checkout.rglob("*") if path.is_file() and not path.is_symlink())
        return {str(path.relative_to(self.checkout)): path.read_bytes() for path in own}
