"""The life of a probe: its namespace is created, its pods are watched, and everything is removed however it ends."""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from tierup.io.cluster.client import Cluster, ClusterError
from tierup.io.cluster.doctor.probe.pods import Objects
from tierup.io.cluster.paths import collection
from tierup.manifests.common import Manifest

_POLL_SECONDS = 0.5
_ACCOUNT_SECONDS = 20  # until the controller manager has made a namespace's service account
_REMOVE_SECONDS = 30
_DELETE_ATTEMPTS = 3


class Session:
    """The objects of one probe in the cluster, until `deadline` (of `time.monotonic`)."""

    def __init__(self, cluster: Cluster, objects: Objects, deadline: float) -> None:
        self.objects = objects
        self._cluster = cluster
        self._deadline = deadline
        self.left = False  # whether the namespace could not be removed in time

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """The namespace exists inside, and is removed after: also after Ctrl-C, a signal to end, or an error."""
        with _signals_raise():
            try:
                self.create(self.objects.own_namespace())
                account = f"{self._path}/serviceaccounts/default"
                until = min(self._deadline, time.monotonic() + _ACCOUNT_SECONDS)
                while self._cluster.get(account) is None and time.monotonic() < until:
                    time.sleep(_POLL_SECONDS)
                yield
            finally:
                with _signals_ignored():
                    self.left = not self._remove()

    @property
    def _path(self) -> str:
        return f"/api/v1/namespaces/{self.objects.namespace}"

    def create(self, manifest: Manifest) -> None:
        """Create an object; raises `ClusterError` if it is refused."""
        self._cluster.send("POST", collection(manifest), manifest)

    def delete(self, manifest: Manifest) -> None:
        """Delete an object."""
        self._cluster.send("DELETE", f"{collection(manifest)}/{manifest['metadata']['name']}")

    def pods(self) -> dict[str, Manifest]:
        """The probe's pods by name."""
        listed: dict[str, Any] = self._cluster.get(f"{self._path}/pods") or {"items": []}
        return {item["metadata"]["name"]: item for item in listed["items"]}

    def watch(self, settled: Callable[[dict[str, Manifest]], bool]) -> dict[str, Manifest]:
        """The pods as soon as `settled` is true for them, or as they are at the deadline."""
        while True:
            pods = self.pods()
            if settled(pods) or time.monotonic() > self._deadline:
                return pods
            time.sleep(_POLL_SECONDS)

    def _remove(self) -> bool:
        """Delete the namespace with all that is in it; whether it is gone."""
        for _ in range(_DELETE_ATTEMPTS):
            with contextlib.suppress(ClusterError):
                self._cluster.send("DELETE", self._path)
                break
        until = time.monotonic() + _REMOVE_SECONDS
        while time.monotonic() < until:
            try:
                if self._cluster.get(self._path) is None:
                    return True
            except ClusterError as error:
                # Who may not create a namespace may not read one either: nothing was created.
                return error.status in (401, 403)
            time.sleep(_POLL_SECONDS)
        return False


_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """A signal to end becomes an exception, as Ctrl-C does, so that what must be removed is removed."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    with _handlers(end, *_ENDING):
        yield


@contextlib.contextmanager
def _signals_ignored() -> Iterator[None]:
    """A second Ctrl-C does not stop the removal."""
    with _handlers(signal.SIG_IGN, signal.SIGINT, *_ENDING):
        yield


@contextlib.contextmanager
def _handlers(handler: Any, *numbers: signal.Signals) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
