"""What tests of every kind share: a plan made the way the product makes it, and why a server ended."""

from collections.abc import Callable, Generator

import pytest
import server_logs

from tierup.catalog import load_catalog
from tierup.plan.model import Plan
from tierup.plan.resolve import resolve
from tierup.stack.parse import RawStack, parse


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., Plan]:
    """Plan of a small stack; sections are added or replaced by keyword, as they stand in a stack file."""

    def make(*, secrets: frozenset[str] = frozenset(), **sections: object) -> Plan:
        values: dict[str, object] = {
            "workload": {"users": 16},
            "nodes": {"server": "entry-2x-rtx-4090"},
            "models": [{"id": "qwen2.5-7b"}],
            **sections,
        }
        return resolve(parse(RawStack("test", values, secrets)).config(), load_catalog())

    return make


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails tells of the servers that have failed meanwhile."""
    report = yield
    if report.failed:
        report.sections.extend(server_logs.causes())
    return report
