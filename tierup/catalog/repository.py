"""What a stack keeps of a model's repository that is not in the catalogue: the file that `tierup model add` writes."""

import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from tierup.findings.model import TierError

MOST_BYTES = (
    4 * 1024 * 1024
)  # of the file; the longest config.json lists thousands of layers that stay in 16 bit
ABOUT = "What tierup knows of this repository. `tierup model add` writes it; commit it, and do not edit it."
REPO = r"^[\w.-]+/[\w.-]+$"
COMMIT = r"^[0-9a-f]{40}$"


class RepositoryError(TierError):
    """A file that does not describe a repository; the message has every problem in it."""


class _File(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True
    )


class Safetensors(_File):
    """The files of the weights, in bytes; `files` is empty where only their index was read."""

    total_bytes: Annotated[int, Field(gt=0, lt=10**15)]
    files: dict[str, Annotated[int, Field(ge=0)]] = {}


class Repository(_File):
    """A model's repository at one commit: its configuration and the sizes of its weights.

    `source` is where it was read, `as_of` when. `base_models` are the repositories that it was made from, and
    `pipeline` is what the model does, both as its model card says. `quantization_config` is the one of a file of its
    own, in the form that it has within config.json. What the repository does not state is None.
    """

    about: str = ABOUT
    repo: Annotated[str, Field(pattern=REPO, max_length=200)]
    revision: Annotated[str, Field(pattern=COMMIT)]
    source: Annotated[str, Field(min_length=1)]
    as_of: datetime.date
    gated: bool = False
    license: str | None = None
    base_models: tuple[str, ...] = ()
    pipeline: str | None = None
    config: dict[str, Any]
    quantization_config: dict[str, Any] | None = None
    generation_config: dict[str, Any] | None = None
    safetensors: Safetensors | None = None

    @property
    def full_config(self) -> dict[str, Any]:
        """config.json with the quantization that stands in a file of its own."""
        if self.quantization_config is None:
            return self.config
        return {"quantization_config": self.quantization_config, **self.config}

    @property
    def bases(self) -> tuple[str, ...]:
        """The repositories that it was made from, as its model card and its config.json say."""
        named = self.config.get("_name_or_path")
        return (*self.base_models, *([named] if isinstance(named, str) and named != self.repo else []))


def read_repository(text: str) -> Repository:
    """The content of a file; raises `RepositoryError`."""
    try:
        return Repository.model_validate_json(text)
    except ValidationError as error:
        raise RepositoryError(_problems(error)) from error


def _problems(error: ValidationError) -> str:
    found = []
    for item in error.errors(include_url=False)[:10]:
        where = ".".join(str(part) for part in item["loc"])
        what = {"missing": "is missing", "extra_forbidden": "is no key of it"}.get(item["type"], item["msg"])
        found.append(f"{where} {what}" if where else item["msg"])
    return "; ".join(found)
