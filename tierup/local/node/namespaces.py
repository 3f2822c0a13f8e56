"""The namespaces of a local node: what it mounts and configures in the network is gone when its last process ends."""

import contextlib
import ipaddress
import json
import secrets
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tierup.local.machine import processes

HOLDER = "namespaces"  # the process that keeps the namespaces while nothing else runs in them
_NETWORK = ipaddress.ip_network(
    "198.18.0.0/15"
)  # RFC 2544, for benchmarks: no real machine has such an address
_START_TIMEOUT_S = 30.0
# kubelet sets these of the kernel, for all of the machine; here it finds them already set, in its own mounts only.
SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_SETUP = """
set -eu
mount --make-rshared /  # a mount of kubelet must be visible in its pods
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind "$0/log" /var/log
mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$0/var-lib,workdir=$0/var-lib-work" /var/lib
while IFS="$(printf '\t')" read -r target source; do
    [ ! -d "$source" ] || mkdir -p "$target"
    mount --bind "$source" "$target"
done <"$0/mounts"
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
touch "$0/namespaces-made"
exec sleep infinity
"""


def free_network(taken: Iterable[str] = ()) -> str:
    """A /30 that no interface of this machine uses and that is not taken, as text; its hosts are a link's two ends."""
    used = [ipaddress.ip_network(network) for network in taken]
    used += [
        ipaddress.ip_network(f"{address['local']}/{address['prefixlen']}", strict=False)
        for link in json.loads(_run("ip", "-json", "-4", "address", "show"))
        for address in link.get("addr_info", ())
    ]
    subnets = _NETWORK.num_addresses // 4
    for _ in range(100):
        first = _NETWORK.network_address + 4 * secrets.randbelow(subnets)
        network = ipaddress.ip_network(f"{first}/30")
        if not any(network.overlaps(other) for other in used):
            return str(network)
    raise OSError(f"no free network in {_NETWORK}")


def hosts(network: str) -> tuple[str, str]:
    """The addresses of the two ends of a link in a /30; the second one is the node's."""
    other, node = ipaddress.ip_network(network).hosts()
    return str(other), str(node)


def describe(folder: Path, data: Path, mounts: Mapping[str, Path]) -> None:
    """Write what a node's mounts are into its own folder `data` below the cluster's `folder`.

    `mounts` maps paths of the node to the files or folders that it has there; a path may be new below /var/lib.
    Raises OSError with the reason if the folder cannot hold a node.
    """
    # The node would see its own files through the overlay of /var/lib, where its components may not share them.
    if folder.is_relative_to("/var/lib"):
        raise OSError(f"{folder} is below /var/lib - set XDG_STATE_HOME to another folder")
    all_mounts = {f"/proc/sys/{file}": data / "sysctl" / file for file in SYSCTLS} | dict(mounts)
    for file, value in SYSCTLS.items():
        (data / "sysctl" / file).parent.mkdir(parents=True, exist_ok=True)
        (data / "sysctl" / file).write_text(value + "\n")
    for name in ("log", "var-lib", "var-lib-work"):
        (data / name).mkdir(exist_ok=True)
    (data / "mounts").write_text("".join(f"{target}\t{source}\n" for target, source in all_mounts.items()))


def create(folder: Path, data: Path, holder_name: str) -> None:
    """Make the namespaces of the node that `describe` has described. Raises OSError with the reason if that fails."""
    made = data / "namespaces-made"
    made.unlink(missing_ok=True)
    flags = ["--net", "--mount", "--ipc", "--uts", "--propagation", "private"]
    holder = processes.start(holder_name, ["unshare", *flags, "sh", "-c", _SETUP, str(data)], folder)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not made.exists():
        if not processes.alive(holder) or time.monotonic() > deadline:
            raise OSError(f"namespaces: {processes.log_text(folder, holder_name).strip()}")
        time.sleep(0.01)


def connect(folder: Path, holder_name: str, link: str, network: str, outside: Sequence[str] = ()) -> None:
    """Link a node to this machine, or to the network of commands after `outside`, and make that its default route.

    Raises OSError with the reason if that fails.
    """
    other, node = hosts(network)
    length = ipaddress.ip_network(network).prefixlen
    holder = processes.recorded(folder)[holder_name]
    _run(
        *outside, "ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid)
    )
    _run(*outside, "ip", "address", "add", f"{other}/{length}", "dev", link)
    _run(*outside, "ip", "link", "set", link, "up")
    inside = enter(folder, holder_name, "net")
    _run(*inside, "ip", "address", "add", f"{node}/{length}", "dev", "eth0")
    _run(*inside, "ip", "link", "set", "eth0", "up")
    _run(*inside, "ip", "route", "add", "default", "via", other)


def route(network: str, via: str, inside: Sequence[str]) -> None:
    """Send what is for `network` to the address `via`, in the network of commands after `inside`."""
    _run(*inside, "ip", "route", "replace", network, "via", via)


def refuse(network: str, inside: Sequence[str]) -> None:
    """Answer at once that `network` is unreachable where no other route leads, for commands after `inside`."""
    _run(*inside, "ip", "route", "add", "unreachable", network)


def enter(folder: Path, holder_name: str, *kinds: str) -> list[str]:
    """The command that starts another one in a node's namespaces of these kinds (`net`, `mnt`, `ipc`, `uts`)."""
    holder = processes.recorded(folder)[holder_name]
    options = {"mnt": "mount"}
    return ["nsenter", *(f"--{options.get(kind, kind)}=/proc/{holder.pid}/ns/{kind}" for kind in kinds)]


def remove_link(link: str, outside: Sequence[str] = ()) -> None:
    """Remove the link, unless it went with its namespace."""
    with contextlib.suppress(OSError):
        _run(*outside, "ip", "link", "delete", link)


def _run(*command: str) -> str:
    """Standard output; raises OSError with standard error."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise OSError(f"`{' '.join(command)}`: {result.stderr.strip()}")
    return result.stdout
