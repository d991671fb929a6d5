"""The encoder that runs a sentence-transformers model on the CPU in float32.

The same list of texts gives the same bytes on one machine with one number of threads. The same text among
other texts does not: a batch is padded to its longest text, and matrix kernels round by shape. Measured on
all-MiniLM-L6-v2 over batches of 32 against one text at a time: components differ by at most 2e-7, 29% of rows
agree to the last bit (69% where a batch holds texts of one length only, 69% between one thread and two), the
cosine is above 0.9999999. No way to batch removes that, and one text at a time takes several times as long.
So a vector is computed once per text and model and then kept; rebuilding without the kept vectors gives the
same index to 2e-7, not to the bit.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from retrieval.encoder.identity import ModelIdentity, identify
from retrieval.encoder.model_directory import resolve
from retrieval.errors import EncoderUnavailable, ModelMismatch

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_BATCH = 32


class SentenceTransformersEncoder:
    """Made by `load`."""

    def __init__(self, model: ModelIdentity, directory: Path, transformer: SentenceTransformer) -> None:
        self._model = model
        self._directory = directory
        self._transformer = transformer
        self._lock = threading.Lock()

    @property
    def model(self) -> ModelIdentity:
        return self._model

    @property
    def tokenizer_path(self) -> Path:
        return self._directory / "tokenizer.json"

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if not texts:
            return np.empty((0, self._model.dimension), np.float32)
        with self._lock:  # the tokenizer keeps padding and truncation as state
            vectors = self._transformer.encode(
                list(texts),
                batch_size=_BATCH,
                show_progress_bar=False,
                convert_to_numpy=True,
                normalize_embeddings=True,
            )
        return np.ascontiguousarray(vectors, dtype=np.float32)


def load(name: str, threads: int = 0) -> SentenceTransformersEncoder:
    """Load a model by name or folder. threads: of the runtime, 0 leaves the choice to it.

    Raises EncoderUnavailable, and ModelMismatch where what was loaded is not what its files say.
    """
    identity = identify(name)
    directory = resolve(name).directory
    transformer = _loaded(name, directory, threads)
    encoder = SentenceTransformersEncoder(identity, directory, transformer)
    _check(identity, transformer)
    return encoder


def _loaded(name: str, directory: Path, threads: int) -> SentenceTransformer:
    try:
        import torch
        from sentence_transformers import SentenceTransformer

        if threads:
            torch.set_num_threads(threads)
        with _quiet():
            return SentenceTransformer(
                str(directory), device="cpu", model_kwargs={"dtype": torch.float32}, local_files_only=True
            )
    except Exception as error:
        raise EncoderUnavailable(
            f"the embedding model {name!r} in {directory} cannot be loaded "
            f"({type(error).__name__}: {error}): "
            "install it again, or name another by HOLDFAST_EMBEDDING_MODEL"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no warnings of the library's own, here and only here."""
    from transformers.utils import logging

    library: Any = logging
    shown, level = library.is_progress_bar_enabled(), library.get_verbosity()
    library.disable_progress_bar()
    library.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        library.set_verbosity(level)
        if shown:
            library.enable_progress_bar()


def _check(identity: ModelIdentity, transformer: Any) -> None:  # noqa: ANN401
    """What the files promised against what was loaded."""
    loaded = (transformer.get_embedding_dimension(), transformer.max_seq_length)
    promised = (identity.dimension, identity.max_tokens)
    if loaded != promised:
        subject = f"the registry row of {identity.name} (dimension and tokens {promised})"
        raise ModelMismatch(subject, identity.id, f"{identity.name} with {loaded}")
