"""Latency and throughput: laws that hold with any coefficients, and steps computed by hand."""

from dataclasses import replace
from itertools import pairwise

import pytest

from tierup.catalog import Gpu, Precision, load_catalog
from tierup.sizing import Bottleneck, Sizing, SizingInput, load_shapes, size
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.fit import PRIOR, TABLE
from tierup.sizing.step import Steps, peak_tflops

CATALOG = load_catalog()
SHAPES, GPUS = load_shapes(), CATALOG.gpus
LOADS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def sizing_input(model: str = "qwen2.5-7b", gpu: str = "a100-80g-pcie", **more: object) -> SizingInput:
    return replace(SizingInput(SHAPES[model], gpu, GPUS[gpu]), **more)  # type: ignore[arg-type]


def faster(gpu: Gpu, **factors: float) -> Gpu:
    fields = {}
    for name, factor in factors.items():
        field = getattr(gpu, name)
        value = type(field.value)(field.value * factor)
        fields[name] = field.model_copy(update={"value": value, "low": None, "high": None})
    return gpu.model_copy(update=fields)


def points(sizing: Sizing) -> tuple[float, float, float, float]:
    assert sizing.ttft_ms is not None
    assert sizing.tpot_ms is not None
    assert sizing.e2e_ms is not None
    assert sizing.req_s is not None
    return sizing.ttft_ms.p50, sizing.tpot_ms.p50, sizing.e2e_ms.p50, sizing.req_s.p50


# One card of each class of measurements, and the smallest; with weights of 16 bits, weight-only and of 8 bits.
GPUS_AND_PRECISIONS = [
    (gpu, precision)
    for gpu in ("a100-80g-pcie", "h100-80g-sxm", "rtx-4090", "rtx-3090", "l4")
    for precision in (Precision.BF16, Precision.AWQ, Precision.INT8)
]


@pytest.mark.parametrize(("gpu", "precision"), GPUS_AND_PRECISIONS)
def test_more_users_never_make_anything_faster_or_the_tier_slower(gpu: str, precision: Precision) -> None:
    sizings = [size(sizing_input(gpu=gpu, precision=precision, concurrency=users)) for users in LOADS]
    series = [points(sizing) for sizing in sizings]
    for (before, after), last in zip(pairwise(series), sizings[1:], strict=True):
        assert after[0] >= before[0] * 0.999
        assert after[1] >= before[1] * 0.999
        assert after[2] >= before[2] * 0.999
        # bunched prefills may cost a little; sequences preempted for lack of space are computed twice
        assert after[3] >= before[3] * (0.85 if last.bottleneck is Bottleneck.KV_SPACE else 0.98)
        assert min(after) > 0


def test_more_memory_holds_more_and_is_never_slower() -> None:
    base = sizing_input("llama-3.1-8b", "rtx-4090", concurrency=200, prompt=1024)
    large = replace(base, gpu=faster(base.gpu, memory_mib=2.0))
    before, after = size(base), size(large)
    assert after.kv_tokens > 2 * before.kv_tokens
    assert points(after)[0] < points(before)[0]
    assert points(after)[3] > points(before)[3]


def test_more_bandwidth_speeds_up_decoding_and_at_most_in_proportion() -> None:
    base = sizing_input(gpu="rtx-4090", concurrency=8)
    quick = replace(base, gpu=faster(base.gpu, bandwidth_gb_s=2.0))
    before, after = points(size(base))[1], points(size(quick))[1]
    assert before / 2 < after < before


@pytest.mark.parametrize("users", [16, 64, 256])
def test_two_replicas_serve_twice_the_users_at_the_same_speed(users: int) -> None:
    one = points(size(sizing_input(concurrency=users)))
    two = points(size(sizing_input(concurrency=2 * users, replicas=2)))
    assert two[:3] == pytest.approx(one[:3])
    assert two[3] == pytest.approx(2 * one[3])


@pytest.mark.parametrize("users", [1, 30, 100, 300, 900])
def test_littles_law(users: int) -> None:
    _, _, e2e, rate = points(size(sizing_input("llama-3.1-8b", "l40s", concurrency=users)))
    assert rate * e2e / 1e3 == pytest.approx(users, rel=1e-6)


def test_an_arrival_rate_gives_the_speed_of_the_users_it_keeps_in_flight() -> None:
    closed = size(sizing_input(concurrency=20))
    sizing = size(sizing_input(rate=points(closed)[3]))
    assert points(sizing)[1] == pytest.approx(points(closed)[1], rel=0.01)
    assert points(sizing)[0] <= points(closed)[0]


def test_a_rate_above_capacity_has_no_latency() -> None:
    sizing = size(sizing_input(gpu="l4", rate=500))
    assert sizing.bottleneck is Bottleneck.RATE
    assert sizing.ttft_ms is None
    assert sizing.e2e_ms is None
    assert sizing.req_s is not None
    assert sizing.req_s.p50 < 500


def test_shorter_work_is_faster() -> None:
    base = sizing_input(concurrency=50)
    for change in ({"prompt": 256}, {"prefix_hit": 0.5}, {"answer": 100}):
        assert points(size(replace(base, **change)))[2] < points(size(base))[2]


def test_a_burst_waits_longer_for_its_first_token_than_one_user() -> None:
    waits = [points(size(sizing_input(concurrency=users, burst=True)))[0] for users in LOADS]
    assert waits == sorted(waits)


def test_kv_space_is_named_when_it_is_the_bottleneck() -> None:
    sizing = size(sizing_input("llama-3.1-8b", "rtx-4090", concurrency=400, prompt=4000, answer=500))
    assert sizing.bottleneck is Bottleneck.KV_SPACE
    assert (
        size(sizing_input("qwen2.5-7b", "h200-141g", concurrency=400, max_num_seqs=64)).bottleneck
        is Bottleneck.SLOTS
    )


# Computed by hand: Qwen2.5-7B reads 6.525e9 + 0.545e9 weights of two bytes a step, 14.14 GB; A100 PCIe 1935 GB/s


def test_one_step_reads_the_weights_without_the_embedding() -> None:
    terms = Steps(sizing_input()).decode(1, 0)
    assert terms["bandwidth.hbm"] == pytest.approx(14.14e9 / 1935e9 * 1e3, rel=0.001)
    assert terms["overhead.a100"] == 1.0


def test_one_token_of_context_reads_57344_bytes() -> None:
    empty, filled = (Steps(sizing_input()).decode(1, context)["bandwidth.hbm"] for context in (0, 1000))
    assert (filled - empty) * 1935e9 / 1e3 == pytest.approx(57_344 * 1000)


def test_a_prompt_costs_two_operations_a_weight_and_token() -> None:
    terms = Steps(sizing_input(prompt=1024)).prefill()
    attention = 2 * 28 * 28 * 128 * 1024**2
    power = 1.25  # the PCIe card reaches 52 % of the peak where the SXM reaches 65 %
    assert terms["prefill.a100"] == pytest.approx(
        (power * 2 * 6.525e9 * 1024 + attention) / 312e12 * 1e3, rel=0.001
    )


def test_fp8_computes_in_8_bits_only_where_the_chip_can() -> None:
    assert peak_tflops(GPUS["h100-80g-sxm"], Precision.FP8) == pytest.approx(2 * 989.4)
    assert peak_tflops(GPUS["a100-80g-sxm"], Precision.FP8) == 312
    assert peak_tflops(GPUS["rtx-4090"], Precision.AWQ) == pytest.approx(165.2)


def test_tensor_parallelism_pays_over_nvlink_more_than_through_the_host() -> None:
    gains = {
        gpu: points(size(sizing_input("llama-3.1-8b", gpu)))[1]
        / points(size(sizing_input("llama-3.1-8b", gpu, tensor=2)))[1]
        for gpu in ("h100-80g-sxm", "rtx-4090")
    }
    assert 1 < gains["h100-80g-sxm"] < 2
    host = Steps(sizing_input("llama-3.1-8b", "rtx-4090", tensor=2)).decode(64, 512)
    link = Steps(sizing_input("llama-3.1-8b", "h100-80g-sxm", tensor=2)).decode(64, 512)
    assert host["link.all_reduce"] > link["link.all_reduce"]
    assert host["link.transfer"] > link["link.transfer"]


def test_the_coefficients_are_physical() -> None:
    """No efficiency above one, and every term that a step can have is in the table."""
    values = load_calibration().values
    assert set(values) == set(TABLE) == set(PRIOR)
    for name, value in values.items():
        assert value > 0, name
        if name.startswith(("bandwidth", "prefill", "compute")):
            assert 1 <= value < 4, name


def test_an_input_that_no_measurement_covers_is_marked_and_has_wider_ranges() -> None:
    covered, extrapolated = (size(sizing_input(gpu=gpu)) for gpu in ("rtx-4090", "l4"))
    assert not covered.extrapolated
    assert extrapolated.extrapolated
    assert any("l4" in line for line in extrapolated.basis)
    assert covered.tpot_ms is not None
    assert extrapolated.tpot_ms is not None
    assert extrapolated.tpot_ms.high / extrapolated.tpot_ms.p50 > covered.tpot_ms.high / covered.tpot_ms.p50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tensor": 8}, "does not divide the 28 query and 4 KV heads"),
        ({"pipeline": 99}, "above the 28 layers"),
        ({"concurrency": 5, "rate": 5}, "give one"),
        ({"concurrency": 0}, "above 0"),
        ({"gpu_memory_utilization": 1.2}, "between 0 and 1"),
    ],
)
def test_an_invalid_input_is_rejected(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        size(replace(sizing_input(), **change))  # type: ignore[arg-type]
