"""The container of TensorRT-LLM's server. NOT PROVEN: none of it was run, because there is no build without a GPU.

The options come from public sources of the pinned release 1.2.1 and its neighbours, and only what several of
these sources share is used; docs/engines.md lists each with its source.
"""

import math

import yaml

from tierup.catalog import Precision
from tierup.manifests.common import ENGINE_PORT, Manifest
from tierup.manifests.engines.base import OPTIONS_FOLDER, Serving, common_env, without_p2p
from tierup.manifests.weights import folder_in_volume, volume_of
from tierup.plan.capacity import sizing_input
from tierup.plan.model import ModelPlan, Plan
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import memory

OPTIONS = "options.yaml"


def serving(plan: Plan, model: ModelPlan) -> Serving:
    """The container of one model.

    1.2.1 has no option for the served name and none for a drain. The served name is the last part of the model's path,
    so the files are mounted at a path that ends with it. The preStop hook waits until the longest answer is done.
    """
    folder = f"/served/{model.name}"
    return Serving(
        image=plan.images.engine(model.engine),
        command=["trtllm-serve"],
        args=engine_args(plan, model, folder),
        env=common_env(model),
        mounts=[_mount(model, folder)],
        prestop_seconds=model.prestop_seconds + model.drain_seconds,
        options={OPTIONS: yaml.safe_dump(engine_options(plan, model))},
    )


def _mount(model: ModelPlan, folder: str) -> Manifest:
    inside = folder_in_volume(model)
    part = {"subPath": inside} if inside else {}
    return {"name": volume_of(model), "mountPath": folder, **part, "readOnly": True}


def engine_args(plan: Plan, model: ModelPlan, folder: str) -> list[str]:
    """The arguments, by names that `trtllm-serve` accepts from 0.18 to 1.3, some of them as aliases."""
    args = {
        "--host": "0.0.0.0",
        "--port": str(ENGINE_PORT),
        "--backend": "pytorch",
        "--tp_size": str(model.tensor),
        "--pp_size": str(model.pipeline),
        "--max_seq_len": str(model.context),
        "--max_batch_size": str(model.slots),
        "--max_num_tokens": str(sizing_input(plan, model).batched_tokens),  # as in the memory model
        "--extra_llm_api_options": f"{OPTIONS_FOLDER}/{OPTIONS}",
    }
    return [folder, *(part for pair in args.items() for part in pair)]


def engine_options(plan: Plan, model: ModelPlan) -> dict[str, object]:
    """Fields of the release's LLM API arguments that have no command-line option."""
    options: dict[str, object] = {
        "enable_chunked_prefill": True,  # otherwise a prompt longer than max_num_tokens is refused
        "enable_iter_perf_stats": True,
        "kv_cache_config": {
            "dtype": str(model.kv_cache_dtype),
            "free_gpu_memory_fraction": free_memory_share(plan, model),
        },
        "return_perf_metrics": True,  # otherwise there are no Prometheus metrics
    }
    if model.precision is Precision.FP16:
        options["dtype"] = "float16"
    if without_p2p(model):
        options["allreduce_strategy"] = "NCCL"
    return options


def free_memory_share(plan: Plan, model: ModelPlan) -> float:
    """The KV cache's share of the memory that weights and buffers leave free: gives the planned size.

    gpuMemoryUtilization is a share of the GPU's total memory; the rest of it is free too and must stay free.
    """
    gpu = memory(sizing_input(plan, model), load_calibration().values)
    free = gpu.kv + gpu.visible - gpu.budget
    return math.floor(100 * gpu.kv / free) / 100
