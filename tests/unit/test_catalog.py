"""The catalogue's data is complete and consistent, and its loader reports every mistake with its path."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

import tierup.catalog
from tierup.catalog import (
    Architecture,
    Catalog,
    CatalogError,
    ModelSpec,
    Precision,
    Sourced,
    Variant,
    WeightFormat,
    load_catalog,
    parse_catalog,
)
from tierup.sizing.shapes import spec_shape

TABLES = ("gpus", "servers", "models")
FOLDER = Path(tierup.catalog.__file__).parent
TEXTS = {table: (FOLDER / f"{table}.yaml").read_text(encoding="utf-8") for table in TABLES}
GIB = 2**30


@pytest.fixture
def catalog() -> Catalog:
    return load_catalog()


def walk(node: object, path: str = "") -> Iterator[tuple[str, BaseModel]]:
    """Every sourced value (and variant) below `node`, with its path."""
    if isinstance(node, (Sourced, Variant)):
        yield path, node
    if isinstance(node, Sourced):
        return
    if isinstance(node, BaseModel):
        for name in type(node).model_fields:
            yield from walk(getattr(node, name), f"{path}.{name}")
    elif isinstance(node, dict):
        for name, item in node.items():
            yield from walk(item, f"{path}.{name}")
    elif isinstance(node, tuple):
        for index, item in enumerate(node):
            yield from walk(item, f"{path}.{index}")


def problems(**changed: str) -> list[str]:
    """What the loader says about the real files with one changed."""
    texts = {**TEXTS, **changed}
    with pytest.raises(CatalogError) as caught:
        parse_catalog(texts["gpus"], texts["servers"], texts["models"])
    return caught.value.problems


def replaced(table: str, old: str, new: str) -> str:
    assert old in TEXTS[table], f"{table}.yaml no longer has {old!r}"
    return TEXTS[table].replace(old, new, 1)


# The data


def test_the_catalogue_has_the_ids_that_stacks_use(catalog: Catalog) -> None:
    assert set(catalog.gpus) == {
        "rtx-4090",
        "rtx-3090",
        "rtx-a6000",
        "a10g",
        "l4",
        "l40s",
        "a40",
        "a100-40g-pcie",
        "a100-40g-sxm",
        "a100-80g-pcie",
        "a100-80g-sxm",
        "h100-80g-pcie",
        "h100-80g-sxm",
        "h200-141g",
    }
    assert set(catalog.servers) >= {
        "entry-2x-rtx-4090",
        "standard-2x-a100-80g-pcie",
        "standard-4x-a100-80g-pcie",
        "premium-4x-h100-80g-sxm",
    }
    assert set(catalog.models) == set(SHAPES)
    four_bit = {Precision.MXFP4, Precision.NVFP4, Precision.BNB_NF4}  # of no repository of this model
    assert set(catalog.models["qwen2.5-7b"].variants) == set(Precision) - four_bit


def test_every_value_has_a_source_and_a_date_that_is_not_in_the_future(catalog: Catalog) -> None:
    values = list(walk(catalog))
    assert len(values) > 400
    for path, value in values:
        assert isinstance(value, (Sourced, Variant))
        assert value.source.title, path
        assert datetime.date(2020, 1, 1) <= value.as_of <= datetime.datetime.now(datetime.UTC).date(), path


def test_every_leaf_of_a_gpu_and_a_server_is_sourced(catalog: Catalog) -> None:
    """Only names and references need no source: a field added without `Sourced` fails here."""
    bare = {
        name
        for entry in (*catalog.gpus.values(), *catalog.servers.values(), *catalog.models.values())
        for name, field in type(entry).model_fields.items()
        if getattr(entry, name) is not None and not list(walk(getattr(entry, name), name))
    }
    assert bare == {"title", "gpu"}


def test_assumptions_have_low_confidence(catalog: Catalog) -> None:
    for path, value in walk(catalog.servers):
        if isinstance(value, Sourced) and "assumption" in value.source.title:
            assert value.confidence == "low", path


@pytest.mark.parametrize("table", TABLES)
def test_every_source_is_used(table: str) -> None:
    document = yaml.safe_load(TEXTS[table])
    body = yaml.safe_dump(document[table])
    assert [name for name in document["sources"] if f"source: {name}\n" not in body] == []


def test_servers_name_known_gpus_and_fit_their_processors(catalog: Catalog) -> None:
    for name, server in catalog.servers.items():
        assert server.gpu in catalog.gpus, name
        assert server.cpu.threads.value == 2 * server.cpu.cores.value, name
        assert server.cpu.base_ghz.value < server.cpu.boost_ghz.value, name
        assert server.system_reserved.cpu.value < server.cpu.cores.value / 4, name
        assert server.capex_usd.low is not None, name


def test_rates_follow_from_the_architecture(catalog: Catalog) -> None:
    """Tensor cores: 16-bit types alike, int8 twice (four times where 32-bit accumulation is halved)."""
    for name, gpu in catalog.gpus.items():
        rates = gpu.dense_tflops
        assert rates.bf16.value == rates.fp16.value, name
        geforce = name.startswith("rtx-") and name != "rtx-a6000"
        assert rates.int8.value / rates.bf16.value == pytest.approx(4 if geforce else 2, rel=0.02), name
        assert (rates.fp8.value is None) == (gpu.architecture.value is Architecture.AMPERE), name
        assert (gpu.link.kind.value == "nvlink") == name.endswith(("-sxm", "h200-141g")), name
        assert gpu.product_label.value.startswith("NVIDIA-"), name
        assert " " not in gpu.product_label.value, name


SHAPES = {  # parameters, and KV cache bytes a token at two bytes a value
    "qwen-7b": (7_721_324_544, 524_288),
    "qwen2.5-7b": (7_615_616_512, 57_344),
    "qwen3-8b": (8_190_735_360, 147_456),
    "llama-3.1-8b": (8_030_261_248, 131_072),
    "mistral-7b": (7_248_023_552, 131_072),
    "deepseek-r1-distill-qwen-7b": (7_615_616_512, 57_344),
    "qwen2.5-72b": (72706203648, 327680),
    "llama-3.1-70b": (70553706496, 327680),
    "qwen3-14b": (14_768_307_200, 163840),
    "qwen3-32b": (32_762_123_264, 262144),
    "qwen3-30b-a3b": (30_532_122_624, 98_304),
    "qwen3-coder-30b-a3b": (30_532_122_624, 98_304),
    "gpt-oss-20b": (20_914_757_184, 49_152),
    "gpt-oss-120b": (116_829_156_672, 73_728),
    "gemma-3-12b": (12_187_325_040, 393_216),
    "gemma-3-27b": (27_432_406_640, 507_904),
    "llama-3.3-70b": (70_553_706_496, 327680),
    "mistral-small-24b": (23_572_403_200, 163840),
    "deepseek-r1-distill-llama-8b": (8_030_261_248, 131072),
    "deepseek-r1-distill-qwen-14b": (14_770_033_664, 196608),
    "deepseek-r1-distill-qwen-32b": (32_763_876_352, 262144),
    "deepseek-r1-distill-llama-70b": (70_553_706_496, 327680),
    "qwen3-embedding-0.6b": (595_776_512, 114_688),
}


def linear_params(model: ModelSpec) -> int:
    """Query and output, key and value, and the three MLP matrices, over the layers; or as config.json counts them."""
    if model.config is not None:
        return spec_shape("", model).linear
    hidden, width = model.hidden.value, model.head_dim.value
    attention = 2 * hidden * model.q_heads.value * width + 2 * hidden * model.kv_heads.value * width
    return model.layers.value * (attention + 3 * hidden * model.intermediate.value)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_give_the_known_kv_bytes_and_parameter_counts(catalog: Catalog, name: str) -> None:
    model = catalog.models[name]
    params, kv_bytes = SHAPES[name]
    assert model.params.value == params
    assert 2 * 2 * model.layers.value * model.kv_heads.value * model.head_dim.value == kv_bytes
    assert model.q_heads.value % model.kv_heads.value == 0
    embeddings = (
        2 * model.vocab.value * model.hidden.value
    )  # table and output head; of these only config ties them
    counted = linear_params(model) + embeddings if model.config is None else spec_shape("", model).params
    assert counted == pytest.approx(params, rel=0.005)


def test_the_counts_of_a_model_with_a_config_are_those_of_its_config(catalog: Catalog) -> None:
    found = [
        (name, model, model.config.value)
        for name, model in catalog.models.items()
        if model.config is not None
    ]
    assert found
    for name, model, config in found:
        shape, dense = spec_shape(name, model), spec_shape(name, model.model_copy(update={"config": None}))
        assert not shape.notes or model.architecture.value == "Gemma3ForConditionalGeneration"
        assert shape.params == pytest.approx(dense.params, rel=0.001)
        assert [model.architecture.value] == config["architectures"]
        for field in (
            "layers",
            "q_heads",
            "kv_heads",
            "head_dim",
            "hidden",
            "intermediate",
            "vocab",
            "max_context",
        ):
            assert getattr(shape, field) == getattr(dense, field), (name, field)


SIXTEEN_BIT = (Precision.BF16, Precision.FP16)
BYTES_A_WEIGHT = {  # of the linear layers; group of 128: a two-byte scale and a zero point
    Precision.BF16: 2,
    Precision.FP16: 2,
    Precision.FP8: 1,
    Precision.INT8: 1,
    Precision.GPTQ_INT8: 1 + (2 + 1) / 128,
    Precision.GPTQ_INT4: 0.5 + (2 + 0.5) / 128,
    Precision.AWQ: 0.5 + (2 + 0.5) / 128,
}


@pytest.mark.parametrize("name", SHAPES)
def test_weight_sizes_follow_from_precision_and_shape(catalog: Catalog, name: str) -> None:
    model = catalog.models[name]
    linear = linear_params(model)
    for precision, variant in model.variants.items():
        if model.file_bytes is not None:
            expected = model.file_bytes.value / GIB
            assert spec_shape("", model).computed_bytes(precision) / GIB == pytest.approx(expected, rel=0.01)
        elif precision in BYTES_A_WEIGHT:
            expected = (linear * BYTES_A_WEIGHT[precision] + (model.params.value - linear) * 2) / GIB
        else:  # GGUF files also store the embeddings in blocks: bits a weight as the format defines them
            expected = model.params.value * {Precision.Q8_0: 8.5, Precision.Q5_K_M: 5.7}[precision] / 8 / GIB
        assert variant.weight_gib.value == pytest.approx(expected, rel=0.01), precision


def test_variants_have_what_serving_them_needs(catalog: Catalog) -> None:
    for name, model in catalog.models.items():
        sixteen = {model.variants[item].repo for item in SIXTEEN_BIT if item in model.variants}
        assert len(sixteen) == (0 if Precision.MXFP4 in model.variants else 1), name
        for precision, variant in model.variants.items():
            gguf = precision in {Precision.Q8_0, Precision.Q5_K_M}
            assert (variant.format is WeightFormat.GGUF) == gguf
            of_its_own = variant.repo not in sixteen
            assert (variant.quantize == "fp8") == (precision is Precision.FP8 and not of_its_own), name
    gguf_variant = catalog.models["qwen2.5-7b"].variants[Precision.Q5_K_M]
    assert gguf_variant.tokenizer == catalog.models["qwen2.5-7b"].variants[Precision.BF16].repo


# The loader


def test_the_catalogue_is_loaded_once() -> None:
    assert load_catalog() is load_catalog()


MISTAKES = {
    "unknown key": (
        "gpus",
        "    memory_mib: {value: 24564,",
        "    colour: {value: black, source: ada-wp}\n    memory_mib: {value: 24564,",
        "gpus.yaml: rtx-4090.colour: unknown key",
    ),
    "unknown key in an entry": (
        "gpus",
        "{value: 24564, source: nvidia-smi}",
        "{value: 24564, source: nvidia-smi, unit: MiB}",
        "gpus.yaml: rtx-4090.memory_mib.unit: unknown key",
    ),
    "missing source": (
        "gpus",
        "{value: 24564, source: nvidia-smi}",
        "{value: 24564}",
        "gpus.yaml: rtx-4090.memory_mib.source: the source is missing - name a row of the sources table",
    ),
    "bare value": (
        "gpus",
        "{value: 24564, source: nvidia-smi}",
        "24564",
        "gpus.yaml: rtx-4090.memory_mib: not a mapping, such as {value: ..., source: ...} (got 24564)",
    ),
    "missing field": (
        "models",
        "    kv_heads: {value: 4, source: config-qwen2.5-7b}\n",
        "",
        "models.yaml: qwen2.5-7b.kv_heads: missing",
    ),
    "number in quotes": (
        "models",
        "kv_heads: {value: 4, source",
        "kv_heads: {value: '4', source",
        "models.yaml: qwen2.5-7b.kv_heads.value: Input should be a valid integer (got '4')",
    ),
    "negative number": (
        "gpus",
        "{value: 24564, source",
        "{value: -1, source",
        "gpus.yaml: rtx-4090.memory_mib.value: Input should be greater than 0 (got -1)",
    ),
    "date with a time": (
        "servers",
        "    as_of: 2025-07-01",
        "    as_of: 2025-07-01T12:00:00",
        "servers.yaml: sources.guide.as_of: Input should be a valid date",
    ),
    "month without a day": (
        "servers",
        "    as_of: 2025-07-01",
        "    as_of: 2025-07",
        "servers.yaml: sources.guide.as_of: Input should be a valid date (got '2025-07')",
    ),
    "impossible date": (
        "servers",
        "    as_of: 2025-07-01",
        "    as_of: 2025-13-01",
        "servers.yaml: sources.guide.as_of: Input should be a valid date (got '2025-13-01')",
    ),
    "date of one value": (
        "gpus",
        "{value: 24564, source: nvidia-smi}",
        "{value: 24564, source: nvidia-smi, as_of: yesterday}",
        "gpus.yaml: rtx-4090.memory_mib.as_of: Input should be a valid date (got 'yesterday')",
    ),
    "value outside its range": (
        "servers",
        "low: 10000, high: 20000",
        "low: 16000, high: 20000",
        "servers.yaml: entry-2x-rtx-4090.capex_usd: value 15000.0 is outside low 16000.0 .. high 20000.0",
    ),
    "short revision": (
        "models",
        "revision: a09a35458c702b33eeacc393d103063234e8bc28",
        "revision: a09a354",
        "models.yaml: qwen2.5-7b.variants.bf16.revision: String should match pattern",
    ),
    "unknown precision": (
        "models",
        "      gptq-int8:\n",
        "      gptq-int9:\n",
        "models.yaml: qwen2.5-7b.variants.gptq-int9: Input should be 'bf16', 'fp16'",
    ),
    "GGUF without its tokenizer": (
        "models",
        '        files: "*q5_k_m*.gguf"\n        parts: 2\n        tokenizer: Qwen/Qwen2.5-7B-Instruct',
        '        files: "*q5_k_m*.gguf"\n        parts: 2',
        "models.yaml: qwen2.5-7b.variants.q5_k_m: format gguf needs files and tokenizer",
    ),
    "unknown GPU": (
        "servers",
        "gpu: rtx-4090\n",
        "gpu: rtx-4091\n",
        "servers.yaml: entry-2x-rtx-4090.gpu: unknown GPU (got rtx-4091; allowed rtx-4090, ",
    ),
    "RAID level as a number": (
        "servers",
        'raid: {value: "10", source',
        "raid: {value: 10, source",
        "servers.yaml: premium-4x-h100-80g-sxm.disk.raid.value: Input should be 'none', '0', '1' or '10'",
    ),
}


@pytest.mark.parametrize(("table", "old", "new", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_reported_once_with_its_path(table: str, old: str, new: str, message: str) -> None:
    (problem,) = problems(**{table: replaced(table, old, new)})
    assert problem.startswith(message)


def test_an_unknown_source_lists_the_known_ones() -> None:
    (problem,) = problems(
        gpus=replaced("gpus", "{value: 24564, source: nvidia-smi}", "{value: 1, source: rumour}")
    )
    assert problem.startswith(
        "gpus.yaml: rtx-4090.memory_mib.source: unknown source (got rumour; allowed gfd-labels"
    )


def test_a_bad_source_is_not_blamed_on_the_values_that_cite_it() -> None:
    (problem,) = problems(servers=replaced("servers", "    as_of: 2025-07-01\n", ""))
    assert problem == "servers.yaml: sources.guide.as_of: missing"


def test_a_duplicate_key_is_named_with_its_line() -> None:
    lines = TEXTS["gpus"].splitlines()
    (number,) = (i for i, line in enumerate(lines) if line.startswith("    memory_mib: {value: 24564"))
    text = "\n".join(
        [*lines[: number + 1], "    memory_mib: {value: 1, source: nvidia-smi}", *lines[number + 1 :]]
    )
    (problem,) = problems(gpus=text)
    assert problem == f"gpus.yaml: rtx-4090.memory_mib (line {number + 2}): the key is written twice"


def test_an_entry_written_twice_is_named() -> None:
    text = TEXTS["gpus"] + "\n  l4:\n    tdp_w: {value: 72, source: l4-ds}\n"
    (problem,) = problems(gpus=text)
    assert problem.startswith("gpus.yaml: l4 (line ")


@pytest.mark.parametrize(
    "text", ["", "gpus: {}", "- a", "sources: {}\ngpus: {}\nextra: 1", "sources: 1\ngpus: {}"]
)
def test_a_file_with_the_wrong_structure_is_rejected(text: str) -> None:
    (problem,) = problems(gpus=text)
    assert problem.startswith(("gpus.yaml: top level: ", "gpus.yaml: sources: "))


def test_broken_yaml_is_reported_with_its_line() -> None:
    (problem,) = problems(models="sources: {\nmodels: [")
    assert problem.startswith("models.yaml: YAML: ")
    assert "line 3" in problem


def test_all_mistakes_of_all_files_are_raised_once() -> None:
    with pytest.raises(CatalogError) as caught:
        parse_catalog(
            replaced("gpus", "value: 24564", "value: many").replace("value: 24576", "value: -1", 1),
            replaced("servers", '{value: "liquid", source', '{value: "liquid", sauce: guide, source'),
            replaced("models", "source: config-qwen3-8b", "source: memory"),
        )
    reported = caught.value.problems
    assert [problem.split(": ")[:2] for problem in reported] == [
        ["gpus.yaml", "rtx-4090.memory_mib.value"],
        ["gpus.yaml", "rtx-3090.memory_mib.value"],
        ["servers.yaml", "premium-4x-h100-80g-sxm.cooling.sauce"],
        ["models.yaml", "qwen3-8b.params.source"],
    ]
    assert str(caught.value).count("\n- ") == len(reported)


def test_the_catalogue_cannot_be_changed_by_its_users(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="frozen"):
        catalog.gpus["l4"].memory_mib.value = 1  # type: ignore[misc]
