"""The storage classes of a local cluster, the same ones whether its volumes are real or simulated."""

from typing import Any

from tierup.local.node.config import PROVISIONER

# Access modes and binding mode: a network export is bound when claimed, a block device when its pod is scheduled.
SHARED = "shared"
_CLASSES = {
    SHARED: (["ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce"], "Immediate"),
    "standard": (["ReadWriteOnce"], "WaitForFirstConsumer"),
}
_DEFAULT = "standard"


def access_modes(name: str) -> list[str]:
    """What a volume of the class can do."""
    return _CLASSES[name][0]


def made_in_advance(name: str) -> dict[str, Any]:
    """The class whose volumes exist before their claims."""
    return _storage_class(name) | {"provisioner": "kubernetes.io/no-provisioner", "reclaimPolicy": "Retain"}


def made_on_demand() -> list[dict[str, Any]]:
    """The classes whose volumes a real node's provisioner makes for a claim and removes with it."""
    return [
        _storage_class(name)
        | {
            "provisioner": PROVISIONER,
            "reclaimPolicy": "Delete",
            "parameters": {"accessModes": ",".join(access_modes(name))},
        }
        for name in _CLASSES
    ]


def _storage_class(name: str) -> dict[str, Any]:
    default = {"storageclass.kubernetes.io/is-default-class": "true"} if name == _DEFAULT else {}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": default},
        "volumeBindingMode": _CLASSES[name][1],
    }
