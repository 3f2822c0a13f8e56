"""Two real engines for the whole run, fake ones for each test; tests without Nginx or vLLM skip with a message."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_pair import EnginePair, engine_pair
from fake_backend import FakeBackend
from gateway_stack import GatewayStack, running
from small_gateway import Site
from small_nginx import find_nginx

from tierup.local.toolchain import ToolMissing
from tierup.local.toolchain.nginx import NginxProgram, current_nginx, toolchain_nginx
from tierup.plan.model import Plan

SLOTS, REPLICAS, QUEUE = 4, 2, 40
CALLERS: dict[str, object] = {"web": {"classes": ["chat"]}, "ops": {}}

# Starts a gateway for these callers before the engines at these addresses; keywords are further settings of it.
OpenGateway = Callable[..., contextlib.AbstractContextManager[GatewayStack]]


def tier(make_plan: Callable[..., Plan], **sections: object) -> Plan:
    """The plan of the two engines, with four slots each, so that a few requests fill them."""
    gateway: dict[str, object] = {"queueLength": QUEUE, "replicas": 1}
    settings = sections.pop("gateway", {})
    assert isinstance(settings, dict)
    model = {"id": "qwen2.5-7b", "replicas": REPLICAS, "maxNumSeqs": SLOTS, "context": 8192}
    return make_plan(models=[model], gateway=gateway | settings, **sections)


@pytest.fixture(scope="module")
def backend() -> Iterator[FakeBackend]:
    """One fake engine, which must know every request; as vLLM, it allows every origin that it hears of."""
    backend = FakeBackend("engine").start()
    yield backend
    backend.stop()
    assert backend.unknown == []


@pytest.fixture(scope="session")
def engines(make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnginePair]:
    """Two servers of the tier's only model, which name the tokens of prompts that were cached."""
    find_nginx()
    metered = tier(make_plan, gateway={"meterTokens": True})
    with engine_pair(metered, tmp_path_factory.mktemp("engines")) as pair:
        yield pair


@pytest.fixture(scope="session")
def make_tier(make_plan: Callable[..., Plan]) -> Callable[..., Plan]:
    """Creates plans for these two engines; keywords add sections."""
    return lambda **sections: tier(make_plan, **sections)


@pytest.fixture(scope="session")
def open_gateway(make_tier: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory) -> OpenGateway:
    """Gateways for two callers: `web` may send chats only, `ops` everything. The key of NAME is `key-of-NAME`."""

    def opened(addresses: list[str], **settings: object) -> contextlib.AbstractContextManager[GatewayStack]:
        secrets = frozenset(f"key-{name}" for name in CALLERS)
        plan = make_tier(gateway={"keys": CALLERS, **settings}, secrets=secrets)
        keys = {name: [f"key-of-{name}"] for name in CALLERS}
        folder = tmp_path_factory.mktemp("gateway")
        return running(GatewayStack(plan, folder, {plan.models[0].slug: addresses}, keys))

    return opened


@pytest.fixture(scope="session")
def served(engines: EnginePair, open_gateway: OpenGateway) -> Iterator[GatewayStack]:
    """A gateway for these callers before the two real engines."""
    with open_gateway(engines.addresses) as stack:
        yield stack


@pytest.fixture(scope="session")
def current() -> Iterator[NginxProgram]:
    """The current Nginx, whose workers share numbers."""
    with contextlib.ExitStack() as stack:
        try:
            program = stack.enter_context(current_nginx())
        except ToolMissing as missing:
            pytest.skip(f"NOT PROVEN, there is no current Nginx: run `make local-node` ({missing})")
        yield program


@pytest.fixture(params=["old", "current"])
def nginx(request: pytest.FixtureRequest) -> NginxProgram:
    """Both versions; the old one counts no requests in flight."""
    if request.param == "old":
        find_nginx()
        return toolchain_nginx()
    program: NginxProgram = request.getfixturevalue("current")
    return program


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Fake engines and real gateways with a small template."""
    find_nginx()
    site = Site(tmp_path)
    try:
        yield site
    finally:
        site.end()
