"""Every command block of README and docs runs, or says what it needs; every YAML example is a valid stack file."""

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from documented import PROGRAMS, Block, blocks
from stack_schema import stack_validator
from warm_python import TIERUP, WarmPython

from tierup.io.stack.yaml import read_yaml
from tierup.templates import ROOT

# What a block may need, after `needs=`. Only the first can be had here, where the machine has it.
NEEDS = {
    "jq": "the program jq",
    "gateway": "a gateway that answers, as tests/data_path/test_client_docs.py has",
    "embedder": "a model that embeds text, as tests/data_path/test_embeddings.py has",
    "client": "a program that the development environment lacks",
    "cluster": "a real cluster, the Pulumi CLI, or a service on one",
    "local": "a local cluster, which tests/control_plane starts",
    "minutes": "minutes, and the toolchain or vLLM's CPU build",
    "root": "root, and minutes",
    "results": "results of load tests",
    "hub": "a model hub, as tests/unit/test_model_add.py has",
    "sops": "the programs sops and yq",
}
# How many blocks run and how many do not: a block that is added or marked changes this on purpose.
COUNTS = {
    "run": 12,
    "gateway": 8,
    "embedder": 1,
    "client": 3,
    "jq": 1,
    "cluster": 17,
    "local": 2,
    "minutes": 5,
    "root": 2,
    "results": 1,
    "hub": 1,
    "sops": 1,
}
OTHER = {"yaml", "mermaid", "text"}


def pages() -> list[Path]:
    """The pages in English; tests/unit/test_docs_chinese.py holds the others to the same blocks."""
    docs = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "zh" not in path.parts]
    return [ROOT / "README.md", *docs, ROOT / "images" / "README.md"]


BLOCKS = [block for page in pages() for block in blocks(page)]
RUN = [block for block in BLOCKS if block.kind == "sh" or block.needs == "jq"]
YAML = [block for block in BLOCKS if block.kind == "yaml"]


def test_every_block_says_what_it_is() -> None:
    for block in BLOCKS:
        known = block.kind in OTHER | {"sh"} or block.needs in NEEDS
        assert known, (block.page, block.kind, block.body)


def test_no_block_is_skipped_silently() -> None:
    programs = [block for block in BLOCKS if block.language in PROGRAMS]
    assert Counter("run" if block.needs is None else block.needs for block in programs) == COUNTS


@pytest.fixture
def checkout(tmp_path: Path, warm: WarmPython) -> Path:
    """A copy of what the commands read, with `.venv` as `make setup` makes it."""
    for name in ("Pulumi.yaml", "stacks", "ci"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, tmp_path / name)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f'PATH="{programs}:$PATH"\n')
    command = programs / "tierup"
    command.write_text(warm.script(f"import sys; sys.argv[0] = 'tierup'; {TIERUP}"))
    command.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize("page", sorted({block.page for block in RUN}))
def test_the_commands_of_a_page_run_one_after_the_other(checkout: Path, page: str) -> None:
    path = f"{checkout / '.venv' / 'bin'}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": str(checkout / "state")}
    for block in (block for block in RUN if block.page == page):
        if block.needs == "jq" and shutil.which("jq") is None:
            pytest.skip("NOT PROVEN: there is no jq")
        command = ["bash", "-euo", "pipefail", "-c", block.body]
        ended = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, f"{block.body}\n{ended.stdout[-2000:]}\n{ended.stderr}"


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.page)
def test_a_yaml_example_is_valid(block: Block) -> None:
    document: dict[str, Any] = read_yaml(block.body)[0]
    sections = document.get("config", document)
    if not all(key.startswith("tierup:") for key in sections):
        return  # of another program
    required = {
        "tierup:workload": {"users": 1},
        "tierup:nodes": {"server": "entry-2x-rtx-4090"},
        "tierup:models": [{"id": "qwen2.5-7b"}],
    }
    whole = {"config": _merged(required, sections)}
    assert [error.message for error in stack_validator().iter_errors(whole)] == []


def _merged(required: dict[str, Any], sections: dict[str, Any]) -> dict[str, Any]:
    """Required sections, with the example's keys in them."""
    both = {**required, **sections}
    for key in required.keys() & sections.keys():
        if isinstance(required[key], dict):
            both[key] = required[key] | sections[key]
    return both


def test_every_link_to_a_file_leads_somewhere() -> None:
    for page in (*pages(), *sorted((ROOT / "docs" / "zh").glob("*.md")), ROOT / "README.zh.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_the_table_of_contents_has_every_page() -> None:
    listed = set(
        re.findall(r"\]\(([\w/-]+\.md)\)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    )
    there = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert there <= listed


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_readme_s_message_is_a_real_one(page: str) -> None:
    (block,) = re.findall(r"```text\n(stack '.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert block == (ROOT / "tests/unit/bad_stacks/tp-eight.expected").read_text(encoding="utf-8")
