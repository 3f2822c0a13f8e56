"""A site of fake engines and real gateways for each test; without Nginx no test here runs, and each says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_gateway import Site
from small_nginx import njs_module


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    njs_module()
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.end()
