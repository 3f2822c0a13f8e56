"""Where the files of a model come from, resolved."""

from dataclasses import dataclass

from tierup.stack.sections import WeightsFrom

FETCHED = frozenset({WeightsFrom.HUB, WeightsFrom.MODEL_SCOPE, WeightsFrom.S3})
_PORTS = {"http": 80, "https": 443}


def port_of(url: str) -> int:
    """The port of a URL without a user."""
    scheme, _, rest = url.partition("://")
    _, _, port = rest.partition("/")[0].partition(":")
    return int(port) if port else _PORTS[scheme]


@dataclass(frozen=True, slots=True)
class WeightsPlan:
    """The source of a model's files; what another source needs is empty or None.

    `repo` is ModelScope's repository. `url` is the bucket and prefix in S3-compatible storage, `sha256` that of the
    list of its files. `endpoint` is None for the public address. `folder` is relative in a claim or an image, and
    empty for its root; of a node's folder it is the absolute path.
    """

    source: WeightsFrom = WeightsFrom.HUB
    repo: str = ""
    url: str = ""
    sha256: str = ""
    endpoint: str | None = None
    region: str = ""
    path_style: bool = False
    claim: str = ""
    folder: str = ""
    image: str = ""

    @property
    def fetched(self) -> bool:
        """Whether a fetch writes the files to the cache; else they are mounted from where they are."""
        return self.source in FETCHED

    @property
    def pulled(self) -> bool:
        """Whether the files come to the node over its network, fetched or as an image."""
        return self.fetched or self.source is WeightsFrom.IMAGE

    @property
    def on_node(self) -> bool:
        """Whether the files may be on the node's own disk; a claim is elsewhere."""
        return self.source is not WeightsFrom.CLAIM

    @property
    def port(self) -> int | None:
        """The TCP port of the endpoint, if it has one of its own."""
        return None if self.endpoint is None else port_of(self.endpoint)

    @property
    def clear(self) -> bool:
        """Whether the endpoint is not encrypted."""
        return self.endpoint is not None and self.endpoint.startswith("http://")

    def __str__(self) -> str:
        inside = f", folder {self.folder}" if self.folder else ""
        return {
            WeightsFrom.HUB: "the model hub",
            WeightsFrom.MODEL_SCOPE: f"{self.repo} at ModelScope",
            WeightsFrom.S3: self.url,
            WeightsFrom.CLAIM: f"volume claim {self.claim}{inside}",
            WeightsFrom.FOLDER: f"folder {self.folder} of the node",
            WeightsFrom.IMAGE: f"image {self.image}{inside}",
        }[self.source]
