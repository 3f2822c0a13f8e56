"""What a repository holds that tierup needs, from the hub or from a folder, as the file that a stack keeps of it."""

import datetime
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tierup.catalog.repository import COMMIT, Repository, Safetensors
from tierup.findings.model import TierError
from tierup.io.files import MIB, UnreadableFile, parse_json, read_text
from tierup.io.hub.client import MOST_OF_A_FILE, Hub, HubError
from tierup.io.stack.yaml import read_yaml

CONFIG, GENERATION, INDEX = "config.json", "generation_config.json", "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
# Files that hold the quantization where config.json does not, each in a form of its own.
_QUANTIZED = {"hf_quant_config.json": "modelopt", "quantize_config.json": "gptq", "quant_config.json": "awq"}


class NotAModel(TierError):
    """The repository is not one of a model that can be served from its own files; the message says why."""


def from_hub(hub: Hub, url: str, repo: str, revision: str, today: datetime.date) -> Repository:
    """The repository at a branch, a tag or a commit; raises `HubError` or `NotAModel`."""
    info = hub.info(repo, revision)
    commit, sizes = info.get("sha"), _sizes(info.get("siblings"))
    if not isinstance(commit, str) or not re.fullmatch(COMMIT, commit):
        raise HubError(f"{url} names no commit of {repo} - is it a model hub?")
    _check(repo, sizes)
    found = {
        name: hub.file(repo, commit, name)
        for name in (CONFIG, GENERATION, INDEX, *_QUANTIZED)
        if name in sizes
    }
    card = info.get("cardData")
    return Repository(
        repo=repo,
        revision=commit,
        source=f"{url}/{repo}/tree/{commit}",
        as_of=today,
        gated=bool(info.get("gated")) or info.get("private") is True,
        pipeline=_text(info.get("pipeline_tag")),
        config=found[CONFIG],
        quantization_config=_quantization(found),
        generation_config=found.get(GENERATION),
        safetensors=_weights(sizes, found.get(INDEX)),
        **_card(card if isinstance(card, dict) else {}, info.get("tags")),
    )


def from_folder(folder: Path, repo: str, commit: str | None, today: datetime.date) -> Repository:
    """The repository whose files lie in a folder, as a download left them; raises `NotAModel` or `UnreadableFile`."""
    if not folder.is_dir():
        raise NotAModel(f"{folder} is not a folder - name the one with the repository's config.json")
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    if CONFIG not in sizes:
        _check(repo, sizes)
    pinned = commit or _commit_in(folder)
    if pinned is None:
        raise NotAModel(f"{folder} does not say its commit - write it: {repo}@COMMIT, 40 hexadecimal digits")
    found = {
        name: _object(folder / name) for name in (CONFIG, GENERATION, INDEX, *_QUANTIZED) if name in sizes
    }
    card = _front_matter(folder / "README.md") if "README.md" in sizes else {}
    return Repository(
        repo=repo,
        revision=pinned,
        source=f"a folder with the files of {repo}",
        as_of=today,
        pipeline=_text(card.get("pipeline_tag")),
        config=found[CONFIG],
        quantization_config=_quantization(found),
        generation_config=found.get(GENERATION),
        safetensors=_weights(sizes, found.get(INDEX)),
        **_card(card, None),
    )


def _sizes(siblings: object) -> dict[str, int]:
    listed = siblings if isinstance(siblings, list) else []
    files = [item for item in listed if isinstance(item, dict) and isinstance(item.get("rfilename"), str)]
    return {item["rfilename"]: size if isinstance(size := item.get("size"), int) else 0 for item in files}


def _check(repo: str, names: Iterable[str]) -> None:
    names = set(names)
    if CONFIG not in names:
        if ADAPTER in names:
            raise NotAModel(
                f"{repo} is a LoRA adapter - name it in models[].adapters of the model that it is for"
            )
        gguf = any(name.endswith(".gguf") for name in names)
        what = "has GGUF files alone" if gguf else f"has no {CONFIG}"
        raise NotAModel(f"{repo} {what} - name the repository that it was made from")
    if not any(name.endswith(".safetensors") for name in names):
        raise NotAModel(
            f"{repo} has no safetensors files, whose sizes are needed - name a repository that has them"
        )


def _weights(sizes: Mapping[str, int], index: Mapping[str, Any] | None) -> Safetensors | None:
    """The files that the engine loads: those of the index, else the one file, not what else lies beside them."""
    if index is not None:
        weights = index.get("weight_map")
        named = sorted({str(name) for name in weights.values()}) if isinstance(weights, dict) else []
        if named and all(sizes.get(name) for name in named):
            return Safetensors(
                total_bytes=sum(sizes[name] for name in named), files={name: sizes[name] for name in named}
            )
        metadata = index.get("metadata")
        total = metadata.get("total_size") if isinstance(metadata, dict) else None
        return Safetensors(total_bytes=total) if isinstance(total, int) and total > 0 else None
    found = {
        name: size
        for name, size in sizes.items()
        if re.fullmatch(r"model[\w.-]*\.safetensors", name) and size
    }
    return Safetensors(total_bytes=sum(found.values()), files=found) if found else None


def _quantization(found: Mapping[str, dict[str, Any]]) -> dict[str, Any] | None:
    if "quantization_config" in found[CONFIG]:
        return None
    for name, method in _QUANTIZED.items():
        if name in found:
            inner = found[name].get("quantization")
            return {"quant_method": method, **(inner if isinstance(inner, dict) else found[name])}
    return None


def _card(card: Mapping[str, Any], tags: object) -> dict[str, Any]:
    """Licence and base models of a model card, else of the tags that the hub makes of it."""
    listed = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    bases = card.get("base_model")
    named = [bases] if isinstance(bases, str) else bases if isinstance(bases, list) else []
    named = [item for item in named if isinstance(item, str)] or [
        tag.rpartition(":")[2] for tag in listed if tag.startswith("base_model:")
    ]
    licences = [tag.removeprefix("license:") for tag in listed if tag.startswith("license:")]
    # Of a licence of its own, `other`, the card has the name.
    stated = _text(card.get("license_name")) or _text(card.get("license"))
    return {"license": stated or next(iter(licences), None), "base_models": tuple(dict.fromkeys(named))}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _object(path: Path) -> dict[str, Any]:
    found = parse_json(read_text(path, MOST_OF_A_FILE, path.name), path.name)
    if not isinstance(found, dict):
        raise UnreadableFile(path.name, "is not a JSON object", "name a folder with a model's files")
    return found


def _front_matter(path: Path) -> dict[str, Any]:
    """The values at the head of a model card; a card without them says nothing."""
    parts = re.match(r"---\s*\n(.*?)\n---\s*\n", read_text(path, MIB, path.name), re.DOTALL)
    try:
        found = read_yaml(parts[1])[0] if parts is not None else None
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _commit_in(folder: Path) -> str | None:
    """The commit that the hub's own client leaves: in the name of a snapshot, or beside downloaded files."""
    if re.fullmatch(COMMIT, folder.resolve().name):
        return folder.resolve().name
    note = folder / ".cache" / "huggingface" / "download" / f"{CONFIG}.metadata"
    if not note.is_file():
        return None
    first = read_text(note, MIB, note.name).partition("\n")[0].strip()
    return first if re.fullmatch(COMMIT, first) else None
