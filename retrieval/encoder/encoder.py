"""What turns texts into vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from retrieval.encoder.identity import ModelIdentity


class Encoder(Protocol):
    """A loaded embedding model. Safe to share between threads."""

    @property
    def model(self) -> ModelIdentity:
        """Exactly which model this is."""
        ...

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dimension) float32, each row of length one, in the order of the texts."""
        ...
