"""Which versions of other software this bundle pins, each once, in versions.yaml; the engines' are in engine.yaml."""

import functools

import yaml
from pydantic import ValidationError

from tierup.catalog import CatalogError, Text, _Loader, _Strict, text_of


class KubernetesVersions(_Strict):
    """The `oldest` that has all that the manifests use ("1.30"), and the one that is `tested` ("1.35.4")."""

    oldest: Text
    tested: Text


class Versions(_Strict):
    """Versions by name, without a leading "v": images by the program in them, packages and tools by their own names."""

    kubernetes: KubernetesVersions
    images: dict[str, Text]
    packages: dict[str, Text]
    tools: dict[str, Text]


@functools.cache
def load_versions() -> Versions:
    """The versions beside this module.

    Raises:
        CatalogError: naming every version that is missing or is no text (`1.30` is a number, `"1.30"` is not).
    """
    text = text_of("versions.yaml")
    try:
        return Versions.model_validate(yaml.load(text, _Loader))
    except yaml.YAMLError as error:
        raise CatalogError([f"versions.yaml: YAML: {' '.join(str(error).split())}"]) from error
    except ValidationError as error:
        raise CatalogError(
            [f"versions.yaml: {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        ) from error
