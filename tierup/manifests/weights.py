"""The files of a model as its pods see them: fetched ones in the cache, others in a volume of their own."""

from tierup.manifests.common import MODEL_FETCH, Manifest, obj
from tierup.plan.model import AdapterPlan, ModelPlan, Plan
from tierup.resources.identity import STACK_LABEL
from tierup.stack.sections import WeightsFrom

MOUNT = "/models"  # the cache: what was fetched
OWN_MOUNT = "/weights"  # files that are in the cluster already
VOLUME, OWN_VOLUME = "models", "weights"
# Nominal: a folder has the size of its disk, and a claim cannot shrink with the plan.
NODE_STORAGE = "1Ti"


def files_path(model: ModelPlan) -> str:
    """The folder of the model's files in its container."""
    if model.weights.fetched:
        return f"{MOUNT}/{model.path}"
    inside = folder_in_volume(model)
    return f"{OWN_MOUNT}/{inside}" if inside else OWN_MOUNT


def folder_in_volume(model: ModelPlan) -> str:
    """The folder of the model's files in the volume that holds them; empty: the root."""
    if model.weights.fetched:
        return model.path
    return "" if model.weights.source is WeightsFrom.FOLDER else model.weights.folder


def volume_of(model: ModelPlan) -> str:
    """The volume of the pod that holds the model's files."""
    return VOLUME if model.weights.fetched else OWN_VOLUME


def mounts(model: ModelPlan) -> list[Manifest]:
    """What a container that reads the model's files mounts."""
    cache = [{"name": VOLUME, "mountPath": MOUNT, "readOnly": True}] if model.mounts_cache else []
    own = [] if model.weights.fetched else [{"name": OWN_VOLUME, "mountPath": OWN_MOUNT, "readOnly": True}]
    return [*cache, *own]


def own_volumes(model: ModelPlan) -> list[Manifest]:
    """The volume of files that are in the cluster already; none for fetched ones."""
    weights = model.weights
    if weights.fetched:
        return []
    if weights.source is WeightsFrom.IMAGE:
        return [{"name": OWN_VOLUME, "image": {"reference": weights.image, "pullPolicy": "IfNotPresent"}}]
    claim = weights.claim if weights.source is WeightsFrom.CLAIM else _claim_name(model)
    return [{"name": OWN_VOLUME, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}]


def wait_script(model: ModelPlan) -> str:
    """Waits for fetched files; what is in the cluster already is there, or the pod says what is missing."""
    files: list[ModelPlan | AdapterPlan] = [
        *([model] if model.weights.fetched else []),
        *model.settings.adapters,
    ]
    steps = [
        f'until [ -f "{MOUNT}/{item.path}/.complete" ]; do echo "waiting for {item.path}"; sleep 2; done'
        for item in files
    ]
    if not model.weights.fetched:
        config = f"{files_path(model)}/config.json"
        steps.append(f'[ -f "{config}" ] || {{ echo "{model.weights} has no config.json"; exit 1; }}')
    return "; ".join(steps)


def node_folder(plan: Plan, model: ModelPlan) -> list[Manifest]:
    """A volume for the same folder on each of the stack's nodes, and the claim on it; a hostPath would not pass
    Pod Security `restricted`.
    """
    if model.weights.source is not WeightsFrom.FOLDER:
        return []
    name, match = (
        f"tierup-{plan.stack}-weights-{model.slug}",
        [{"key": STACK_LABEL, "operator": "In", "values": [plan.stack]}],
    )
    spec = {
        "capacity": {"storage": NODE_STORAGE},
        "accessModes": ["ReadOnlyMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": name,
        "local": {"path": model.weights.folder},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": match}]}},
    }
    claim = {
        "accessModes": ["ReadOnlyMany"],
        "resources": {"requests": {"storage": NODE_STORAGE}},
        "storageClassName": name,
        "volumeName": name,
    }
    # A claim is bound with its first pod, which waits for other objects.
    skip = {"pulumi.com/skipAwait": "true"}
    return [
        obj(plan, "v1", "PersistentVolume", name, MODEL_FETCH, namespaced=False, spec=spec),
        obj(
            plan, "v1", "PersistentVolumeClaim", _claim_name(model), MODEL_FETCH, annotations=skip, spec=claim
        ),
    ]


def _claim_name(model: ModelPlan) -> str:
    return f"weights-{model.slug}"
