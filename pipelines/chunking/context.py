"""The lines above every chunk's body that say which document and section it is from."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.chunking.pieces import CHARACTERS_PER_TOKEN
from pipelines.chunking.tokens import Tokenizer


def context_lines(title: str, heading_path: Sequence[str]) -> str:
    """The title, and under it the headings joined ' > '; a first heading that is the title is left out."""
    path = list(heading_path)
    if path and _same(path[0], title):
        path = path[1:]
    return "\n".join(line for line in (title, " > ".join(path)) if line)


def _same(heading: str, title: str) -> bool:
    return " ".join(heading.split()).casefold() == " ".join(title.split()).casefold()


def truncated(text: str, tokenizer: Tokenizer, limit: int) -> tuple[str, int]:
    """The longest start of the text that has at most `limit` tokens, about; and its number of tokens."""
    text = text[: limit * CHARACTERS_PER_TOKEN].rstrip()
    tokens = _count(text, tokenizer)
    keep = limit
    while tokens > limit:
        # Cutting a word can give its rest more tokens than it had: count again, and cut further.
        spans = tokenizer.spans(text)
        text = text[: spans[min(keep, len(spans) - 1)][0]].rstrip()
        tokens = _count(text, tokenizer)
        keep //= 2
    return text, tokens


def _count(text: str, tokenizer: Tokenizer) -> int:
    return tokenizer.count([text])[0] - tokenizer.special_tokens if text else 0
