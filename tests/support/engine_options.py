"""Write the list of what the pinned vLLM takes, from its own parser and registries. To renew it:

.venv/bin/python tests/support/engine_options.py
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.local.toolchain import engine_env

FILE = Path(__file__).parents[2] / "tierup" / "catalog" / str(engine_facts(DEFAULT_ENGINE).options_file)
# Run by the engine's interpreter: its last line is the list as JSON.
PROGRAM = """
import argparse, json, typing
import vllm
from vllm import envs
from vllm.config.lora import MaxLoRARanks
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
from vllm.reasoning import ReasoningParserManager
from vllm.tool_parsers import ToolParserManager
from vllm.utils.argparse_utils import FlexibleArgumentParser

JSON = {"loads", "parse_dataclass", "_parse_type"}
KINDS = {
    "int": "integer", "float": "number", "human_readable_int": "size", "human_readable_int_or_auto": "size",
    "union_dict_and_str": "json or text", **dict.fromkeys(JSON, "json"),
}
TEXT = {"str", "<lambda>", "None"}  # the functions of <lambda> change the case of a text


def inner(kind):
    # optional_type(X) keeps X in its closure
    if getattr(kind, "__name__", "") != "_optional_type":
        return getattr(kind, "__name__", str(kind))
    return inner(kind.__closure__[0].cell_contents)


def kind_of(action):
    if isinstance(action, argparse.BooleanOptionalAction):
        return "switch"
    if action.nargs == 0:
        return "flag"
    name = inner(action.type)
    if name not in KINDS and name not in TEXT:
        raise SystemExit(f"{action.option_strings}: unknown type {name}")
    return KINDS.get(name, "text")


def option(action):
    found = {"kind": kind_of(action)}
    choices = QUANTIZATION_METHODS if action.dest == "quantization" else action.choices
    if choices:
        found["choices"] = [choice for choice in choices if choice is not None]
    if action.nargs in ("+", "*") or type(action).__name__ == "_AppendAction":
        found["several"] = True
    return found


parser = make_arg_parser(FlexibleArgumentParser())
options = {
    next(name for name in action.option_strings if name.startswith("--")): option(action)
    for action in parser._actions if action.option_strings and action.dest != "help"
}
print()
print(json.dumps({
    "version": vllm.__version__.partition("+")[0],
    "tool_call_parsers": sorted(ToolParserManager.list_registered()),
    "reasoning_parsers": sorted(ReasoningParserManager.list_registered()),
    "lora_ranks": sorted(typing.get_args(MaxLoRARanks)),
    "environment": sorted(envs.environment_variables),
    "options": dict(sorted(options.items())),
}, default=str))
"""


def as_file(found: dict[str, Any]) -> str:
    """The text of the file: one option per line, for readable diffs."""
    rows = [f'    "{name}": {json.dumps(option)}' for name, option in found["options"].items()]
    head = [f'  "{key}": {json.dumps(value)},' for key, value in found.items() if key != "options"]
    return "\n".join(["{", *head, '  "options": {', ",\n".join(rows), "  }", "}"]) + "\n"


def main() -> None:
    python = engine_env.default().python()
    done = subprocess.run([python, "-c", PROGRAM], check=True, capture_output=True, text=True)
    FILE.write_text(as_file(json.loads(done.stdout.splitlines()[-1])), encoding="utf-8")
    print(f"{FILE.name}: {len(FILE.read_text().splitlines())} lines")


if __name__ == "__main__":
    main()
