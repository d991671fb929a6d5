"""Which embedding model this is, read from its files without loading it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from retrieval.encoder.model_directory import model_digest, resolve
from retrieval.errors import EncoderUnavailable

RUNTIME = "sentence-transformers"
PRECISION = "float32"
NORMALISATION = "l2"


@dataclass(frozen=True)
class ModelIdentity:
    """Everything that changes a model's vectors. Two that differ anywhere are two models.

    revision: the package's version, the hub's commit, or "local"; weights_sha256: over weights, tokenizer and
    configuration; max_tokens: longer text is cut; runtime and precision: what computes, in which floats.
    """

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
        """`<name>-<12 hex digits over all fields>`."""
        slug = re.sub(r"[^a-z0-9.]+", "-", self.name.lower()).strip("-.")[-60:].strip("-.")
        encoded = json.dumps(asdict(self), sort_keys=True).encode()
        return f"{slug or 'model'}-{hashlib.sha256(encoded).hexdigest()[:12]}"


def identify(name: str) -> ModelIdentity:
    """The identity of a model by name or folder. Imports no deep-learning library.

    Raises EncoderUnavailable where the model is not there or its files are not those of a sentence encoder.
    """
    found = resolve(name)
    try:
        pooling, pooled = _pooling(found.directory)
        return ModelIdentity(
            name=name,
            revision=found.revision,
            weights_sha256=model_digest(found.directory),
            dimension=pooled or int(_read(found.directory / "config.json")["hidden_size"]),
            pooling=pooling,
            normalisation=NORMALISATION,
            max_tokens=_max_tokens(found.directory),
            runtime=RUNTIME,
            precision=PRECISION,
        )
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise EncoderUnavailable(
            f"the embedding model {name!r} in {found.directory} lacks a readable configuration ({error}): "
            "name a folder that holds a sentence-transformers model"
        ) from error


def _read(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise TypeError(f"{path.name} is not a JSON object")
    return content


def _modules(directory: Path, kind: str) -> list[Path]:
    """Folders of the modules of one kind, in order."""
    listing = directory / "modules.json"
    if not listing.is_file():
        return []
    modules = json.loads(listing.read_text(encoding="utf-8"))
    return [directory / module["path"] for module in modules if module["type"].rsplit(".", 1)[-1] == kind]


def _pooling(directory: Path) -> tuple[str, int]:
    """How token vectors become one, and the dimension of that; mean pooling is the library's default."""
    pooling, dimension = "mean", 0
    for module in _modules(directory, "Pooling"):
        config = _read(module / "config.json")
        dimension = int(config.get("word_embedding_dimension") or config["embedding_dimension"])
        modes = _pooling_modes(config)
        pooling, dimension = "+".join(modes), dimension * len(modes)
    for module in _modules(directory, "Dense"):
        dimension = int(_read(module / "config.json")["out_features"])
        pooling += "+dense"
    return pooling, dimension


def _pooling_modes(config: dict[str, Any]) -> list[str]:
    named = config.get("pooling_mode")
    if named:
        return [named] if isinstance(named, str) else list(named)
    flags = {
        "cls": "pooling_mode_cls_token",
        "max": "pooling_mode_max_tokens",
        "mean": "pooling_mode_mean_tokens",
        "mean_sqrt_len": "pooling_mode_mean_sqrt_len_tokens",
        "weightedmean": "pooling_mode_weightedmean_tokens",
        "lasttoken": "pooling_mode_lasttoken",
    }
    return [mode for mode, flag in flags.items() if config.get(flag)] or ["mean"]


def _max_tokens(directory: Path) -> int:
    for name in ("sentence_bert_config.json", "sentence_roberta_config.json"):
        own = directory / name
        if own.is_file() and _read(own).get("max_seq_length"):
            return int(_read(own)["max_seq_length"])
    limits = [int(_read(directory / "config.json")["max_position_embeddings"])]
    tokenizer = directory / "tokenizer_config.json"
    if tokenizer.is_file() and _read(tokenizer).get("model_max_length"):
        limits.append(int(_read(tokenizer)["model_max_length"]))
    return min(limits)
