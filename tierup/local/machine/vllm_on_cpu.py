"""vLLM's CPU build in place of the one for GPUs: which of a container's options it gets, and which more.

The local image of vLLM contains this module too, as its command `vllm`; so it needs the standard library only.
"""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tierup.local.machine.cpu import cpu_flags, fp8_kv_cache_problem

SERVER = ("-m", "vllm.entrypoints.openai.api_server")
# They need GPUs or GPU kernels, and the server answers without them.
GPU_ONLY = frozenset(
    (
        *("--tensor-parallel-size", "--pipeline-parallel-size", "--quantization"),
        *("--disable-custom-all-reduce", "--kv-offloading-size"),
    )
)
_OF_REPLACED_MODEL = "--tokenizer"
_RUN_ON_CPU = frozenset(
    (
        *("--served-model-name", "--host", "--port", "--dtype", "--max-model-len", "--max-num-seqs"),
        *("--max-num-queued-reqs", "--gpu-memory-utilization", "--scheduling-policy", "--shutdown-timeout"),
        *("--kv-cache-dtype", "--disable-fastapi-docs", "--enable-request-id-headers", "--trust-remote-code"),
        *("--enable-lora", "--lora-modules", "--max-lora-rank", "--max-loras", "--max-cpu-loras"),
        *("--enable-auto-tool-choice", "--tool-call-parser", "--reasoning-parser", "--chat-template"),
        *("--runner", "--enable-prompt-tokens-details", "--speculative-config"),
    )
)
# nobind: otherwise each engine would bind its thread to the same first core.
_THREADS = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
# Run the model in the scheduler's process. As two processes, both poll shared memory with sched_yield, for which
# Linux 6.18 schedules a process after all others: streams stalled for up to 25 s when engines shared two cores.
_ONE_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
CPU_ENV = _THREADS | _ONE_PROCESS
KV_BYTES = 256 * 1024**2  # 262,144 tokens of the tiny model, 1024 bytes each (tests/engine/test_capacity.py)

Options = Mapping[str, Sequence[str]]


def parse_options(args: Sequence[str]) -> dict[str, list[str]]:
    """A container's options with their values; the model's path before them is left out."""
    options: dict[str, list[str]] = {}
    for argument in args[1:]:
        if argument.startswith("--"):
            name, equals, value = argument.partition("=")
            options[name] = [value] if equals else []
        elif options:
            options[list(options)[-1]].append(argument)
        else:
            raise ValueError(f"{argument}: no option stands before this value")
    return options


def unknown_options(options: Options) -> list[str]:
    """The options of which it is not known what they do on a CPU, in their order."""
    return [name for name in options if name not in _RUN_ON_CPU | GPU_ONLY | {_OF_REPLACED_MODEL}]


def unsupported_options(flags: Collection[str], options: Options) -> dict[str, str]:
    """The options that a processor with these flags does not support, each with the reason."""
    reason = fp8_kv_cache_problem(flags)
    fp8 = list(options.get("--kv-cache-dtype", ()))[:1] == ["fp8"]
    return {"--kv-cache-dtype": reason} if reason is not None and fp8 else {}


def cpu_options(
    options: Options, model: str, kv_bytes: int, without: Collection[str] = ()
) -> dict[str, list[str]]:
    """The options for another model on a CPU: without those that need a GPU and those in `without`."""
    left_out = GPU_ONLY | {_OF_REPLACED_MODEL, *without}
    kept = {name: list(values) for name, values in options.items() if name not in left_out}
    # No compilation, random weights, and the KV cache's size in bytes instead of a share of a GPU.
    added = {"--enforce-eager": [], "--load-format": ["dummy"], "--kv-cache-memory-bytes": [str(kv_bytes)]}
    return {"--model": [model], **kept, **added}


def as_arguments(options: Options) -> list[str]:
    """Options as they are on a command line."""
    return [argument for name, values in options.items() for argument in (name, *values)]


def main(arguments: Sequence[str], python: str = sys.executable) -> None:
    """Become the server that `vllm serve MODEL OPTIONS...` asks for; exit code 2 if it cannot run on a CPU."""
    try:
        if len(arguments) < 2 or arguments[0] != "serve" or arguments[1].startswith("-"):
            raise ValueError(f"{' '.join(arguments) or 'no arguments'}: use `vllm serve MODEL OPTIONS...`")
        options = parse_options(arguments[1:])
        if unknown := unknown_options(options):
            raise ValueError(f"{', '.join(unknown)}: not known how to run this on a CPU")
    except ValueError as error:
        print(f"vllm: {error}", file=sys.stderr)
        sys.exit(2)
    reasons = dict.fromkeys(GPU_ONLY & options.keys(), "it is for GPUs") | unsupported_options(
        cpu_flags(), options
    )
    print("vllm: local stand-in for the build for GPUs: the CPU build with random weights", flush=True)
    for name, reason in sorted(reasons.items()):
        print(f"vllm: without {name} {' '.join(options[name])}: {reason}".rstrip(), flush=True)
    changed = cpu_options(options, arguments[1], KV_BYTES, reasons)
    os.execve(python, [python, *SERVER, *as_arguments(changed)], {**os.environ, **CPU_ENV})


def image_files() -> dict[str, Path]:
    """This module and what it imports, by their path in the image's folder of packages."""
    here = Path(__file__).parent
    return {f"tierup/local/machine/{name}.py": here / f"{name}.py" for name in ("cpu", "vllm_on_cpu")}
