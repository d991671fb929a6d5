"""What chunking asks of a tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Tokenizer(Protocol):
    """A model's own tokenizer, without truncation."""

    @property
    def name(self) -> str:
        """Names the tokenizer's exact content, for a build configuration."""
        ...

    @property
    def special_tokens(self) -> int:
        """How many tokens the model adds around one text."""
        ...

    def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text, special tokens included."""
        ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token, in characters of `text`, in order and without special tokens."""
        ...
