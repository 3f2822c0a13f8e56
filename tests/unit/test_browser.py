"""A headless browser is found on PATH, or unpacked with missing libraries, or reported missing with a hint."""

import subprocess
from pathlib import Path

import pytest

from tierup.local.toolchain import browser as local
from tierup.local.toolchain.browser import BrowserMissing, browser_command, install

# Has one library that the machine does not have; any other request is an error.
APT_GET = """#!/bin/sh
for last; do :; done
case "$*" in
*" download chromium-headless-shell") echo browser > chromium_1.deb ;;
*" download libdemo1") echo library > libdemo_1.deb ;;
*" install --simulate --no-install-recommends chromium-headless-shell" | \\
"install --simulate --no-install-recommends chromium-headless-shell")
  echo "Inst libdemo1 (1.0 Debian [amd64])"
  echo "Inst chromium-headless-shell (156 Debian [amd64])"
  echo "Conf libdemo1 (1.0 Debian [amd64])" ;;
*) echo "fake apt-get: unknown command $*" >&2; exit 64 ;;
esac
"""
# The program runs only where its library is found.
DPKG = """#!/bin/sh
[ "$1" = -x ] && read -r what < "$2" || exit 64
echo "$what" >> "$LOG"
case "$what" in
browser)
  program="$3/usr/lib/chromium/chromium-headless-shell"
  /bin/mkdir -p "$3/usr/lib/chromium"
  printf '#!/bin/sh\\n[ -e "$LD_LIBRARY_PATH/libdemo.so.1" ] && echo "ran $*"\\n' > "$program"
  /bin/chmod 755 "$program" ;;
library)
  /bin/mkdir -p "$3/usr/lib/x86_64-linux-gnu"
  echo > "$3/usr/lib/x86_64-linux-gnu/libdemo.so.1" ;;
*) exit 64 ;;
esac
"""


def script(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing but a shell on it, and a cache of its own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("sh", "env"):
        (folder / program).symlink_to(f"/usr/bin/{program}")
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("TIERUP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return folder


def test_a_browser_on_path_is_used_as_it_is(path: Path) -> None:
    script(path / "chromium", "#!/bin/sh\n")
    assert browser_command() == [str(path / "chromium"), "--headless"]
    install(lambda line: pytest.fail(f"installs although one is there: {line}"))


def test_without_a_browser_the_message_says_how_to_install_one(path: Path) -> None:
    with pytest.raises(BrowserMissing, match=r"make browser-env.*apt-get install chromium-headless-shell"):
        browser_command()


def test_the_package_is_unpacked_with_the_missing_libraries(path: Path, tmp_path: Path) -> None:
    script(path / "apt-get", APT_GET)
    script(path / "dpkg", DPKG)
    install(lambda line: None)
    done = subprocess.run([*browser_command(), "--dump-dom"], capture_output=True, text=True, check=True)
    assert done.stdout == "ran --headless --dump-dom\n"
    assert (tmp_path / "log").read_text().split() == ["browser", "library"]  # each once
    install(lambda line: pytest.fail(f"installs twice: {line}"))


def test_without_debian_packages_the_command_says_so(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert local.main() == 1
    assert capsys.readouterr().err.startswith(
        "error: apt-get and dpkg are not installed - run `make browser-env`"
    )


def test_an_unavailable_library_leaves_nothing_behind(path: Path) -> None:
    script(path / "apt-get", APT_GET.replace("download libdemo1", "download libother"))
    script(path / "dpkg", DPKG)
    with pytest.raises(BrowserMissing, match="apt-get -q failed"):
        install(lambda line: None)
    with pytest.raises(BrowserMissing):
        browser_command()
