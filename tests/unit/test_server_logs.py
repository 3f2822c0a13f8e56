"""A dead server's log, read for the error that came first; and the ports and flags that servers are started with."""

import subprocess
import sys
from pathlib import Path

import pytest
import server_logs

from tierup.local.dev.cpu_engine import cpu_args
from tierup.local.machine import ports
from tierup.local.machine.cpu import cpu_flags, fp8_kv_cache_problem
from tierup.local.machine.logs import root_cause
from tierup.local.machine.ports import free_port
from tierup.local.machine.vllm_on_cpu import parse_options, unsupported_options

# As vLLM 0.32.0 ends on a processor without AVX-512: the engine's process logs and raises it, then the server gives up.
VLLM = """\
(APIServer pid=139) WARNING 11-27 12:40:28 [system_utils.py:255] Found ulimit of 20000 and failed with error
(Core pid=7) ERROR 11-27 12:40:47 [a.py:1] EngineCore failed to start.
(Core pid=7) ERROR 11-27 12:40:47 [a.py:1] Traceback (most recent call last):
(Core pid=7) ERROR 11-27 12:40:47 [a.py:1]   File "core.py", line 1480, in run_engine_core
(Core pid=7) ERROR 11-27 12:40:47 [a.py:1]     engine_core = EngineCoreProc(*args)
(Core pid=7) ERROR 11-27 12:40:47 [a.py:1]   File "cpu_attn.py", line 541, in _get_attn_isa
(Core pid=7) ERROR 11-27 12:40:47 [a.py:1]     raise NotImplementedError(
(Core pid=7) ERROR 11-27 12:40:47 [a.py:1] NotImplementedError: FP8 KV cache on CPU requires x86 with AVX-512 or AMX.
Traceback (most recent call last):
  File "core.py", line 1480, in run_engine_core
    engine_core = EngineCoreProc(*args)
NotImplementedError: FP8 KV cache on CPU requires x86 with AVX-512 or AMX.
Traceback (most recent call last):
  File "utils.py", line 1431, in wait_for_engine_startup
    raise RuntimeError(
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
CHAINED = """\
Traceback (most recent call last):
  File "a.py", line 1, in read
OSError: [Errno 28] No space left on device

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "b.py", line 2, in serve
RuntimeError: cannot serve
"""
PYDANTIC = """\
Traceback (most recent call last):
  File "/venv/a.py", line 1, in read
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, the model is not there [type=value_error]
    For further information visit the page

shutting down
"""
BUSY = "".join(f"I1127 12:00:{second:02} controller.go:1] at work\n" for second in range(60))


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (
            VLLM,
            (
                'File "cpu_attn.py", line 541, in _get_attn_isa\n'
                "NotImplementedError: FP8 KV cache on CPU requires x86 with AVX-512 or AMX."
            ),
        ),
        (CHAINED, 'File "a.py", line 1, in read\nOSError: [Errno 28] No space left on device'),
        (
            PYDANTIC,
            (
                'File "/venv/a.py", line 1, in read\n'
                "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n"
                "  Value error, the model is not there [type=value_error]\n"
                "    For further information visit the page"
            ),
        ),
        (
            f'E1127 12:00:00 a.go:1] "retry"\n{BUSY}E1127 12:01:00 run.go:72] "command failed" err="no etcd"\n{BUSY}',
            'E1127 12:01:00 run.go:72] "command failed" err="no etcd"',
        ),
        (
            f"{BUSY}panic: runtime error: index out of range\n{BUSY}",
            "panic: runtime error: index out of range",
        ),
        (
            "api_server.py: error: argument --dtype: invalid choice\nmore\n",
            "api_server.py: error: argument --dtype: invalid choice",
        ),
        (
            "2026/11/27 12:00:00 [notice] 1#1: start\n2026/11/27 12:00:00 [emerg] 1#1: bind() failed\nend\n",
            "2026/11/27 12:00:00 [emerg] 1#1: bind() failed",
        ),
        ("\x1b[31mError: no such config\x1b[0m\nbye\n", "Error: no such config"),
        ("", "the log is empty"),
    ],
    ids=["vllm", "chained", "pydantic", "go", "panic", "arguments", "nginx", "colour", "empty"],
)
def test_the_first_error_is_shown_and_not_the_last_lines(log: str, cause: str) -> None:
    assert root_cause(log) == cause


def test_a_log_without_a_fatal_error_is_shown_by_its_end_and_its_first_error() -> None:
    lines = root_cause(f"level=error msg=early\n{BUSY}").splitlines()
    assert lines[:2] == ["level=error msg=early", "the last 10 lines:"]
    assert lines[2:] == BUSY.splitlines()[-10:]


def test_a_failed_test_reports_a_failed_server_and_no_other(tmp_path: Path) -> None:
    codes = {"failed": 3, "left": 0}
    for name, code in codes.items():
        log = tmp_path / name
        with log.open("w") as out:
            program = f"import sys; print('Error: {name}'); sys.exit({code})"
            child = subprocess.Popen([sys.executable, "-c", program], stdout=out)
        child.wait(60)
        server_logs.watch(log, child)
    assert list(server_logs.causes()) == [
        (f"server that ended with 3, from {tmp_path / 'failed'}", "Error: failed")
    ]
    assert list(server_logs.causes()) == [], "reported once"


def test_no_two_callers_get_the_same_port() -> None:
    given = {free_port() for _ in range(50)}
    program = "from tierup.local.machine.ports import free_port\nprint(*(free_port() for _ in range(50)))"
    other = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    ours = set(map(int, other.stdout.split()))
    assert len(given) == len(ours) == 50
    assert not given & ours


def test_a_port_is_outside_the_range_of_outgoing_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = tmp_path / "range"
    monkeypatch.setattr(ports, "_LINUX_RANGE", kernel)
    kernel.write_text("20000\t31000\n")
    assert {free_port() // 1000 for _ in range(20)} == {31}
    kernel.write_text("1024\t65535\n")  # then it may be one of them
    assert 20_000 <= free_port() < 32_000


X86 = """processor\t: 0
model name\t: AMD EPYC
flags\t\t: fpu sse4_2 avx2 {}

processor\t: 1
flags\t\t: fpu
"""
AVX512 = "avx512f avx512bw avx512dq avx512vl"


@pytest.mark.parametrize(
    ("flags", "can"),
    [("", False), (AVX512, True), ("amx_tile", True), ("avx512f", False)],
    ids=["avx2 only", "avx-512", "amx", "half of avx-512"],
)
def test_an_fp8_cache_is_left_out_where_the_processor_cannot(tmp_path: Path, flags: str, can: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(X86.format(flags))
    found = cpu_flags(file)
    assert {"avx2", *flags.split()} <= found
    assert (fp8_kv_cache_problem(found) is None) is can
    container = {
        "args": ["/models/x", "--dtype", "float16", "--kv-cache-dtype", "fp8", "--max-num-seqs", "4"]
    }
    without = unsupported_options(found, parse_options(container["args"]))
    assert without.keys() == (set() if can else {"--kv-cache-dtype"})
    args = cpu_args(container, tmp_path, 1, 1, tmp_path, without=without)
    assert ("--kv-cache-dtype" in args) is can
    assert "--dtype" in args
    assert unsupported_options(found, {"--dtype": ["float16"]}) == {}


def test_flags_are_read_as_arm_lists_them_and_are_none_where_there_is_no_list(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert cpu_flags(file) == {"fp", "asimd"}
    assert cpu_flags(tmp_path / "absent") == frozenset()
