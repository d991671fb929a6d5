"""Divides blocks into pieces that may stand in different chunks: lines, sentences, words, parts of words.

Pieces joined by their separators are the block again, but for runs of whitespace: no other character is
ever dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from math import ceil

from pipelines.chunking.sentences import sentences
from pipelines.chunking.tokens import Tokenizer
from pipelines.parsing.document import BlockKind

# A WordPiece vocabulary makes one token of any word beyond 100 characters, and none of whitespace: without a
# price by the character, a chunk could be of any length. English text has 4 to 6 characters a token.
CHARACTERS_PER_TOKEN = 16
_WINDOW = 2**14
_WORD_BATCH = 2**12
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A text that is not divided, what joins it to the text before it, and its price in tokens.

    `header` is the first row of the piece's table, repeated at the head of a chunk that starts here.
    """

    separator: str
    text: str
    cost: int = 0
    header: Piece | None = None
    repeated: bool = False


Divider = Callable[[str], Iterator[tuple[str, str]]]


def lines(text: str) -> Iterator[tuple[str, str]]:
    """Separator and text of each non-blank line; at most one blank line in a row is kept."""
    blank = 0
    for line in text.split("\n"):
        stripped = line.rstrip()
        if stripped:
            yield "\n\n" if blank else "\n", stripped
        blank = 0 if stripped else 1


_DIVIDERS: dict[BlockKind, tuple[Divider, ...]] = {
    "paragraph": (sentences, lines),
    "quote": (sentences, lines),
    "list": (lines, sentences),
    "code": (lines,),
    "table": (lines,),
}


def divide(kind: BlockKind, text: str) -> Iterator[tuple[str, str]]:
    """Separator and text of each first-level part of a block: sentences of prose, lines of all else."""
    return _DIVIDERS[kind][0](text)


class PieceCutter:
    """Cuts blocks into pieces of a bounded price, each text tokenised once for every level it is cut at."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def priced(self, texts: Iterable[tuple[str, str]]) -> list[Piece]:
        """A piece with its price for each (separator, text)."""
        pairs = list(texts)
        counts = self._tokenizer.count([text for _, text in pairs])
        return [
            Piece(separator, text, self._price(count, text))
            for (separator, text), count in zip(pairs, counts, strict=True)
        ]

    def fit(self, piece: Piece, kind: BlockKind, budget: int) -> Iterator[Piece]:
        """The piece of a block itself where its price is within the budget, else pieces of it that are."""
        yield from self._fit(piece, _DIVIDERS[kind][1:], budget)

    def _fit(self, piece: Piece, dividers: tuple[Divider, ...], budget: int) -> Iterator[Piece]:
        if piece.cost <= budget:
            yield piece
            return
        if dividers:
            parts: Iterable[Piece] = self.priced(dividers[0](piece.text))
            for part in _joined_as(piece, parts):
                yield from self._fit(part, dividers[1:], budget)
        else:
            yield from _joined_as(piece, self._words(piece.text, budget))

    def _words(self, text: str, budget: int) -> Iterator[Piece]:
        """Runs of words, each an eighth of the budget at most unless a single word is longer."""
        grain = max(1, budget // 8)
        run: list[str] = []
        cost = 0
        for word in self._priced_words(text):
            if run and cost + word.cost > grain:
                yield Piece(" ", " ".join(run), cost)
                run, cost = [], 0
            if word.cost > budget:
                yield from _joined_as(word, self.parts(word.text, grain))
            else:
                run.append(word.text)
                cost += word.cost
        if run:
            yield Piece(" ", " ".join(run), cost)

    def _priced_words(self, text: str) -> Iterator[Piece]:
        batch: list[tuple[str, str]] = []
        for match in _WORD.finditer(text):
            batch.append((" ", match[0]))
            if len(batch) == _WORD_BATCH:
                yield from self.priced(batch)
                batch = []
        if batch:
            yield from self.priced(batch)

    def parts(self, text: str, limit: int) -> Iterator[Piece]:
        """Parts of one long word or line, cut between tokens, of at most `limit` tokens each."""
        for offset in range(0, len(text), _WINDOW):
            window = text[offset : offset + _WINDOW]
            starts = _cuts(self._tokenizer.spans(window), len(window), limit)
            for start, end in zip(starts, [*starts[1:], len(window)], strict=True):
                yield Piece("", window[start:end], limit)

    def _price(self, count: int, text: str) -> int:
        return max(count - self._tokenizer.special_tokens, ceil(len(text) / CHARACTERS_PER_TOKEN), 1)


def _cuts(spans: list[tuple[int, int]], length: int, limit: int) -> list[int]:
    """Where parts start: after every `limit` tokens, or sooner where those are long."""
    longest = limit * CHARACTERS_PER_TOKEN
    cuts = [0]
    tokens = 0
    for start, _ in [*spans, (length, length)]:
        while start - cuts[-1] > longest:
            cuts.append(cuts[-1] + longest)
            tokens = 0
        if tokens >= limit and cuts[-1] < start < length:
            cuts.append(start)
            tokens = 0
        tokens += 1
    return cuts


def _joined_as(piece: Piece, parts: Iterable[Piece]) -> Iterator[Piece]:
    """The parts with the first one joined as the whole was, and all with the whole's header."""
    for number, part in enumerate(parts):
        separator = part.separator if number else piece.separator
        yield replace(part, separator=separator, header=piece.header)
