"""A cheap encoder for tests: bags of words as unit vectors. Similar texts are near, and it loads at once."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.encoder.identity import ModelIdentity

DIMENSION = 64
_WORD = re.compile(r"\w+")


def fake_identity(name: str = "fake", seed: int = 0, dimension: int = DIMENSION) -> ModelIdentity:
    """The identity of a fake model; another seed is another model."""
    return ModelIdentity(
        name=name,
        revision=str(seed),
        weights_sha256=hashlib.sha256(f"{name}-{seed}".encode()).hexdigest(),
        dimension=dimension,
        pooling="sum",
        normalisation="l2",
        max_tokens=64,
        runtime="fake",
        precision="float32",
    )


class FakeEncoder:
    """Each word adds a direction drawn by its hash. A vector depends on its text alone, to the last bit.

    `encoded` lists every text that was asked for; where `journal` is given, it is also kept there, a line
    each (its hash) before the vector is returned, so that it outlives a killed process.
    """

    def __init__(
        self, name: str = "fake", seed: int = 0, dimension: int = DIMENSION, journal: Path | None = None
    ) -> None:
        self.model = fake_identity(name, seed, dimension)
        self.encoded: list[str] = []
        self._seed = seed
        self._journal = journal

    @property
    def tokenizer_path(self) -> Path:
        raise FileNotFoundError("the fake encoder has no tokenizer")

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.encoded += texts
        if self._journal is not None:
            self._note(texts)
        rows = [self._vector(text) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.model.dimension), dtype=np.float32)

    def _vector(self, text: str) -> npt.NDArray[np.float32]:
        words = _WORD.findall(text.lower()) or ["nothing"]
        total = np.sum([_direction(word, self._seed, self.model.dimension) for word in words], axis=0)
        return (total / np.linalg.norm(total)).astype(np.float32)

    def _note(self, texts: Sequence[str]) -> None:
        lines = "".join(f"{hashlib.sha256(text.encode()).hexdigest()}\n" for text in texts)
        with open(self._journal, "a", encoding="utf-8") as file:  # type: ignore[arg-type]
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())


@lru_cache(maxsize=100_000)
def _direction(word: str, seed: int, dimension: int) -> npt.NDArray[np.float64]:
    digest = hashlib.sha256(f"{seed}/{word}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big")).standard_normal(dimension)


class FakeTokenizer:
    """Words and punctuation marks are tokens; two special ones around a text."""

    name = "fake-tokenizer"
    special_tokens = 2

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(self.spans(text)) + self.special_tokens for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
