"""The toolchain installer: the order of sources, error messages, and no partial installation."""

import functools
import hashlib
import http.server
import io
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tierup.local.toolchain import cli as toolchain
from tierup.local.toolchain import other_release
from tierup.local.toolchain.install import Toolchain, ToolMissing
from tierup.local.toolchain.pins import Tool, ToolchainError, load_pins

REPO = Path(__file__).parents[2]
DEADLINE_SECONDS = 20

# Accepts exactly the commands that the installer may use. It counts its builds and, while $HOLD exists and its
# parent lives, stays in the middle of one, with half of the result written.
FAKE_GO = """#!/bin/sh
case "$1 $2" in
"env GOVERSION") echo go1.26.0 ;;
"build -mod=readonly")
    while [ "$1" != -o ]; do shift; done
    echo build >> "$LOG"
    printf '#!/bin/sh\\n' > "$2"
    while [ -e "$HOLD" ] && kill -0 $PPID 2>/dev/null; do /bin/sleep 0.02; done
    printf 'echo "demo 1.2.3 by go"\\n' >> "$2" ;;
*) echo "fake go: unknown command $*" >&2; exit 64 ;;
esac
"""


def script(file: Path, body: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(body)
    file.chmod(0o755)
    return file


def says(file: Path, text: str) -> Path:
    return script(file, f"#!/bin/sh\necho '{text}'\n")


def output(file: Path) -> str:
    return subprocess.run([file], capture_output=True, text=True, check=True).stdout.strip()


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.02)


class Bench:
    """A toolchain of one pinned tool, `demo`, with its own PATH, cache, Go module and release server."""

    def __init__(self, root: Path, server: str) -> None:
        self.root = root
        self.path = root / "path"
        self.path.mkdir()
        self.releases = root / "releases"
        self.releases.mkdir()
        (root / "modules/demo").mkdir(parents=True)
        (root / "modules/demo/go.mod").write_text("module demo\n")
        self.lines: list[str] = []
        self.entry: dict[str, Any] = {
            "version": "1.2.3",
            "group": "cluster",
            "check": {"command": ["{file}"], "pattern": r"demo (\S+)"},
            "path": {},
            "download": {
                "url": f"{server}/demo-{{version}}.tar.gz",
                "checksums": f"{server}/sums",
                "member": "x/demo",
            },
            "go": {"module": "demo", "package": ".", "seconds": 20},
        }

    def release(self, text: str, checksum: str | None = None) -> None:
        """Publish an archive whose tool prints `text`."""
        body = f"#!/bin/sh\necho '{text}'\n".encode()
        archive = self.releases / "demo-1.2.3.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            entry = tarfile.TarInfo("./x/demo")
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
        digest = checksum or hashlib.sha256(archive.read_bytes()).hexdigest()
        (self.releases / "sums").write_text(f"{'0' * 64}  other.tar.gz\n{digest} *demo-1.2.3.tar.gz\n")

    def chain(self, **others: dict[str, Any]) -> Toolchain:
        text = yaml.safe_dump({"tools": {"demo": self.entry, **others}}, sort_keys=False)
        pins = self.root / f"pins-{hashlib.sha256(text.encode()).hexdigest()[:8]}.yaml"
        pins.write_text(text)
        return Toolchain(pins, self.root / "modules", self.root / "cache")

    def install(self, **others: dict[str, Any]) -> Toolchain:
        chain = self.chain(**others)
        chain.ensure(chain.tools, self.lines.append)
        return chain

    def start(self) -> subprocess.Popen[str]:
        """The same install in a process of its own."""
        chain = self.chain()
        program = (
            "import sys; from pathlib import Path; from tierup.local.toolchain.install import Toolchain;"
            "Toolchain(*map(Path, sys.argv[1:])).ensure(['demo'], lambda line: print(line, flush=True))"
        )
        command = [sys.executable, "-c", program, str(chain.pins), str(chain.modules), str(chain.cache)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "releases"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        bench = Bench(tmp_path, f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("PATH", str(bench.path))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("LOG", str(tmp_path / "builds"))
        monkeypatch.setenv("HOLD", str(tmp_path / "hold"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield bench
        server.shutdown()
        thread.join()


def test_path_wins_at_the_pinned_version(bench: Bench) -> None:
    mine = says(bench.path / "demo", "demo 1.2.3 by path")
    bench.release("demo 1.2.3 by download")
    script(bench.path / "go", FAKE_GO)
    demo = bench.install().tool("demo")
    assert demo.is_symlink()
    assert demo.readlink() == mine
    assert re.search(r"demo 1.2.3: PATH, \d+\.\d s", bench.lines[-1])


def test_download_comes_before_a_build_when_path_is_off_the_pin(bench: Bench) -> None:
    says(bench.path / "demo", "demo 1.2.4 by path")
    bench.release("demo 1.2.3 by download")
    script(bench.path / "go", FAKE_GO)
    assert output(bench.install().tool("demo")) == "demo 1.2.3 by download"
    assert "download" in bench.lines[-1]


def test_build_is_the_last_resort_and_announced(bench: Bench) -> None:
    script(bench.path / "go", FAKE_GO)
    assert output(bench.install().tool("demo")) == "demo 1.2.3 by go"
    assert "building demo, about 20 s" in bench.lines[0]


def test_bad_checksum_is_never_installed(bench: Bench) -> None:
    bench.release("demo 1.2.3 by download", checksum="f" * 64)
    with pytest.raises(ToolchainError, match=f"checksum of .*demo-1.2.3.tar.gz is .*published is {'f' * 64}"):
        bench.install()
    with pytest.raises(ToolMissing, match="run `make toolchain`"):
        bench.chain().tool("demo")


def test_bare_checksum_of_a_single_file(bench: Bench) -> None:
    body = b"#!/bin/sh\necho demo 1.2.3 alone\n"
    (bench.releases / "demo").write_bytes(body)
    (bench.releases / "sums").write_text(hashlib.sha256(body).hexdigest())
    bench.entry["download"] |= {
        "url": bench.entry["download"]["url"].replace("demo-{version}.tar.gz", "demo")
    }
    del bench.entry["download"]["member"]
    assert output(bench.install().tool("demo")) == "demo 1.2.3 alone"


def test_download_of_another_version_is_refused(bench: Bench) -> None:
    bench.release("demo 9.9.9")
    with pytest.raises(ToolchainError, match=r"download: .* is version 9\.9\.9"):
        bench.install()


def test_failure_names_the_tool_and_the_error_of_each_source(bench: Bench) -> None:
    says(bench.path / "demo", "demo 1.0.0")
    bench.entry["hint"] = "sudo apt-get install demo"
    bench.entry["download"] = {"url": "http://127.0.0.1:1/demo", "checksums": "http://127.0.0.1:1/sums"}
    with pytest.raises(ToolchainError) as caught:
        bench.install()
    head, tool, *ways, advice = str(caught.value).splitlines()
    assert head == "1 tool of the toolchain could not be installed:"
    assert tool.strip() == "demo 1.2.3"
    assert [way.strip().split(" ")[0] for way in ways] == ["PATH:", "download:", "go", "install"]
    assert "is version 1.0.0" in ways[0]
    assert "cannot reach 127.0.0.1:1 (connection refused)" in ways[1]
    assert "go is not on PATH" in ways[2]
    assert "sudo apt-get install demo" in ways[3]
    assert advice.strip().startswith("install Go >= 1.26: curl")


def test_other_tools_are_installed_after_a_failure(bench: Bench) -> None:
    says(bench.path / "later", "demo 1.2.3")
    later = {**bench.entry, "download": None, "go": None}
    with pytest.raises(ToolchainError, match=r"demo 1\.2\.3"):
        bench.install(later=later)
    assert output(bench.chain(later=later).tool("later")) == "demo 1.2.3"


def test_an_old_go_is_refused_with_the_command_that_installs_one(bench: Bench) -> None:
    script(bench.path / "go", FAKE_GO.replace("go1.26.0", "go1.19.8"))
    with pytest.raises(ToolchainError, match=r"go on PATH is go1\.19\.8(.|\n)*install Go >= 1\.26: curl"):
        bench.install()


def test_a_command_line_failure_is_a_message_not_a_traceback(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(toolchain, "_default", bench.chain)
    assert toolchain.main(["install"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: 1 tool of the toolchain could not be installed:\n  demo 1.2.3\n"
    )
    assert toolchain.main(["install", "dmeo"]) == 1
    assert "unknown tool dmeo (known: demo)" in capsys.readouterr().err


def test_what_only_benchmarks_need_is_installed_when_they_are_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.entry["group"] = "benchmarks"
    bench.release("demo 1.2.3 by release")
    chain = bench.chain()
    monkeypatch.setattr(toolchain, "_default", lambda: chain)
    assert toolchain.main(["install"]) == 0
    with pytest.raises(ToolMissing):
        chain.tool("demo")
    assert toolchain.main(["install", "--group", "benchmarks"]) == 0
    assert output(chain.tool("demo")) == "demo 1.2.3 by release"


@pytest.mark.parametrize("file", ["usr/bin/demo", "usr/*/dem?"])
def test_the_debian_package_is_unpacked_with_package_lists_of_our_own(bench: Bench, file: str) -> None:
    del bench.entry["download"], bench.entry["go"]
    bench.entry["debian"] = {"package": "demo-pkg", "file": file}
    # Has no package until it was updated in a state folder that is not the system's.
    script(
        bench.path / "apt-get",
        """#!/bin/sh
        for last; do :; done
        case "$*" in
        *Dir::State=*" update") : > lists ;;
        *Dir::State=*" download demo-pkg") [ -e lists ] && echo deb > demo-pkg_1.deb ;;
        *" download demo-pkg") echo "E: Unable to locate package demo-pkg" >&2; exit 100 ;;
        *) echo "fake apt-get: unknown command $*" >&2; exit 64 ;;
        esac
        """,
    )
    script(
        bench.path / "dpkg",
        """#!/bin/sh
        [ "$1" = -x ] && read -r what < "$2" && [ "$what" = deb ] || exit 64
        /bin/mkdir -p "$3/usr/bin"
        printf '#!/bin/sh\\necho demo 1.2.3 by deb\\n' > "$3/usr/bin/demo"
        """,
    )
    assert output(bench.install().tool("demo")) == "demo 1.2.3 by deb"


def test_two_tools_of_one_package_cost_one_download(bench: Bench) -> None:
    del bench.entry["download"], bench.entry["go"]
    bench.entry["debian"] = {"package": "demo-pkg", "file": "usr/bin/demo"}
    other = {**bench.entry, "debian": {"package": "demo-pkg", "file": "usr/bin/other"}}
    script(bench.path / "apt-get", '#!/bin/sh\necho download >> "$LOG"\necho deb > demo-pkg_1.deb\n')
    script(
        bench.path / "dpkg",
        """#!/bin/sh
        /bin/mkdir -p "$3/usr/bin"
        for name in demo other; do printf '#!/bin/sh\\necho demo 1.2.3 as %s\\n' $name > "$3/usr/bin/$name"; done
        """,
    )
    chain = bench.install(other=other)
    assert [output(chain.tool(name)) for name in ("demo", "other")] == [
        "demo 1.2.3 as demo",
        "demo 1.2.3 as other",
    ]
    assert (bench.root / "builds").read_text().splitlines() == ["download"]


def test_files_of_another_release_come_with_all_they_need_from_a_mirror_of_this_machine(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    del bench.entry["download"], bench.entry["go"]
    bench.entry["check"] = {"command": [str(shutil.which("tar", path="/bin:/usr/bin")), "-tf", "{file}"]}
    bench.entry["check"]["pattern"] = "usr/bin/demo\\n.*lib/libdemo"
    bench.entry["root"] = {"suite": "next", "packages": ["demo-pkg"], "files": ["usr/bin/demo", "lib/*"]}
    monkeypatch.setattr(other_release, "_KEYRING", bench.path)
    # Only the second mirror has the release.
    script(
        bench.path / "apt-get",
        """#!/bin/sh
        if [ "$1" = indextargets ]; then echo http://a/security; echo http://a/debian; exit; fi
        for setting; do case "$setting" in
        Dir::Etc::SourceList=*) sources=${setting#*=} ;;
        Dir::Cache=*) cache=${setting#*=} ;;
        esac; done
        read -r _ _ mirror suite _ < "$sources"
        [ "$suite" = next ] || exit 64
        case "$*" in
        *" update") [ "$mirror" = http://a/security ] ;;
        *" --download-only "*" demo-pkg") for name in demo libdemo; do echo deb > "$cache/archives/$name.deb"; done ;;
        *) echo "fake apt-get: unknown command $*" >&2; exit 64 ;;
        esac
        """,
    )
    script(
        bench.path / "dpkg",
        """#!/bin/sh
        [ "$1" = -x ] || exit 64
        /bin/mkdir -p "$3/usr/bin" "$3/lib"
        case "$2" in */demo.deb) : > "$3/usr/bin/demo" ;; */libdemo.deb) : > "$3/lib/libdemo.so" ;; esac
        """,
    )
    bench.install()
    with tarfile.open(bench.chain().tool("demo")) as tar:
        assert tar.getnames() == ["usr/bin/demo", "lib/libdemo.so"]
    bench.entry["root"] |= {"files": ["usr/bin/nothing"]}
    with pytest.raises(ToolchainError, match="the packages have no file usr/bin/nothing"):
        bench.install()


def test_a_neighbour_counts_only_beside_its_tool_from_path(bench: Bench) -> None:
    beside = {"version": "1", "group": "cluster", "path": {"beside": "demo", "dirs": ["."]}}
    says(bench.path / "side", "anything")
    with pytest.raises(ToolchainError, match="side 1\n    PATH: not found"):
        bench.install(side=beside)
    says(bench.path / "demo", "demo 1.2.3")
    assert bench.install(side=beside).tool("side").readlink() == bench.path / "side"


def test_a_system_tool_that_was_upgraded_is_replaced(bench: Bench) -> None:
    says(bench.path / "demo", "demo 1.2.3 by path")
    bench.install()
    says(bench.path / "demo", "demo 1.3.0 by path")
    bench.release("demo 1.2.3 by download")
    assert output(bench.install().tool("demo")) == "demo 1.2.3 by download"


def test_a_second_install_does_nothing(bench: Bench) -> None:
    bench.release("demo 1.2.3 by download")
    bench.install()
    bench.lines.clear()
    bench.install()
    assert bench.lines == []


def test_a_new_pin_costs_only_itself(bench: Bench) -> None:
    bench.release("demo 1.2.3 by download")
    first = bench.install()
    (bench.releases / "sums").unlink()
    says(bench.path / "other", "demo 2.0.0")
    second = bench.install(other={**bench.entry, "version": "2.0.0"})
    assert second.bin != first.bin
    assert second.tool("demo").samefile(first.tool("demo"))


def test_the_key_follows_pins_and_go_modules_but_not_hints(bench: Bench) -> None:
    first = bench.chain().bin
    bench.entry["hint"] = "sudo apt-get install demo"
    bench.entry["go"] = {**bench.entry["go"], "seconds": 99}
    assert bench.chain().bin == first
    (bench.root / "modules/demo/go.sum").write_text("a line\n")
    with_sums = bench.chain().bin
    bench.entry["version"] = "1.2.4"
    assert len({first, with_sums, bench.chain().bin}) == 3


def test_killed_in_mid_build_leaves_nothing_usable(bench: Bench) -> None:
    script(bench.path / "go", FAKE_GO)
    hold = bench.root / "hold"
    hold.touch()
    with bench.start() as process:
        half = bench.chain().folder
        wait_for(lambda: [file for file in half.glob("scratch-*/*-demo") if file.stat().st_size])
        process.send_signal(signal.SIGKILL)
    with pytest.raises(ToolMissing):
        bench.chain().tool("demo")
    hold.unlink()
    assert output(bench.install().tool("demo")) == "demo 1.2.3 by go"
    assert not list(half.glob("scratch-*"))


def test_two_installs_at_once_build_once(bench: Bench) -> None:
    script(bench.path / "go", FAKE_GO)
    hold, builds = bench.root / "hold", bench.root / "builds"
    hold.touch()
    with bench.start() as first:
        wait_for(builds.exists)
        with bench.start() as second:
            assert second.stdout
            assert f"waiting for another install to end (process {first.pid})" in second.stdout.readline()
            hold.unlink()
    assert (first.returncode, second.returncode) == (0, 0)
    assert builds.read_text().splitlines() == ["build"]
    assert output(bench.chain().tool("demo")) == "demo 1.2.3 by go"


@pytest.mark.parametrize(
    ("rule", "version", "accepted"),
    [
        ("exact", "1.35.4", True),
        ("exact", "1.35.5", False),
        ("exact", "1.35.4-rc.1", False),
        ("at-least", "1.35.10", True),
        ("at-least", "1.9.0", False),
    ],
)
def test_what_counts_as_the_pin(rule: str, version: str, accepted: bool) -> None:
    tool = Tool.model_validate({"name": "x", "version": "1.35.4", "group": "g", "path": {"accept": rule}})
    assert tool.accepts(version) is accepted


def test_every_committed_pin_can_be_installed_without_path() -> None:
    for tool in load_pins(REPO / "tierup/local/toolchain/pins.yaml").values():
        assert tool.download or tool.debian or tool.root or tool.go, tool.name
        assert tool.go or tool.hint, f"{tool.name}: say how to install it"
        if tool.go:
            module = REPO / "tools" / tool.go.module
            locked = {"go.sum"} if "require" in (module / "go.mod").read_text() else set()
            assert {"go.mod", *locked} <= {file.name for file in module.iterdir()}, tool.name


def test_a_mistake_in_the_pins_is_named(tmp_path: Path) -> None:
    pins = tmp_path / "pins.yaml"
    pins.write_text("tools: {demo: {version: '1', group: g, donwload: {}}}")
    with pytest.raises(ToolchainError, match=r"pins\.yaml(.|\n)*donwload"):
        load_pins(pins)
