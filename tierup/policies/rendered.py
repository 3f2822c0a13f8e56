"""Decides how an object that we render reads as the resource that Pulumi will make of it."""

from tierup.manifests.common import Manifest
from tierup.resources import Resource


def resource_of(manifest: Manifest) -> Resource:
    """The resource; its URN says only what it is, because no stack holds it yet."""
    kind, version = manifest["kind"], manifest["apiVersion"]
    name = manifest["metadata"]["name"]
    token = f"kubernetes:{version if '/' in version else f'core/{version}'}:{kind}"
    return Resource(f"{token}::{name}", token, name, None, manifest)
