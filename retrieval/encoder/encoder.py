"""What turns text into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retrieval.encoder.identity import ModelIdentity


class Encoder(Protocol):
    """A loaded embedding model. Safe to share between threads."""

    @property
    def model(self) -> ModelIdentity:
        """Everything that its vectors depend on."""
        ...

    @property
    def tokenizer_path(self) -> Path:
        """The model's tokenizer.json, by which chunks are measured."""
        ...

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dimension) float32, one row of length one per text, in order. Text beyond max_tokens is cut."""
        ...
