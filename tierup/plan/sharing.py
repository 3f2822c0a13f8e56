"""Resolves how engines share the cards: what one share has of a card, and by which resource pods ask for it."""

import math
from fractions import Fraction

from tierup.catalog import Gpu
from tierup.plan.model import NodePlan, SharingPlan
from tierup.sizing.types import default_utilization
from tierup.stack.cluster import GPU_RESOURCE
from tierup.stack.sections import Sharing

# Of a slice's part of the memory, after what the driver keeps: 16.00 of 17.55 GiB of an H200's 1g.18gb, by its
# `nvidia-smi mig -lgip`. Other cards are assumed to be alike.
_USABLE = 0.91


def share_of(section: Sharing | None, gpu: Gpu, resource: str | None) -> tuple[Gpu, SharingPlan | None]:
    """One share of a card, and how it is shared; `resource` is the one that the stack file states.

    A known profile is required. MIG strategy `mixed` is assumed unless the resource is that of whole GPUs.
    """
    if section is None:
        return gpu, None
    if section.mig is not None:
        return _mig(section.mig, gpu, resource)
    count = section.time_slices or 1
    suffix = "-SHARED" if resource in (None, GPU_RESOURCE) else ""
    part = _scaled(gpu, memory=1.0, bandwidth=1 / count, compute=1 / count, suffix=suffix)
    return part, SharingPlan(None, count, GPU_RESOURCE)


def _mig(name: str, gpu: Gpu, resource: str | None) -> tuple[Gpu, SharingPlan]:
    profiles = gpu.mig_profiles
    profile = profiles[name]
    memory = profile.memory_slices / max(item.memory_slices for item in profiles.values())
    compute = Fraction(_sms(name), max(map(_sms, profiles)))
    suffix = f"-MIG-{name}" if resource == GPU_RESOURCE else ""
    part = _scaled(gpu, memory=memory * _USABLE, bandwidth=memory, compute=float(compute), suffix=suffix)
    return part, SharingPlan(name, profile.instances, f"nvidia.com/mig-{name}")


def _sms(profile: str) -> int:
    """Compute slices of a profile, which its name begins with."""
    return int(profile.partition("g.")[0])


def _scaled(gpu: Gpu, *, memory: float, bandwidth: float, compute: float, suffix: str) -> Gpu:
    rates = {
        name: rate.model_copy(update={"value": rate.value * compute})
        for name in type(gpu.dense_tflops).model_fields
        if (rate := getattr(gpu.dense_tflops, name)) is not None
    }
    label, size, speed = gpu.product_label, gpu.memory_mib, gpu.bandwidth_gb_s
    return gpu.model_copy(
        update={
            "product_label": label.model_copy(update={"value": label.value + suffix}),
            "memory_mib": size.model_copy(update={"value": int(size.value * memory)}),
            "bandwidth_gb_s": speed.model_copy(update={"value": speed.value * bandwidth}),
            "dense_tflops": gpu.dense_tflops.model_copy(update=rates),
        }
    )


def usual_utilization(nodes: NodePlan) -> float:
    """The share of a GPU's memory that an engine takes by default; time slices divide it among them."""
    usual = default_utilization(nodes.gpu)
    if nodes.sharing is None or nodes.sharing.profile is not None:
        return usual
    return math.floor(usual / nodes.sharing.per_card * 1000) / 1000
