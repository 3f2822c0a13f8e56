"""A fake Pulumi engine: records the resources that a program registers and fails on unknown types and calls."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from pulumi.runtime import mocks, settings
from pulumi.runtime.config import set_all_config
from pulumi.runtime.proto import engine_pb2, resource_pb2
from pulumi.runtime.stack import run_in_stack

from components.kube import RESOURCES

STACK_TYPE = "pulumi:pulumi:Stack"
PROVIDER_TYPE = "pulumi:providers:kubernetes"
COMPONENT_TYPES = {
    "tierup:index:InferenceTier",
    "tierup:base:Foundation",
    "tierup:nodes:GpuNodes",
    "tierup:model:ModelCache",
    "tierup:model:ModelServer",
    "tierup:model:Autoscaler",
    "tierup:gateway:Gateway",
    "tierup:monitoring:Monitoring",
}
# How the engine's wire format marks a secret.
_SIGNATURE, _SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"


def type_token(api_version: str, kind: str) -> str:
    """The provider's type of a kind, `kubernetes:group/version:Kind`; nodes are only patched."""
    group = "core/v1" if api_version == "v1" else api_version
    return f"kubernetes:{group}:{'NodePatch' if kind == 'Node' else kind}"


KNOWN_TYPES = COMPONENT_TYPES | {PROVIDER_TYPE} | {type_token(*key) for key in RESOURCES}


@dataclass(frozen=True)
class Registered:
    """One registered resource; `secrets` has its secret values in plain text."""

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    secrets: tuple[Any, ...]
    parent: str
    provider: str
    custom: bool
    dependencies: frozenset[str]
    retain: bool
    timeouts: tuple[str, str, str]


@dataclass
class Run:
    """The result of one run of a program."""

    resources: dict[str, Registered] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    result: Any = None

    def of_type(self, type_: str) -> list[Registered]:
        return [item for item in self.resources.values() if item.type == type_]

    def one(self, type_: str) -> Registered:
        (resource,) = self.of_type(type_)
        return resource

    def named(self, name: str) -> Registered:
        """One resource by its name; the order of registration is not fixed."""
        (resource,) = [item for item in self.resources.values() if item.name == name]
        return resource

    @property
    def objects(self) -> list[Registered]:
        """All Kubernetes objects."""
        return [item for item in self.resources.values() if item.type.startswith("kubernetes:")]

    @property
    def exports(self) -> dict[str, Any]:
        (stack,) = [outputs for urn, outputs in self.outputs.items() if f"::{STACK_TYPE}::" in urn]
        return stack


class Counted:
    """Counts the checks that ran inside `apply`, so that a test notices one that never ran."""

    def __init__(self) -> None:
        self.ran = 0

    def __call__(self, check: Callable[[Any], None]) -> Callable[[Any], None]:
        def counted(value: Any) -> None:
            check(value)
            self.ran += 1

        return counted


class _Monitor(mocks.MockMonitor):
    def __init__(self, run: Run, stack: str, state: Mapping[str, Any]) -> None:
        self.run = run
        self.stack = f"organization/tierup/{stack}"
        self.state = state
        self.lock = threading.Lock()  # requests come from a pool of threads

    def Invoke(self, request: Any) -> Any:
        # The only known call: the stack's own state in its backend.
        assert request.tok == "pulumi:pulumi:readStackResourceOutputs", f"unknown call {request.tok}"
        name = request.args["stackName"]
        assert name == self.stack, f"the state of another stack is read: {name}"
        response = resource_pb2.ResourceInvokeResponse()
        getattr(response, "return").update({"name": name, "outputs": dict(self.state)})
        return response

    def ReadResource(self, request: Any) -> Any:
        raise AssertionError(f"unknown reading of {request.type} {request.name}")

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK_TYPE:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        assert request.type in KNOWN_TYPES, f"unknown resource type {request.type} ({request.name})"
        secrets: list[Any] = []
        times = request.customTimeouts
        registered = Registered(
            urn=urn,
            type=request.type,
            name=request.name,
            inputs=_plain(request.object, secrets),
            secrets=tuple(secrets),
            parent=request.parent,
            provider=request.provider,
            custom=request.custom,
            dependencies=frozenset(request.dependencies),
            retain=request.retainOnDelete,
            timeouts=(times.create, times.update, times.delete),
        )
        with self.lock:
            assert urn not in self.run.resources, f"registered twice: {urn}"
            self.run.resources[urn] = registered
        id_ = f"{request.name}-id" if request.custom else ""
        return resource_pb2.RegisterResourceResponse(urn=urn, id=id_, object=request.object)

    def RegisterResourceOutputs(self, request: Any) -> Any:
        with self.lock:
            assert request.urn not in self.run.outputs, f"outputs registered twice: {request.urn}"
            self.run.outputs[request.urn] = _plain(request.outputs, [])


class _Engine(mocks.MockEngine):
    def __init__(self, run: Run) -> None:
        super().__init__(None)
        self.run = run

    def Log(self, request: Any) -> None:
        self.run.messages.append(request.message)
        if request.severity == engine_pb2.WARNING:
            self.run.warned.append(request.message)


def _plain(value: Any, secrets: list[Any]) -> Any:
    """A wire value as plain data without its secret wrappers; their content is recorded."""
    kind = type(value).__name__
    if kind == "ListValue":
        return [_plain(item, secrets) for item in value]
    if kind != "Struct":
        return value
    fields = {key: _plain(item, secrets) for key, item in value.items()}
    if fields.get(_SIGNATURE) == _SECRET:
        secrets.append(fields["value"])
        return fields["value"]
    return fields


def run_program(
    program: Callable[[], Any],
    *,
    stack: str = "test",
    config: dict[str, str] | None = None,
    secrets: frozenset[str] = frozenset(),
    state: Mapping[str, Any] | None = None,
) -> Run:
    """Run a program as the language host does, in its own context and event loop.

    `state` holds the outputs of the stack's resources, by URN, as an earlier run left them.
    """
    run = Run()

    def main() -> None:
        run.result = program()

    def fresh() -> None:
        monitor: Any = _Monitor(run, stack, state if state is not None else {})
        make_settings: Any = mocks.MockSettings
        features = set(monitor.GetDeploymentInfo(None).supportedFeatures)
        settings.configure(
            make_settings(
                monitor=monitor,
                monitor_features=features,
                engine=_Engine(run),
                project="tierup",
                stack=stack,
                dry_run=False,
                organization="organization",
                outputs=set(),  # leftovers of a failed run belong to its own, closed event loop
            )
        )
        set_all_config(config if config is not None else {}, list(secrets))
        asyncio.run(run_in_stack(main))

    Context().run(fresh)
    return run
