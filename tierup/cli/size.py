"""Prints the predicted memory, latency and throughput of a model on given GPUs."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from tierup.catalog import DEFAULT_PRECISION, Catalog, Precision, load_catalog
from tierup.cli.exits import EXIT_FINDINGS, UsageError, console, examples
from tierup.cli.tables import print_line, print_table
from tierup.io.files import UnreadableFile, read_json
from tierup.report import size_json
from tierup.sizing import ModelShape, Range, ShapeError, Sizing, SizingInput, load_shapes
from tierup.sizing import size as sized
from tierup.sizing.config import shape_of_file
from tierup.sizing.types import GPU_MEMORY_UTILIZATION

if TYPE_CHECKING:
    from tierup.compare.recommend import Option

EXAMPLES = examples(
    "tierup size --model qwen2.5-7b --gpu rtx-4090 --concurrency 20",
    "tierup size --config config.json --gpu l40s --precision fp8 --rate 3 --json",
    "tierup size --users 50 --recommend",
    "tierup size --accuracy",
)
INDEX = "model.safetensors.index.json"
_PLAIN: dict[str, Any] = {"highlight": False, "markup": False}


def size(  # noqa: PLR0917 - the options of a command are its arguments
    model: Annotated[
        str | None, typer.Option(help="Model id of the catalogue", show_default="qwen2.5-7b")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Another model: its config.json", dir_okay=False)
    ] = None,
    gpu: Annotated[str | None, typer.Option(help="GPU id of the catalogue")] = None,
    gpus: Annotated[
        int | None, typer.Option(min=1, help="Number of GPUs; replicas = gpus / (tp x pp)")
    ] = None,
    tp: Annotated[int, typer.Option(min=1, help="Tensor parallel size")] = 1,
    pp: Annotated[int, typer.Option(min=1, help="Pipeline parallel size")] = 1,
    replicas: Annotated[int | None, typer.Option(min=1, help="Replicas of the model")] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(help="Precision of the weights", show_default="that of config.json, else bf16"),
    ] = None,
    prompt: Annotated[int, typer.Option(min=1, help="Prompt tokens")] = 512,
    answer: Annotated[int, typer.Option(min=1, help="Answer tokens")] = 200,
    concurrency: Annotated[float | None, typer.Option(help="Requests in flight, over all replicas")] = None,
    users: Annotated[float | None, typer.Option(help="The same as --concurrency")] = None,
    rate: Annotated[float | None, typer.Option(help="Requests per second instead of --concurrency")] = None,
    burst: Annotated[
        bool, typer.Option("--burst", help="All requests arrive at the same time, once")
    ] = False,
    prefix_hit: Annotated[
        float,
        typer.Option(
            "--shared-prefix", "--prefix-hit", min=0, max=1, help="Share of prompt tokens in the prefix cache"
        ),
    ] = 0.0,
    context: Annotated[
        int | None, typer.Option(min=1, help="max_model_len", show_default="prompt + answer")
    ] = None,
    gpu_memory_utilization: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of a GPU's memory that the engine takes")
    ] = GPU_MEMORY_UTILIZATION,
    max_num_seqs: Annotated[
        int | None,
        typer.Option(min=1, help="Slots: requests that a replica runs at once", show_default="the engine's"),
    ] = None,
    max_num_batched_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens per engine step", show_default="the engine's")
    ] = None,
    kv_dtype: Annotated[str, typer.Option(help="auto or fp8")] = "auto",
    enforce_eager: Annotated[bool, typer.Option("--enforce-eager", help="No CUDA graphs")] = False,
    engine_version: Annotated[str, typer.Option(help="vLLM version")] = SizingInput.engine_version,
    recommend: Annotated[
        bool, typer.Option("--recommend", help="Rank the servers that meet the target")
    ] = False,
    max_ttft: Annotated[float, typer.Option(help="--recommend: target time to the first token, ms")] = 1000.0,
    max_tpot: Annotated[float, typer.Option(help="--recommend: target time per output token, ms")] = 60.0,
    accuracy: Annotated[bool, typer.Option("--accuracy", help="Print the accuracy report and exit")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Predict memory, latency and throughput of a model on GPUs, with ranges and the measurements behind them.

    Exit code 1: the model does not fit, or no server meets the target of --recommend. docs/size-json.md lists the keys
    of --json.
    """
    if accuracy:
        from tierup.sizing.accuracy import report

        print(report(), end="")
        return
    catalog = load_catalog()
    if kv_dtype not in ("auto", "fp8"):
        raise UsageError(f"--kv-dtype is auto or fp8 (got {kv_dtype})")
    if concurrency is not None and users is not None:
        raise UsageError("--concurrency and --users are the same - give one")
    if gpu is None and not recommend:
        raise UsageError(f"--gpu is missing - one of {', '.join(catalog.gpus)}, or --recommend")
    gpu_id = gpu if gpu is not None else next(iter(catalog.gpus))
    if gpu_id not in catalog.gpus:
        raise UsageError(f"unknown GPU {gpu_id} - one of {', '.join(catalog.gpus)}")
    shape = _shape(model, config)
    inputs = SizingInput(
        model=shape,
        gpu_id=gpu_id,
        gpu=catalog.gpus[gpu_id],
        precision=precision_asked(shape, precision),
        tensor=tp,
        pipeline=pp,
        replicas=_replicas(gpus, tp * pp, replicas),
        prompt=prompt,
        answer=answer,
        concurrency=concurrency if concurrency is not None else users,
        rate=rate,
        burst=burst,
        prefix_hit=prefix_hit,
        context=context,
        gpu_memory_utilization=gpu_memory_utilization,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        kv_dtype="fp8" if kv_dtype == "fp8" else "auto",
        enforce_eager=enforce_eager,
        engine_version=engine_version,
    )
    try:
        if recommend:
            _recommend(
                replace(inputs, tensor=1, pipeline=1, replicas=1), catalog, (max_ttft, max_tpot), as_json
            )
            return
        sizing = sized(inputs)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if as_json:
        print(size_json.render(inputs, sizing), end="")
    else:
        _page(inputs, sizing, console())
    if not sizing.fits:
        raise typer.Exit(EXIT_FINDINGS)


def _shape(model: str | None, config: Path | None) -> ModelShape:
    if model is not None and config is not None:
        raise UsageError("--model and --config both name the model - give one")
    if config is not None:
        try:
            index = config.with_name(INDEX)
            return shape_of_file(read_json(config), str(config), read_json(index) if index.exists() else None)
        except (ShapeError, UnreadableFile) as error:
            raise UsageError(str(error)) from error
    shapes, name = load_shapes(), model if model is not None else "qwen2.5-7b"
    if name not in shapes:
        raise UsageError(
            f"unknown model {name} - one of {', '.join(sorted(shapes))}, or --config config.json"
        )
    return shapes[name]


def precision_asked(shape: ModelShape, asked: Precision | None) -> Precision:
    """The precision of the weights: as the repository stores them, if its config.json says so."""
    if shape.stored is None:
        return asked if asked is not None else DEFAULT_PRECISION
    if asked is not None and asked is not shape.stored.precision:
        raise UsageError(
            f"--precision {asked} contradicts the {shape.stored.method} weights of {shape.name} "
            f"({shape.stored.precision}) - leave it out, or give the config.json of another repository"
        )
    return shape.stored.precision


def _replicas(gpus: int | None, per_replica: int, replicas: int | None) -> int:
    if gpus is None:
        return replicas if replicas is not None else 1
    if gpus % per_replica:
        raise UsageError(f"--gpus {gpus} is not a multiple of tp x pp = {per_replica}")
    if replicas is not None and replicas * per_replica != gpus:
        raise UsageError(f"--gpus {gpus} is not replicas x tp x pp = {replicas * per_replica}")
    return gpus // per_replica


def _page(inputs: SizingInput, sizing: Sizing, out: Console) -> None:
    replicas = f"{inputs.replicas} replica{'' if inputs.replicas == 1 else 's'}"
    split = f"TP {inputs.tensor} x PP {inputs.pipeline}, {replicas}"
    title = f"{inputs.model.name} {inputs.precision} on {inputs.gpu_id}: {split}"
    print_line(title, out, "bold")
    fits = "fits" if sizing.fits else "DOES NOT FIT"
    out.print(f"  {fits}: {sizing.weights_gib_per_gpu:.2f} GiB of weights per GPU", **_PLAIN)
    held = f"{sizing.kv_tokens:,} ({sizing.kv_tokens_low:,} to {sizing.kv_tokens_high:,})"
    capacity = f"{held} KV tokens per replica: {sizing.max_concurrent_sequences} full-length sequences"
    out.print(f"  {capacity}, largest context {sizing.max_context:,}", **_PLAIN)
    of_tokens = (
        ("time to the first token", sizing.ttft_ms, "ms"),
        ("time per output token", sizing.tpot_ms, "ms"),
        ("end to end", sizing.e2e_ms, "ms"),
        ("output", sizing.output_tok_s, "tokens/s"),
    )
    answers = of_tokens if inputs.model.writes else (("time to the answer, no token", sizing.e2e_ms, "ms"),)
    spans = (*answers, ("requests", sizing.req_s, "per s"))
    rows = [(name, *_cells(span), unit) for name, span, unit in spans]
    print_table(None, ("", "expected", "low", "high", ""), rows, out)
    out.print(f"  bottleneck: {sizing.bottleneck}", **_PLAIN)
    for line in (*sizing.notes, *sizing.basis):
        print_line(f"  {line}", out)


def _cells(span: Range | None) -> tuple[str, str, str]:
    if span is None:
        return ("-", "-", "-")
    low, high = f"{span.low:.3g}", f"{span.high:.3g}"
    return (f"{span.p50:.4g}", low, high)


def _recommend(inputs: SizingInput, catalog: Catalog, target: tuple[float, float], as_json: bool) -> None:
    from tierup.compare.recommend import Target, recommend, unpinned

    wanted = Target(*target)
    options = recommend(inputs, catalog, wanted)
    out = console()
    if as_json:
        print(size_json.render_options(inputs, wanted, options), end="")
    elif options:
        _options(options, out)
    elif unpinned(inputs.model.name, catalog):
        out.print(
            f"the catalogue pins no commit of {inputs.model.name}, so nothing can be deployed as it is - write a stack "
            "file with its revision, and run tierup plan",
            **_PLAIN,
        )
    else:
        out.print(
            "no server of the catalogue meets the target - raise --max-ttft or --max-tpot, or lower the load",
            **_PLAIN,
        )
    if not options:
        raise typer.Exit(EXIT_FINDINGS)


def _options(options: Iterable["Option"], out: Console) -> None:
    rows = [
        (
            f"{option.servers} x {option.server}",
            f"{option.capex_usd:,.0f}",
            f"{option.inputs.precision}, TP {option.inputs.tensor} x {option.inputs.replicas}",
            option.reason,
        )
        for option in options
    ]
    print_table(None, ("servers", "USD", "setting", "reason"), rows, out)
    out.print("  --json has the stack file of each, which tierup plan accepts", **_PLAIN)
