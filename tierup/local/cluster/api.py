"""A small client for a local cluster's Kubernetes API: HTTPS and JSON, with a bearer token and a CA.

It replaces the `kubernetes` client, whose import takes longer than the rest of `tierup local status`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from tierup.findings.model import TierError

FIELD_MANAGER = "tierup-local"
Object = Mapping[str, Any]
_POLL_S = 0.05
_READY_TIMEOUT_S = 5.0
WAIT_TIMEOUT_S = 120.0  # a step that takes a second on an idle machine may take much longer on a busy one


class ApiError(TierError):
    """An error response of the API server: `status` is the HTTP code, `reason` the API's reason (as NotFound)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """`message` is the server's own."""
        super().__init__(message)
        self.status = status
        self.reason = reason


class Api:
    """Client of one cluster's API."""

    def __init__(self, server: str, ca_file: Path, token: str | None) -> None:
        """`server` is https://host:port; without a token requests are anonymous."""
        self._server = server
        self._headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        self._pool = urllib3.PoolManager(
            ca_certs=str(ca_file), timeout=urllib3.Timeout(connect=5, read=60), retries=False
        )
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Any:
        """Send one request and return the decoded response (text if it is not JSON).

        Raises ApiError for an HTTP error status, urllib3.exceptions.HTTPError when it cannot be reached.
        """
        headers = {**self._headers, "Content-Type": content_type, "Accept": "application/json, */*"}
        data = json.dumps(body).encode() if body is not None else None
        response = self._pool.request(method, self._server + path, body=data, headers=headers)
        text = response.data.decode()
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        content = json.loads(text) if is_json else text
        if response.status >= 400:
            status = content if isinstance(content, dict) else {}
            raise ApiError(response.status, status.get("reason", ""), status.get("message", text))
        return content

    def ready(self) -> bool:
        """Whether the API server responds and reports that it is ready."""
        try:
            response = self._pool.request(
                "GET", f"{self._server}/readyz", headers=self._headers, timeout=_READY_TIMEOUT_S
            )
        except urllib3.exceptions.HTTPError:
            return False
        return response.status == 200

    def apply(self, *objects: Object) -> None:
        """Server-side apply of `objects` in order, taking over fields that other managers own."""
        for obj in objects:
            path = self._path_of(obj, obj["metadata"]["name"])
            query = f"?fieldManager={FIELD_MANAGER}&force=true"
            self.request("PATCH", path + query, obj, "application/apply-patch+yaml")

    def create(self, obj: Object) -> None:
        """Create one object; raises ApiError with status 409 if it exists already."""
        self.request("POST", self._path_of(obj, None), obj)

    def merge(self, path: str, patch: Object) -> None:
        """JSON merge patch of the object at `path`; fields that `patch` does not name stay unchanged."""
        self.request("PATCH", path, patch, "application/merge-patch+json")

    def get(
        self, api_version: str, kind: str, name: str, namespace: str | None = None
    ) -> dict[str, Any] | None:
        """The object, or None if it does not exist."""
        try:
            obj = self.request("GET", self.path(api_version, kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return dict(obj)

    def list_all(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        selector: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """All objects of a kind, in all namespaces if none is given; `selector` maps labels to their values."""
        query = {"labelSelector": ",".join(f"{k}={v}" for k, v in (selector or {}).items())}
        path = self.path(api_version, kind, namespace)
        return [dict(item) for item in self.request("GET", f"{path}?{urlencode(query)}")["items"]]

    def delete(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> None:
        """Delete the object, and its dependents in the background; does nothing if it does not exist."""
        try:
            path = self.path(api_version, kind, namespace, name)
            self.request("DELETE", path, {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != 404:
                raise

    def wait(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        until: Callable[[dict[str, Any] | None], bool],
        timeout: float = WAIT_TIMEOUT_S,
    ) -> dict[str, Any] | None:
        """Read the object until `until(object)` is true and return it; `until` gets None if it does not exist.

        Raises TimeoutError with the object's last status after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            obj = self.get(api_version, kind, name, namespace)
            if until(obj):
                return obj
            if time.monotonic() > deadline:
                last = json.dumps(obj.get("status"), indent=1) if obj is not None else "it does not exist"
                raise TimeoutError(
                    f"{kind} {name} did not reach the expected state within {timeout:.0f} s; last status: {last}"
                )
            time.sleep(_POLL_S)

    def path(self, api_version: str, kind: str, namespace: str | None = None, name: str | None = None) -> str:
        """The URL path of a kind, or of one object, from the server's API discovery."""
        group = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        kinds = self._kinds.get(api_version)
        if kinds is None or kind not in kinds:
            resources = self.request("GET", group)["resources"]
            kinds = {r["kind"]: (r["name"], r["namespaced"]) for r in resources if "/" not in r["name"]}
            self._kinds[api_version] = kinds
        if kind not in kinds:
            raise ApiError(404, "NotFound", f"the server has no {kind} in {api_version}")
        plural, namespaced = kinds[kind]
        scope = f"namespaces/{namespace}" if namespaced and namespace is not None else None
        return "/".join(part for part in (group, scope, plural, name) if part is not None)

    def _path_of(self, obj: Object, name: str | None) -> str:
        return self.path(obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace", "default"), name)
