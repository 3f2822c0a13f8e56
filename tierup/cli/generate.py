"""Writes the files that are generated and committed; a test checks that each is up to date."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

from tierup.catalog import load_catalog
from tierup.catalog.claims import load_claims
from tierup.cli import plan_page
from tierup.compare import Comparison, compare
from tierup.cost import priced
from tierup.cost.report.cost import StackReport
from tierup.cost.report.difference import DifferenceReport
from tierup.io.stack.read import read_stack, stack_path
from tierup.manifests.alerts import alerts_yml
from tierup.manifests.boards import BOARDS, boards_json
from tierup.plan.model import Plan
from tierup.report import compare_markdown, stack_page, terminal
from tierup.report.charts import board as board_chart
from tierup.report.charts import compare as picture
from tierup.report.findings_page import page
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse
from tierup.stack.schema import json_schema

ROOT = Path(__file__).parents[2]
TIERS = ("entry", "standard", "premium")  # by name: stack files of your own change no committed file
EXAMPLE = "standard"  # the tier whose boards are committed and drawn
RECORDED = "docs/boards/recorded.json"
DRAWN = tuple(name for name in BOARDS if name != "runbooks.json")  # that one is docs/runbooks.md


def schema() -> str:
    """The stack files' JSON Schema."""
    return json.dumps(json_schema(), indent=2) + "\n"


def cost_schema() -> str:
    """The JSON Schema of what `tierup cost --json` prints."""
    return json.dumps(StackReport.model_json_schema(mode="serialization"), indent=2) + "\n"


def cost_difference_schema() -> str:
    """The JSON Schema of what `tierup cost --plan --json` prints."""
    return json.dumps(DifferenceReport.model_json_schema(mode="serialization"), indent=2) + "\n"


def plan_of(tier: str) -> Plan:
    """The plan of a committed tier."""
    return make_plan(parse(read_stack(stack_path(ROOT, tier))), load_catalog())


@functools.cache
def board_texts() -> dict[str, str]:
    """The boards of the standard tier as JSON, by file."""
    return boards_json(priced(plan_of(EXAMPLE)), indent=1)


def board_text(name: str) -> str:
    """One of them."""
    return board_texts()[name]


def board_picture(name: str) -> str:
    """A board of the standard tier with what a Prometheus answered, as recorded by tests/support/board_answers.py."""
    recorded = json.loads((ROOT / RECORDED).read_text(encoding="utf-8"))
    return board_chart.render(name, json.loads(board_texts()[name]), recorded["answers"])


def alerts(tier: str) -> str:
    """The alerts of a committed tier, to be read beside their template."""
    return f"# Written by `make generate` for the {tier} tier; do not edit.\n{alerts_yml(plan_of(tier))}"


@functools.cache
def comparison() -> Comparison:
    """The comparison of the committed tiers."""
    return compare(map(plan_of, TIERS), load_catalog(), load_claims())


def compare_page() -> str:
    """Both tables of the comparison, under the picture."""
    head = "# The tiers side by side\n\nWritten by `make generate` from what `tierup compare` computes; do not edit.\n"
    tables = compare_markdown.as_markdown(comparison())
    return f"{head}\n![Time to the first token against users](compare.svg)\n\n{tables}"


def readme() -> str:
    """The README with the table of tiers between its markers renewed."""
    return compare_markdown.between(
        (ROOT / "README.md").read_text(encoding="utf-8"), compare_markdown.tiers(comparison())
    )


def plan_picture() -> str:
    """What `tierup plan` prints for the standard tier, without the table of defaults."""
    plan = plan_of("standard")
    findings = (f"{finding.severity}: {finding}" for finding in plan.findings)
    command = "tierup plan --stack standard"
    return terminal.svg(command, (f"$ {command}", *plan_page.lines(plan), *findings), "plan")


def answer_picture() -> str:
    """A chat through a real gateway, as recorded in docs/answer.txt."""
    recorded = (ROOT / "docs/answer.txt").read_text(encoding="utf-8")
    return terminal.svg("a chat through the gateway", recorded.splitlines(), "answer")


GENERATED: dict[str, Callable[[], str]] = {
    "stacks/tierup.schema.json": schema,
    **{f"monitoring/dashboards/{EXAMPLE}/{name}": functools.partial(board_text, name) for name in BOARDS},
    **{
        f"docs/boards/{name.removesuffix('.json')}.svg": functools.partial(board_picture, name)
        for name in DRAWN
    },
    **{f"monitoring/rules/rendered/{tier}.yml": functools.partial(alerts, tier) for tier in TIERS},
    "docs/findings.md": page,
    "docs/stack-file.md": stack_page.page,
    "docs/cost.schema.json": cost_schema,
    "docs/cost-difference.schema.json": cost_difference_schema,
    "docs/compare.svg": lambda: picture.render(comparison()),
    "docs/compare.md": compare_page,
    "docs/plan.svg": plan_picture,
    "docs/answer.svg": answer_picture,
    "README.md": readme,
}


def main() -> None:
    """Write every generated file, and print which changed."""
    for name, make in GENERATED.items():
        path, text = ROOT / name, make()
        same = path.exists() and path.read_text(encoding="utf-8") == text
        print(f"{name}: {'unchanged' if same else 'written'}")
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
