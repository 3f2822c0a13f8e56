"""Whoever reads a speed that no measurement stands behind is told so, wherever it is shown; memory is exact."""

import json
from pathlib import Path

import pytest
from command import Command, make_project

from tierup.catalog import Catalog, Precision, load_catalog
from tierup.sizing import SizingInput, load_shapes, size
from tierup.sizing.memory import GIB

WORDS = "not validated"
UNPROVEN = [name for name, shape in load_shapes().items() if shape.unproven]
STACK = (
    "config:\n  tierup:workload: {{users: 10}}\n  tierup:nodes: {{server: premium-4x-h100-80g-sxm, count: 1}}\n"
    "  tierup:models: [{{id: {model}}}]\n"
)


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("COLUMNS", "300")
    return Command(monkeypatch, capsys)


@pytest.fixture
def catalog() -> Catalog:
    return load_catalog()


def test_they_are_the_mixtures_the_windowed_and_those_that_write_nothing(catalog: Catalog) -> None:
    assert set(UNPROVEN) == {name for name, spec in catalog.models.items() if spec.config is not None}


@pytest.mark.parametrize("words", [["plan"], ["plan", "--json"], ["cost"], ["cost", "--json"], ["compare"]])
@pytest.mark.parametrize("model", ["qwen3-coder-30b-a3b", "gpt-oss-20b", "qwen3-embedding-0.6b"])
def test_every_page_of_a_stack_says_it(
    model: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tierup: Command
) -> None:
    make_project(tmp_path, {"mine": STACK.format(model=model)})
    monkeypatch.chdir(tmp_path)
    result = tierup(*words, "--stack", "mine")
    assert WORDS in result.out.replace("notValidated", WORDS), result.err
    if "--json" in words and words[0] == "cost":
        (tokens,) = json.loads(result.out)["outlook"]["tokens"]
        assert tokens["notValidated"] == load_shapes()[model].unproven


@pytest.mark.parametrize("output", [[], ["--json"]])
@pytest.mark.parametrize("model", UNPROVEN)
def test_a_sizing_says_it(model: str, output: list[str], tierup: Command) -> None:
    assert WORDS in tierup("size", "--model", model, "--gpu", "h200-141g", *output).out


@pytest.mark.parametrize("model", UNPROVEN)
def test_its_range_is_wider_than_that_of_a_dense_model(model: str, catalog: Catalog) -> None:
    gpu = catalog.gpus["h200-141g"]

    def widths(name: str) -> list[float]:
        shape = load_shapes()[name]
        precision = shape.stored.precision if shape.stored is not None else Precision.BF16
        sizing = size(SizingInput(shape, "h200-141g", gpu, precision=precision, concurrency=4))
        spans = (sizing.ttft_ms, sizing.req_s)
        return [span.high / span.low for span in spans if span is not None]

    assert all(own > 1.5 * dense for own, dense in zip(widths(model), widths("qwen2.5-7b"), strict=True))


@pytest.mark.parametrize("model", UNPROVEN)
def test_its_memory_is_that_of_its_files(model: str, catalog: Catalog) -> None:
    shape, spec = load_shapes()[model], catalog.models[model]
    for precision, variant in spec.variants.items():
        assert shape.weight_bytes(precision) / GIB == pytest.approx(variant.weight_gib.value, abs=0.006)
