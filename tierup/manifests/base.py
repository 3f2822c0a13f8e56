"""The base objects of a tier: namespace, quota, priority class and the default-deny network policy."""

from tierup.manifests.common import IMAGE_PULL, Manifest, SecretRef, obj
from tierup.plan.model import Plan
from tierup.resources.identity import RETAIN_ANNOTATION

COMPONENT = "base"
POD_SECURITY = "restricted"


def priority_class_name(plan: Plan) -> str:
    """Cluster-wide name of the model servers' priority class: the cluster's own, or the stack's."""
    own = plan.cluster.priority_class_name
    return own if own is not None else f"tierup-{plan.stack}-model-server"


def objects(plan: Plan) -> list[Manifest]:
    """Namespace with Pod Security labels, quota, priority class, default-deny network policy."""
    return [namespace(plan), *inside(plan)]


def inside(plan: Plan) -> list[Manifest]:
    """The other base objects, which must exist before the first pod."""
    first = [] if plan.cluster.priority_class_name is not None else [_priority_class(plan)]
    return [*first, _quota(plan), _default_deny(plan), *_image_pull(plan)]


def namespace(plan: Plan) -> Manifest:
    """The stack's namespace; every pod in it must meet Pod Security `restricted`."""
    manifest = obj(plan, "v1", "Namespace", plan.namespace, COMPONENT, namespaced=False)
    levels = {f"pod-security.kubernetes.io/{mode}": POD_SECURITY for mode in ("enforce", "audit", "warn")}
    manifest["metadata"]["labels"].update(levels)
    if plan.monitoring.retain:  # a claim lives no longer than its namespace
        manifest["metadata"]["annotations"] = {RETAIN_ANNOTATION: "true"}
    return manifest


def _priority_class(plan: Plan) -> Manifest:
    return obj(
        plan,
        "scheduling.k8s.io/v1",
        "PriorityClass",
        priority_class_name(plan),
        COMPONENT,
        namespaced=False,
        value=100_000,
        # A model server takes minutes to start: it is scheduled first, but never preempts another pod.
        preemptionPolicy="Never",
        description=f"Model servers of the stack {plan.stack}",
    )


def _quota(plan: Plan) -> Manifest:
    """What the tier's servers have, plus the one pod per model that may wait for a GPU during a rollout."""
    surge = sum(model.gpus * model.rollout.max_surge for model in plan.models)
    hard = {
        f"requests.{plan.cluster.gpu_resource}": str(plan.nodes.gpus_schedulable + surge),
        "services.loadbalancers": "1" if plan.gateway.service_type == "LoadBalancer" else "0",
        "services.nodeports": "1" if plan.gateway.service_type == "LoadBalancer" else "0",
    }
    return obj(plan, "v1", "ResourceQuota", "tier", COMPONENT, spec={"hard": hard})


def _image_pull(plan: Plan) -> list[Manifest]:
    if IMAGE_PULL not in plan.secrets:
        return []
    data = {".dockerconfigjson": SecretRef(IMAGE_PULL)}
    kind = "kubernetes.io/dockerconfigjson"
    return [obj(plan, "v1", "Secret", IMAGE_PULL, COMPONENT, type=kind, stringData=data)]


def _default_deny(plan: Plan) -> Manifest:
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return obj(plan, "networking.k8s.io/v1", "NetworkPolicy", "default-deny", COMPONENT, spec=spec)
