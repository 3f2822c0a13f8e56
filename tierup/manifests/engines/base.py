"""The settings of a model's container that an engine defines, and those that all engines share."""

from dataclasses import dataclass, field

from tierup.manifests.common import Manifest
from tierup.manifests.weights import files_path
from tierup.plan.model import ModelPlan
from tierup.plan.vocabulary import VARIABLE, vocabulary_of

SCRATCH = "/scratch"
OPTIONS_FOLDER = "/etc/engine"


@dataclass(frozen=True, slots=True)
class Serving:
    """The settings of one model's container.

    `mounts` are the volume mounts of the model files, on the volume `models`. `options` are the files in
    OPTIONS_FOLDER, text by name. `prestop_seconds` is how long a terminating pod keeps serving before it gets SIGTERM.
    """

    image: str
    command: list[str]
    args: list[str]
    env: dict[str, str]
    mounts: list[Manifest]
    prestop_seconds: int
    options: dict[str, str] = field(default_factory=dict)


def common_env(model: ModelPlan) -> dict[str, str]:
    """Environment variables: no network, no telemetry, and every cache on the one writable volume."""
    env = {
        "HOME": SCRATCH,
        "HF_HOME": f"{SCRATCH}/hf",
        "HF_HUB_OFFLINE": "1",
        "XDG_CACHE_HOME": f"{SCRATCH}/cache",
        "TRITON_CACHE_DIR": f"{SCRATCH}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{SCRATCH}/inductor",
        "DO_NOT_TRACK": "1",
    }
    if vocabulary_of(model.spec) is not None and model.weights.fetched:
        env[VARIABLE] = files_path(model)  # the fetch writes it there
    if without_p2p(model):
        env["NCCL_P2P_DISABLE"] = "1"
    return env


def without_p2p(model: ModelPlan) -> bool:
    """Whether the GPUs of one replica must not use peer-to-peer access."""
    return model.tensor > 1 and not model.p2p
