"""The tokenizer of a model directory, read by the `tokenizers` library alone: no torch, no transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer as FastTokenizer

# Encodings weigh some hundred bytes a token: they are made and dropped by the megabyte of text.
_BATCH_CHARACTERS = 2**20


class ModelTokenizer:
    """Counts and locates tokens as the model itself would see them."""

    def __init__(self, model_directory: str | Path) -> None:
        """Read `tokenizer.json`. Raises OSError where it is not there, ValueError where it is not valid."""
        content = (Path(model_directory) / "tokenizer.json").read_bytes()
        try:
            self._tokenizer = FastTokenizer.from_buffer(content)
        except Exception as error:
            # The library raises bare Exception for any flaw of the file.
            raise ValueError(f"{model_directory}/tokenizer.json is not a tokenizer: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.name = f"tokenizer.json sha256:{hashlib.sha256(content).hexdigest()}"
        self.special_tokens = self._tokenizer.num_special_tokens_to_add(is_pair=False)

    def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, special tokens included."""
        return [
            len(encoding)
            for batch in _batches(texts)
            for encoding in self._tokenizer.encode_batch_fast(batch, add_special_tokens=True)
        ]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token, in characters of `text`, without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text) + 64
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
