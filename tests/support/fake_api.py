"""A fake Kubernetes API over real HTTP: it serves the objects that a test sets and fails for other paths."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tierup.manifests.common import Manifest
from tierup.resources.identity import STACK_LABEL

NODES = "/api/v1/nodes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
VOLUMES = "/api/v1/persistentvolumes"
GROUPS = "/apis"
VERSION = "/version"
NAMESPACE = "/api/v1/namespaces/tierup-test"
RTX = "NVIDIA-GeForce-RTX-4090"


Answer = tuple[int, Manifest]


class FakeApi:
    """A loopback API server; an unknown path gets a 500 and is recorded in `unknown`.

    `live` answers requests that are not for fixed objects: method, path and body; None leaves them to the others.
    """

    def __init__(self) -> None:
        self.responses: dict[str, tuple[int, bytes]] = {}
        self.missing: set[str] = set()  # paths that get a 404
        self.unknown: list[str] = []
        self.requested: list[str] = []
        self.live: Callable[[str, str, Any], Answer | None] = lambda method, path, body: None
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.requested.append(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                sent = json.loads(self.rfile.read(length)) if length else None
                live = api.live(self.command, self.path, sent)
                if live is not None:
                    status, body = live[0], json.dumps(live[1]).encode()
                elif self.command == "GET" and self.path in api.responses:
                    status, body = api.responses[self.path]
                elif self.command == "GET" and self.path in api.missing:
                    status, body = 404, b'{"kind": "Status", "code": 404}'
                else:
                    api.unknown.append(self.path)
                    status, body = 500, b"unknown path"
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_DELETE = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def has(self, path: str, *items: Manifest) -> None:
        self.responses[path] = (200, json.dumps({"items": items}).encode())

    def holds(self, path: str, item: Manifest) -> None:
        self.responses[path] = (200, json.dumps(item).encode())


def kubeconfig(folder: Path, server: str, *contexts: str) -> str:
    named = contexts if contexts else ("test",)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": named[0],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in named],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return str(path)


def gpu_node(name: str, product: str = RTX, gpus: int = 2, owner: str | None = None) -> Manifest:
    owned = {} if owner is None else {STACK_LABEL: owner}
    labels = {"nvidia.com/gpu.product": product, **owned}
    metadata = {"name": name, "uid": f"{name}-uid", "labels": labels}
    return {"metadata": metadata, "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}}}


def cluster_wide(api: FakeApi) -> None:
    """A current cluster without any of the plan's objects outside its namespace."""
    api.holds(VERSION, {"major": "1", "minor": "35", "gitVersion": "v1.35.4"})
    api.holds(GROUPS, {"groups": [{"name": "apps"}, {"name": "metrics.k8s.io"}]})
    api.missing |= {
        NAMESPACE,
        "/apis/scheduling.k8s.io/v1/priorityclasses/tierup-test-model-server",
        "/api/v1/persistentvolumes/tierup-test-models",
    }


def collections() -> list[str]:
    parts = {
        "/api/v1": ("configmaps", "persistentvolumeclaims", "resourcequotas", "serviceaccounts", "services"),
        "/apis/apps/v1": ("daemonsets", "deployments"),
        "/apis/autoscaling/v2": ("horizontalpodautoscalers",),
        "/apis/networking.k8s.io/v1": ("networkpolicies",),
        "/apis/policy/v1": ("poddisruptionbudgets",),
    }
    return [f"{root}/namespaces/tierup-test/{plural}" for root, names in parts.items() for plural in names]


def with_namespace(api: FakeApi, stack: str | None) -> None:
    cluster_wide(api)
    for path in collections():
        api.has(path)
    labels = {} if stack is None else {"labels": {STACK_LABEL: stack}}
    api.holds(NAMESPACE, {"metadata": {"name": "tierup-test", "uid": "ns", **labels}})


def labelled(name: str, uid: str, **annotations: str) -> Manifest:
    return {
        "metadata": {
            "name": name,
            "uid": uid,
            "labels": {STACK_LABEL: "test"},
            "annotations": {f"tierup/{key}": value for key, value in annotations.items()},
        }
    }


def storage_class(name: str, provisioner: str, default: bool = False) -> Manifest:
    marks = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}} if default else {}
    return {"metadata": {"name": name, **marks}, "provisioner": provisioner}
