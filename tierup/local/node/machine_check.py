"""Whether this machine can run a real node, and if not, why."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tierup.local.node import cgroups
from tierup.local.node.node import COMPONENTS
from tierup.local.toolchain import ToolMissing, tool, toolchain_dir

TOOLS = (*COMPONENTS, "runc", "ctr", "nft", "busybox", "coredns", "metrics-server")

# Kubelet's longest socket below a cluster's folder; its name ends with a random number of 32 bits.
_SOCKET = "/node-2/kubelet/pod-resources/4294967295"
_LONGEST_SOCKET = 107  # bytes: Linux, unix(7)


def too_long(folder: Path) -> str | None:
    """Why the sockets of a node in this cluster's folder cannot have their paths; None if they can."""
    most = _LONGEST_SOCKET - len(_SOCKET)
    used = len(os.fsencode(folder))
    if used <= most:
        return None
    problem = f"the path {folder} is too long for kubelet's sockets"
    return f"{problem} (got {used} bytes; allowed {most}) - set XDG_STATE_HOME"


def problems() -> list[str]:
    """Why this machine cannot run a real node, each with what to do; empty if it can."""
    found = []
    if os.geteuid() != 0:
        found.append("it needs root - run the command with sudo, or leave out `--node real`")
    missing = [
        name for name in ("unshare", "nsenter", "setpriv", "mount", "ip") if shutil.which(name) is None
    ]
    if missing:
        found.append(f"missing {', '.join(missing)} - sudo apt-get install util-linux mount iproute2")
    for name in TOOLS:
        try:
            tool(name)
        except ToolMissing as error:
            found.append(str(error))
    if not found and (reason := _refusal()):
        found.append(f"this machine refuses what a node needs ({reason}) - use a virtual machine")
    return found


# In namespaces of its own, so that nothing is left: what a node does, each step once.
_PROBE = """
set -eu
cd "$0"
mount --make-rshared /
mount -t tmpfs tmpfs . && cd "$0" && mkdir lower upper work merged
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
echo 1 >one && mount --bind one /proc/sys/vm/overcommit_memory
ip link add probe0 type veth peer name probe1
"$1/nft" 'table ip probe { chain out { type nat hook output priority -100; ip daddr 192.0.2.1 counter; }; }'
"$1/network-policy-enforcer" -check
"""


def _refusal() -> str | None:
    """What this machine refuses of all that a node does; None if it refuses nothing."""
    for group in (root / f"tierup-probe-{os.getpid()}" for root in cgroups.hierarchies()):
        try:
            group.mkdir()
            group.rmdir()
        except OSError as error:
            return f"{group}: {error.strerror}"
    with tempfile.TemporaryDirectory() as folder:
        command = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", _PROBE, folder]
        environment = {**os.environ, "LD_LIBRARY_PATH": str(toolchain_dir())}
        result = subprocess.run(
            [*command, str(toolchain_dir())], env=environment, capture_output=True, text=True, check=False
        )
    return result.stderr.strip() if result.returncode else None
