"""The policy over Pod Security: pods must meet `restricted`, as the API server of Kubernetes 1.35 checks it.

tests/control_plane compares the results with a real API server.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tierup.policies.pods import Part, containers, pods
from tierup.policies.rule import Problem
from tierup.resources.model import Resource
from tierup.resources.reading import dig, elements, fields, is_hidden, is_other_than, mappings

EXCEPTION = "tierup/pod-security-exception"  # annotation: the reason why these pods cannot be restricted
_LEAST_REASON = 10  # letters, as in the acceptances of a stack file
_VOLUMES = frozenset(
    {
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"),
        *("projected", "secret"),
    }
)
_SYSCTLS = (
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies"),
    *("net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout"),
    *("net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"),
    *("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
)
_PROFILES = ("RuntimeDefault", "Localhost")
_ALLOWED: dict[tuple[str, ...], tuple[object, ...]] = {
    ("privileged",): (False,),
    ("procMount",): ("Default",),
    ("seccompProfile", "type"): _PROFILES,
    ("appArmorProfile", "type"): _PROFILES,
    ("seLinuxOptions", "type"): (
        "",
        "container_t",
        "container_init_t",
        "container_kvm_t",
        "container_engine_t",
    ),
    ("seLinuxOptions", "user"): ("",),
    ("seLinuxOptions", "role"): ("",),
    ("windowsOptions", "hostProcess"): (False,),
}
_CALLERS = (
    *((probe,) for probe in ("livenessProbe", "readinessProbe", "startupProbe")),
    *(("lifecycle", hook) for hook in ("postStart", "preStop")),
)
_HOSTS = [(*keys, way, "host") for keys in _CALLERS for way in ("httpGet", "tcpSocket")]
_ROOT = "may be root"


def exception(resource: Resource) -> str | None:
    """The reason that the resource gives for unrestricted pods; None if it gives none."""
    reason = dig(resource.inputs, "metadata", "annotations", EXCEPTION)
    return reason if isinstance(reason, str) and not is_hidden(reason) else None


def pod_security(resource: Resource) -> Iterator[Problem]:
    """What `restricted` rejects, except in resources that give a reason."""
    problems = [problem for pod in pods(resource) for problem in _pod(pod)]
    reason = exception(resource)
    if not problems or reason is None:
        yield from problems
    elif len(reason.strip()) < _LEAST_REASON:
        yield Problem(f"metadata.annotations[{EXCEPTION}]", "the reason is too short", reason)


def exceptions(resource: Resource) -> Iterator[Problem]:
    """Resources that have unrestricted pods and give a reason."""
    reason = exception(resource)
    if reason is not None and len(reason.strip()) >= _LEAST_REASON:
        count = sum(1 for pod in pods(resource) for _ in _pod(pod))
        if count:
            yield Problem(f"metadata.annotations[{EXCEPTION}]", f"{count} exceptions: {reason.strip()}")


def _pod(pod: Part) -> Iterator[Problem]:
    path, context = f"{pod.path}.securityContext", fields(pod.spec.get("securityContext"))
    own_users = pod.spec.get("hostUsers") is False  # root in such a pod is an unprivileged user on the node
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(key) is True:
            yield Problem(f"{pod.path}.{key}", "shares a namespace of the node")
    yield from _volumes(pod)
    for index, sysctl in mappings(context.get("sysctls")):
        if is_other_than(sysctl.get("name"), *_SYSCTLS):
            yield Problem(
                f"{path}.sysctls[{index}]",
                "is a sysctl that `restricted` does not allow",
                str(sysctl["name"]),
            )
    if context.get("runAsNonRoot") is False and not own_users:
        yield Problem(f"{path}.runAsNonRoot", _ROOT, "false")
    yield from _forbidden(path, context, own_users)
    for item in containers(pod):
        yield from _container(pod, item, own_users)


def _volumes(pod: Part) -> Iterator[Problem]:
    for index, volume in mappings(pod.spec.get("volumes")):
        kinds = {str(key) for key, value in volume.items() if value is not None} - {"name"}
        if not kinds & _VOLUMES:
            got = ", ".join(sorted(kinds)) if kinds else "no type"
            yield Problem(
                f"{pod.path}.volumes[{index}]", "is a volume type that `restricted` does not allow", got
            )


def _forbidden(path: str, context: Mapping[str, Any], own_users: bool) -> Iterator[Problem]:
    """What neither the security context of a pod nor that of a container may set."""
    if context.get("runAsUser") == 0 and not own_users:
        yield Problem(f"{path}.runAsUser", _ROOT, "0")
    for keys, allowed in _ALLOWED.items():
        value = dig(context, *keys)
        if is_other_than(value, *allowed):
            yield Problem(f"{path}.{'.'.join(keys)}", "is not allowed by `restricted`", str(value))


def _container(pod: Part, item: Part, own_users: bool) -> Iterator[Problem]:
    path = f"{item.path}.securityContext"
    yield from _forbidden(path, fields(item.spec.get("securityContext")), own_users)
    if not own_users and _is_not(True, _inherited(pod, item, "runAsNonRoot")):
        yield Problem(f"{path}.runAsNonRoot", _ROOT)
    if dig(pod.spec, "os", "name") != "windows":
        yield from _linux(pod, item, path)
    for index, port in mappings(item.spec.get("ports")):
        if is_other_than(port.get("hostPort"), 0):
            yield Problem(
                f"{item.path}.ports[{index}].hostPort", "uses a port of the node", str(port["hostPort"])
            )
    for keys in _HOSTS:
        if is_other_than(dig(item.spec, *keys), ""):
            yield Problem(
                f"{item.path}.{'.'.join(keys)}",
                "lets the kubelet call another host",
                str(dig(item.spec, *keys)),
            )


def _linux(pod: Part, item: Part, path: str) -> Iterator[Problem]:
    """Checks that do not apply to Windows."""
    context = item.spec.get("securityContext")
    if _is_not(False, dig(context, "allowPrivilegeEscalation")):
        yield Problem(f"{path}.allowPrivilegeEscalation", "may gain privileges")
    if _inherited(pod, item, "seccompProfile", "type") is None:
        yield Problem(f"{path}.seccompProfile.type", "is not set, so every system call is allowed")
    dropped, added = dig(context, "capabilities", "drop"), elements(dig(context, "capabilities", "add"))
    if not is_hidden(dropped) and not any(word == "ALL" or is_hidden(word) for word in elements(dropped)):
        yield Problem(f"{path}.capabilities.drop", "must drop ALL capabilities")
    for word in added:
        if is_other_than(word, "NET_BIND_SERVICE"):
            yield Problem(
                f"{path}.capabilities.add", "adds a capability other than NET_BIND_SERVICE", str(word)
            )


def _inherited(pod: Part, item: Part, *keys: str) -> Any:
    """A setting of the container's security context, else of the pod's."""
    own = dig(item.spec, "securityContext", *keys)
    return own if own is not None else dig(pod.spec, "securityContext", *keys)


def _is_not(wanted: bool, value: object) -> bool:
    return value is not wanted and not is_hidden(value)
