"""The model servers of a tier: the model cache and one engine Deployment per model."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.kube import Kube, prerequisites
from tierup.manifests import model_cache, model_server
from tierup.plan.model import ModelPlan, Plan
from tierup.resources.kinds import MODEL


@dataclass(frozen=True)
class ModelCacheArgs:
    plan: Plan
    kube: Kube
    after: Sequence[pulumi.Resource]


class ModelCache(pulumi.ComponentResource):
    """Model files, downloaded once and pinned by revision, and the objects that all model servers share."""

    resources: dict[str, pulumi.CustomResource]
    prerequisites: list[pulumi.CustomResource]  # for model servers, whose pods wait for the files themselves

    def __init__(self, name: str, args: ModelCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        props = {
            "files": {
                **{model.name: model.origin for model in args.plan.models},
                **{
                    item.name: f"{item.repo}@{item.revision}"
                    for model in args.plan.models
                    for item in model.settings.adapters
                },
            }
        }
        super().__init__("tierup:model:ModelCache", name, props, opts)
        manifests = [*model_server.shared_objects(args.plan), *model_cache.objects(args.plan)]
        self.resources = args.kube.apply(manifests, self, depends_on=args.after)
        self.prerequisites = prerequisites(manifests, self.resources)
        self.register_outputs(props)


@dataclass(frozen=True)
class ModelServerArgs:
    plan: Plan
    model: ModelPlan
    kube: Kube
    after: Sequence[pulumi.Resource]


class ModelServer(pulumi.ComponentResource):
    """One served model."""

    resources: dict[str, pulumi.CustomResource]

    def __init__(self, name: str, args: ModelServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        model = args.model
        props = {
            "name": model.name,
            "model": model.spec_id,
            "precision": str(model.precision),
            "engine": str(model.engine),
            "tensorParallel": model.tensor,
            "pipelineParallel": model.pipeline,
            "replicas": model.replicas,
            "gpusPerReplica": model.gpus,
            "context": model.context,
            "maxNumSeqs": model.slots,
        }
        super().__init__(MODEL, name, props, opts)
        self.resources = args.kube.apply(model_server.objects(args.plan, model), self, depends_on=args.after)
        self.register_outputs(props)
