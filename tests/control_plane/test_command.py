"""`tierup local` as a new user runs it: one command up, one down, and none of their files change."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_user import TIERUP, User

SECRET = "  tierup:secret-grafana-admin:\n    secure: v1:of:another:passphrase\n"
ELSEWHERE = "  tierup:cluster:\n    kubeconfig: /no/such/file\n    context: production\n"


@pytest.fixture
def user(tmp_path: Path, cluster_root: Path) -> Iterator[User]:
    assert cluster_root, "the toolchain exists"
    made = User(tmp_path)
    yield made
    made.run("local", "down", "--all")


def test_up_status_env_and_down_of_two_stacks_leave_the_users_files_alone(user: User) -> None:
    stack_file = user.checkout / "stacks" / "Pulumi.standard.yaml"
    stack_file.write_text(stack_file.read_text().replace("  tierup:cluster:\n", ELSEWHERE) + SECRET)
    assert ELSEWHERE in stack_file.read_text()
    before = user.files()
    up = user.run("local", "up", "--stack", "standard")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "standard-gpu-1  serving  2 of 2 GPUs used (NVIDIA-A100-80GB-PCIe)" in up.stdout
    assert "standard-gpu-2  standby-cold  0 of 2 GPUs used" in up.stdout
    assert 'models: ["qwen2.5-7b"]' in up.stdout
    assert len(up.stdout.splitlines()) < 120, "a page, not a log"
    again = user.run("local", "up", "--stack", "entry")
    assert again.returncode == 0, again.stdout + again.stderr
    status = user.run("local", "status").stdout
    assert "standard: ready at https://127.0.0.1:" in status
    assert "entry: ready at https://127.0.0.1:" in status
    lines = user.run("local", "env", "--stack", "standard").stdout
    shell = subprocess.run(
        [
            "bash",
            "-euc",
            f"{lines}\npulumi stack output gateway --stack standard\nkubectl get namespace tierup-standard -o name",
        ],
        env=user.env,
        text=True,
        capture_output=True,
        check=True,
    )
    assert shell.stdout.splitlines() == [
        "http://gateway.tierup-standard.svc:8080",
        "namespace/tierup-standard",
    ]
    assert user.run("local", "down", "--stack", "entry").stdout == "local cluster entry: removed\n"
    assert user.run("local", "down", "--all").stdout == "local cluster standard: removed\n"
    assert user.run("local", "status").stdout == "no local cluster\n"
    assert user.files() == before
    assert not (user.home / ".kube" / "config").exists()  # kubectl itself keeps a cache next to it
    assert not (user.home / ".pulumi").exists()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_local_up_lets_pulumi_finish_and_running_it_again_works(
    user: User, sent: signal.Signals
) -> None:
    # A shell that starts the tests in the background ignores SIGINT for all of them; a terminal does not.
    command = ["env", "--default-signal=INT", TIERUP, "local", "up", "--stack", "entry"]
    running = subprocess.Popen(
        command,
        cwd=user.checkout,
        env=user.env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if "namespace-tierup-entry created" in line:
            break
    os.killpg(running.pid, sent)  # as a terminal does: the whole group
    output, _ = running.communicate(timeout=300)
    assert running.returncode == 130, output
    assert "interrupted: pulumi is finishing its running steps" in output
    assert "Traceback" not in output
    again = user.run("local", "up", "--stack", "entry")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "cancelling an earlier update" not in again.stdout, "pulumi released its lock"


def test_a_user_mistake_is_one_message_and_starts_nothing(user: User) -> None:
    unknown = user.run("local", "up", "--stack", "standart")
    assert unknown.returncode == 1
    assert "TIER011 Pulumi.standart.yaml: there is no such stack file" in unknown.stderr
    stack_file = user.checkout / "stacks" / "Pulumi.entry.yaml"
    stack_file.write_text(stack_file.read_text().replace("users: 40", "users: many"))
    broken = user.run("local", "up", "--stack", "entry")
    assert broken.returncode == 1
    assert "TIER005 workload.users" in broken.stderr
    toolless = user.run("local", "up", "--stack", "premium", TIERUP_CACHE=str(user.home / "empty"))
    assert toolless.returncode == 1
    assert "make toolchain" in toolless.stderr
    neither = user.run("local", "down")
    assert neither.returncode == 2
    for result in (unknown, broken, toolless, neither):
        assert "Traceback" not in result.stderr
    assert user.run("local", "status").stdout == "no local cluster\n"
