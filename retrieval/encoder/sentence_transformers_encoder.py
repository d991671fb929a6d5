"""The default encoder: sentence-transformers on the CPU, in float32."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from retrieval.encoder.identity import ModelIdentity, identify, model_directory
from retrieval.errors import EncoderUnavailable

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

BATCH = 32


class SentenceTransformersEncoder:
    """Encodes with one loaded model. One text at a time in each process gets the processor's cores."""

    def __init__(self, model: ModelIdentity, transformer: SentenceTransformer) -> None:
        self.model = model
        self._transformer = transformer
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dimension) float32, each row of length one.

        A vector depends on the batch it is made in by float noise (about 1e-7): vectors are therefore kept,
        not made again.
        """
        if not texts:
            return np.zeros((0, self.model.dimension), dtype=np.float32)
        with self._lock:
            vectors = self._transformer.encode(
                list(texts),
                batch_size=BATCH,
                show_progress_bar=False,
                convert_to_numpy=True,
                normalize_embeddings=True,
            )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def load(name: str) -> SentenceTransformersEncoder:
    """Load a model by name. Raises EncoderUnavailable where it cannot be loaded."""
    identity = identify(name)
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        transformer = SentenceTransformer(str(model_directory(name)), device="cpu")
    except (OSError, ValueError, ImportError) as error:
        raise EncoderUnavailable(f"the embedding model {name!r} cannot be loaded: {error}") from error
    transformer.max_seq_length = identity.max_tokens
    return SentenceTransformersEncoder(identity, transformer)
