"""A headless browser: its screenshot and its document of a page."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tierup.local.toolchain.browser import BrowserMissing, browser_command

SECONDS = 120  # a start takes less than one; a busy machine may take its time
# Processes of our own on files of our own: no sandbox is needed, and as root there is none.
WORDS = ("--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--force-device-scale-factor=1")
Browse = Callable[..., str]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Runs the browser on one page, a file or a URL, with further arguments and returns its output."""
    try:
        command = browser_command()
    except BrowserMissing as missing:
        pytest.skip(f"NO BROWSER, so the page was not tested: {missing}")

    def run(page: Path | str, *args: str) -> str:
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        done = subprocess.run(
            [*command, *WORDS, profile, *args, page if isinstance(page, str) else page.as_uri()],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
            cwd=tmp_path,
        )
        return done.stdout

    return run
