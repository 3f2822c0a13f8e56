"""`tierup dev up` as a user runs it who edits templates: it serves, measures, applies edits, and ends all processes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from engine_server import HEALTH_SECONDS, find_engine
from polling import DEADLINE, until
from small_nginx import find_nginx

from tierup.local.machine.ports import free_port
from tierup.local.toolchain import ToolMissing, tool, toolchain_dir

pytestmark = pytest.mark.xdist_group("engines")  # one pair of engines, and no two tests that load it

ROOT = Path(__file__).parents[2]
# What a checkout needs for this; copies, because the test edits them.
PARTS = ("tierup", "templates", "monitoring", "requirements", "tools", "Pulumi.yaml")
STACK = """config:
  tierup:workload: {users: 4}
  tierup:nodes: {server: entry-2x-rtx-4090}
  tierup:models: [{id: qwen2.5-7b, maxNumSeqs: 4}]
  tierup:gateway: {queueLength: 40, keys: {web: {}}}
  tierup:monitoring: {scrapeIntervalSeconds: 1}
"""


class User:
    """A user with their own home and checkout, who has one run of the command at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.checkout, self.out = folder, folder / "checkout", folder / "out"
        self.checkout.mkdir()
        for name in PARTS:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, self.checkout / name)
        self.stack_file = self.checkout / "stacks" / "Pulumi.tiny.yaml"
        self.stack_file.parent.mkdir()
        self.stack_file.write_text(STACK)
        self.process: subprocess.Popen[bytes] | None = None

    def up(self, engines: int) -> subprocess.Popen[bytes]:
        """Start the checkout's own `tierup dev up`."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
        # A shell that starts the tests in the background ignores SIGINT for all of them; a terminal does not.
        python = ["env", "--default-signal=INT", sys.executable]
        command = [*python, "-c", "from tierup.cli import main; main()", "dev", "up", "--stack", "tiny"]
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--engines", str(engines), "--port", str(free_port())],
                cwd=self.checkout,
                env=kept
                | {
                    "HOME": str(self.folder),
                    "TIERUP_CACHE": str(toolchain_dir().parents[2]),
                    "PYTHONPATH": str(self.checkout),
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return self.process

    def wait(self, text: str, seconds: float = DEADLINE) -> None:
        """Wait until the command has printed this text."""

        def printed() -> bool:
            assert self.process is not None
            code = self.process.poll()
            if text in self.out.read_text():
                return True
            assert code is None, f"ended with {code}:\n{self.out.read_text()}"
            return False

        until(printed, f"'{text}' in {self.out}", seconds)

    def printed_value(self, pattern: str) -> str:
        """A value from the command's output."""
        match = re.search(pattern, self.out.read_text(), re.MULTILINE)
        assert match is not None, self.out.read_text()
        return match[1]

    def edit(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def left(self) -> list[str]:
        """Processes that run in the user's folders or have one on their command line."""
        found = []
        for process_folder in Path("/proc").glob("[0-9]*"):
            try:
                command_line = (
                    (process_folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                if str(self.folder) in command_line or str((process_folder / "cwd").readlink()).startswith(
                    str(self.folder)
                ):
                    found.append(f"{process_folder.name} {command_line}")
            except OSError:  # it has just ended, or is a zombie
                continue
        return found


@pytest.fixture
def user() -> Iterator[User]:
    find_nginx()
    find_engine()
    try:
        tool("prometheus")
    except ToolMissing as missing:
        pytest.skip(f"NOT PROVEN: {missing}")
    # Not tmp_path, which is too long for sockets.
    with tempfile.TemporaryDirectory(prefix="dev-") as folder:
        user = User(Path(folder))
        try:
            yield user
        finally:
            if user.process is not None and user.process.poll() is None:
                user.process.terminate()
                user.process.wait(HEALTH_SECONDS)


def get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: dict[str, Any] = json.load(answer)
    return body


def ask_prometheus(url: str, query: str) -> dict[str, str]:
    """Value by instance."""
    result = get(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}")["data"]["result"]
    return {item["metric"]["instance"]: item["value"][1] for item in result}


def test_a_user_sends_requests_reads_metrics_edits_files_and_stops(user: User) -> None:
    process = user.up(engines=2)
    user.wait("Ctrl-C ends everything.", HEALTH_SECONDS)
    url = user.printed_value(r"serves at (http://\S+/v1)")
    key_file = Path(user.printed_value(r"keys +(\S+): web"), "web")
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.read_text() not in user.out.read_text()

    client = openai.OpenAI(base_url=url, api_key=key_file.read_text(), max_retries=0, timeout=60)
    hello: list[Any] = [{"role": "user", "content": "hello"}]

    def chat() -> openai.types.CompletionUsage | None:
        return client.chat.completions.create(model="qwen2.5-7b", messages=hello, max_tokens=3).usage

    assert chat() is not None
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="another").models.list()
    curl = user.printed_value(r"curl +(curl .*)$")
    shell = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(shell.stdout)["object"] == "chat.completion"

    prometheus = user.printed_value(r"Prometheus +(http://[^/]+)/")
    until(lambda: len(ask_prometheus(prometheus, "vllm:num_requests_running")) == 2, "two engines measured")
    engines = 'up{job="model-server/qwen2-5-7b"}'
    assert set(ask_prometheus(prometheus, engines).values()) == {"1"}

    template = user.checkout / "templates" / "nginx.conf.j2"
    user.edit(template, 'return 200 \'{"status":"ok"}', 'return 200 \'{"status":"edited"}')
    health = url.replace("/v1", "/health")
    until(lambda: get(health) == {"status": "edited"}, "the edited template is in use")
    user.edit(template, "worker_processes 2;", "worker_process 2;")
    user.wait('unknown directive "worker_process"')
    user.edit(template, "worker_process 2;", "worker_processes 2;")
    user.wait("configuration: resolved")
    user.edit(template, "worker_processes 2;", "worker_processes {{ workers }};")
    user.wait("not applied: templates/nginx.conf.j2:7: 'workers' is undefined")
    user.edit(template, "worker_processes {{ workers }};", "worker_processes 2;")
    user.edit(user.checkout / "templates" / "prometheus.yml.j2", "scrape_timeout", "scrape_timout")
    user.wait("field scrape_timout not found")
    reloader = user.checkout / "templates" / "reloader.py"
    (old,) = [line for line in user.left() if "reloader.py" in line]
    user.edit(reloader, "POLL_SECONDS = 0.05", "POLL_SECONDS = 0.05 +")
    user.wait("not applied: invalid syntax (reloader.py")
    assert old in user.left()
    user.edit(reloader, "POLL_SECONDS = 0.05 +", "POLL_SECONDS = 0.06")
    until(lambda: len({line for line in user.left() if "reloader.py" in line} - {old}) == 1, "a new reloader")
    user.edit(user.stack_file, "queueLength: 40", "queueLength: 50")
    user.wait("in flight at most qwen2-5-7b 58,")  # two engines of four slots, and fifty that wait
    user.edit(user.stack_file, "maxNumSeqs: 4", "maxNumSeqs: 8")
    user.wait("a change of models needs other engines")
    assert chat() is not None

    process.send_signal(signal.SIGINT)
    assert process.wait(HEALTH_SECONDS) == 130, user.out.read_text()
    assert user.left() == []


def test_a_command_that_is_killed_takes_its_processes_with_it(user: User) -> None:
    process = user.up(engines=1)
    user.wait("Nginx accepted the configuration")
    assert len(user.left()) > 5
    process.kill()
    process.wait(HEALTH_SECONDS)
    until(lambda: user.left() == [], "all of them have ended")


def test_a_process_that_dies_is_reported_and_ends_the_run(user: User) -> None:
    process = user.up(engines=1)
    user.wait("Nginx accepted the configuration")
    (prometheus,) = [line for line in user.left() if "--web.listen-address" in line]
    os.kill(int(prometheus.split()[0]), signal.SIGKILL)
    assert process.wait(HEALTH_SECONDS) == 1
    output = user.out.read_text()
    assert f"error: prometheus was killed by signal 9; from {user.folder}" in output
    assert "Server is ready to receive web requests" in output
    assert user.left() == []
