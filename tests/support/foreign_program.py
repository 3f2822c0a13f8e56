"""A program without any of our components: its plan has types that tierup does not know."""

import pulumi
import pulumi_kubernetes as k8s

SKIP = {"pulumi.com/skipAwait": "true"}


def volume(name: str, storage_class: pulumi.Input[str], size: str) -> k8s.core.v1.PersistentVolumeClaim:
    return k8s.core.v1.PersistentVolumeClaim(
        name,
        metadata={"name": f"{name}-{size.lower()}", "annotations": SKIP},
        spec={
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        },
    )


class Shop(pulumi.ComponentResource):
    """A group of resources; it costs nothing by itself."""

    def __init__(self, name: str) -> None:
        super().__init__("acme:shop:Shop", name, {"size": "large"})
        child = pulumi.ResourceOptions(parent=self)
        k8s.apiextensions.CustomResource(
            "orders",
            api_version="acme.example.com/v1",
            kind="Database",
            metadata={"name": "orders"},
            spec={"nodes": 3},
            opts=child,
        )
        k8s.networking.v1.Ingress(
            "shop",
            metadata={"name": "shop"},
            spec={"defaultBackend": {"resource": {"kind": "A", "name": "b"}}},
            opts=child,
        )


def pods(labels: dict[str, str], gpus: str, **spec: object) -> dict[str, object]:
    container = {"name": "main", "image": "shop:1", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {"selector": {"matchLabels": labels}, "template": template, **spec}


def main() -> None:
    """First a volume and a password; then, with `tierup:grown`, another volume instead and many more resources."""
    grown = pulumi.Config("tierup").get_bool("grown")
    volume("data", "slow", "200Gi" if grown else "100Gi")
    password = pulumi.Output.secret("correct horse battery staple")
    made = k8s.core.v1.Secret("password", metadata={"name": "password"}, string_data={"password": password})
    if not grown:
        return
    Shop("shop")
    volume("cache", k8s.core.v1.ConfigMap("classes", metadata={"name": "classes"}).id, "1Gi")
    claim = {
        "metadata": {"name": "log"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500M"}}},
    }
    labels = {"app": "queue"}
    service = k8s.core.v1.Service(
        "front",
        metadata={"name": "front"},
        spec={"type": "LoadBalancer", "selector": labels, "ports": [{"port": 80}]},
    )
    k8s.apps.v1.StatefulSet(
        "queue",
        metadata={"name": "queue"},
        spec=pods(labels, "0", replicas=3, serviceName=service.metadata.name, volumeClaimTemplates=[claim]),
        opts=pulumi.ResourceOptions(depends_on=[made]),
    )
    k8s.apps.v1.Deployment(
        "own-model", metadata={"name": "own-model"}, spec=pods({"app": "m"}, "2", replicas=2)
    )


main()
