"""Access to a Kubernetes cluster, chosen by kubeconfig and context: reading for every check, writing for a probe."""

import contextlib
import json
import os
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

from tierup.findings.model import Code, Finding, FindingsError

# A reachable server accepts a connection at once, but a busy API server may be slow to list objects.
_CONNECT_SECONDS, _READ_SECONDS = 4, 30
_SERVER_FIX = "start it, or set tierup:cluster to another kubeconfig or context"
_CERTIFICATE_FIX = "get a new kubeconfig: its certificate authority is not that of this server"
_ANONYMOUS_FIX = "log in to it: the kubeconfig's user sends no credentials that it accepts"
# Exceptions that the kubernetes client raises for a file that is not a kubeconfig.
_KUBECONFIG_ERRORS = (OSError, yaml.YAMLError, TypeError, AttributeError, KeyError, ValueError)


class ClusterError(FindingsError):
    """The cluster cannot be read; the message names the cluster, the reason and the fix.

    `status` is the HTTP status of a refusal, None where no server answered.
    """

    def __init__(
        self,
        path: str,
        problem: str,
        fix: str,
        got: str | None = None,
        allowed: str | None = None,
        *,
        status: int | None = None,
    ) -> None:
        finding = Finding(Code.CLUSTER_UNREACHABLE, path, problem, fix, got, allowed)
        super().__init__([finding], "the cluster's access")
        self.status = status

    @property
    def forbidden(self) -> bool:
        """Whether the server let the user in, and refuses this request."""
        return self.status == HTTPStatus.FORBIDDEN


@dataclass(frozen=True)
class ClusterRef:
    """A cluster's kubeconfig, context and server; `ambient` is False if the stack file names them."""

    kubeconfig: str
    context: str
    server: str
    ambient: bool

    def __str__(self) -> str:
        how = (
            "the ambient kubeconfig; set tierup:cluster to choose"
            if self.ambient
            else "named by tierup:cluster"
        )
        return f"context '{self.context}' of {self.kubeconfig} at {self.server} ({how})"


class Cluster:
    """One Kubernetes API."""

    def __init__(
        self,
        kubeconfig: str | None,
        context: str | None,
        *,
        read_seconds: float = _READ_SECONDS,
        retries: int = 1,
    ) -> None:
        """A request is repeated `retries` times; raises `ClusterError` if the kubeconfig or context cannot be used."""
        # The kubernetes client supports every way to log in: certificates, tokens, exec plugins.
        from kubernetes import config
        from kubernetes.config import kube_config
        from urllib3 import Retry

        path = kubeconfig if kubeconfig is not None else kube_config.KUBE_CONFIG_DEFAULT_LOCATION
        try:
            contexts, active = config.list_kube_config_contexts(path)
            names = [item["name"] for item in contexts]
            name = context if context is not None else active["name"]
            if name not in names:
                problem, fix = f"kubeconfig {path} has no context '{name}'", "name one that it has"
                raise ClusterError("cluster.context", problem, fix, name, ", ".join(names) or "none")
            path = _file_of(path, name)
            self._api: Any = config.new_client_from_config(path, context=name)
        except (config.ConfigException, *_KUBECONFIG_ERRORS) as error:
            problem = f"kubeconfig {path} cannot be used: {' '.join(str(error).split())}"
            fix = "set tierup:cluster, or KUBECONFIG, to a file that kubectl accepts"
            raise ClusterError("cluster.kubeconfig", problem, fix) from error
        pool = self._api.rest_client.pool_manager.connection_pool_kw
        # `other`: a wrong certificate stays wrong. `total`: without it a busy server's Retry-After holds ten times.
        pool["retries"] = Retry(total=retries, other=0, backoff_factor=0.2)
        self._timeout = (min(_CONNECT_SECONDS, read_seconds), read_seconds)
        ambient = kubeconfig is None and context is None
        self.ref = ClusterRef(path, name, self._api.configuration.host, ambient)

    def get(self, path: str) -> dict[str, Any] | None:
        """An API object or list, None if it does not exist; raises `ClusterError` if the cluster cannot be read."""
        return self.send("GET", path)

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """The response to one request, None for 404; raises `ClusterError` for every other refusal."""
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        request = self._api.param_serialize(
            method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            response = self._api.call_api(*request, _request_timeout=self._timeout)
            status, answer = response.status, response.read()
        except ApiException as error:
            if not error.status:  # the client's own word for a failed handshake
                raise self._no_answer(error) from error
            status, answer = error.status, error.body
        except HTTPError as error:
            raise self._no_answer(error) from error
        if status == 404:
            return None
        if status >= 400:
            raise self._refusal(status, answer, path)
        return self._object(answer)

    def _object(self, answer: bytes | str) -> dict[str, Any]:
        """The JSON object in a response; a proxy may answer with a page of its own."""
        with contextlib.suppress(ValueError):
            content = json.loads(answer)
            if isinstance(content, dict):
                return content
        problem = f"{self.ref.server} does not answer as a Kubernetes API does"
        raise ClusterError("cluster", problem, _SERVER_FIX, self.ref.context)

    def _no_answer(self, error: Exception) -> ClusterError:
        reason = getattr(error, "reason", None) or error
        problem, fix = f"{self.ref.server} does not answer: {_plain(reason)}", _SERVER_FIX
        if "certificate verify failed" in str(reason):
            why = _plain(reason).partition(" (_ssl")[0]
            problem, fix = f"the certificate of {self.ref.server} is not trusted: {why}", _CERTIFICATE_FIX
        return ClusterError("cluster", problem, fix, self.ref.context)

    def _refusal(self, status: int, body: bytes | str | None, path: str) -> ClusterError:
        try:
            message = f": {json.loads(body or '')['message']}"
        except (ValueError, KeyError, TypeError):
            message = ""
        fixes = {401: "log in to it again", 403: "ask its administrator for a role that allows this"}
        fix = _ANONYMOUS_FIX if "system:anonymous" in message else fixes.get(status, "try again later")
        problem = f"{self.ref.server} answers {status} to {path}{message}"
        return ClusterError("cluster", problem, fix, self.ref.context, status=status)


def _file_of(paths: str, context: str) -> str:
    """The file of a KUBECONFIG list that has the context; the provider takes one path and does not expand `~`."""
    for path in map(os.path.expanduser, paths.split(os.pathsep)):
        if path and Path(path).is_file():
            contexts = (yaml.safe_load(Path(path).read_text()) or {}).get("contexts") or []
            if context in [item["name"] for item in contexts]:
                return path
    return paths


def _plain(error: object) -> str:
    """A connection error's text without the pool object that urllib3 puts in front."""
    return str(error).rpartition(": ")[2] or type(error).__name__
