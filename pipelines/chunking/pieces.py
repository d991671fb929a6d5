"""Divides blocks into pieces that may stand in different chunks: lines, sentences, words, parts of words.

Pieces joined by their separators are the block again, but for runs of whitespace: no other character is
ever dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil

from pipelines.chunking.sentences import sentences
from pipelines.chunking.tokens import Tokenizer
from pipelines.parsing.document import BlockKind

# A WordPiece vocabulary makes one token of any word beyond 100 characters, and none of whitespace: without a
# price by the character, a chunk could be of any length. English text has 4 to 6 characters a token.
CHARACTERS_PER_TOKEN = 16
_CHARACTERS_PER_WORD_TOKEN = 4
_WINDOW = 2**14
_RUN_BATCH = 2**12
_SHORTEST_LINE = 20
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


def rows(text: str) -> Iterator[tuple[str, str]]:
    """Separator and text of each non-blank line; at most one blank line in a row is kept."""
    blank = 0
    for line in text.split("\n"):
        stripped = line.rstrip()
        if stripped:
            yield "\n\n" if blank else "\n", stripped
        blank = 0 if stripped else 1


def lines(text: str) -> Iterator[tuple[str, str]]:
    """Separator and text of each line, very short ones together with those after them."""
    run = first = ""
    for separator, line in rows(text):
        if run:
            run += separator + line
        else:
            first, run = separator, line
        if len(run) >= _SHORTEST_LINE:
            yield first, run
            run = ""
    if run:
        yield first, run


_DIVIDERS: dict[BlockKind, tuple[Divider, ...]] = {
    "paragraph": (sentences, lines),
    "quote": (sentences, lines),
    "list": (lines, sentences),
    "code": (lines,),
    "table": (rows,),
}


def divide(kind: BlockKind, text: str) -> Iterator[tuple[str, str]]:
    """Separator and text of each first-level part of a block: sentences of prose, lines of all else."""
    return _DIVIDERS[kind][0](text)


class PieceCutter:
    """Cuts blocks into pieces of a bounded price, each text tokenised once for every level it is cut at."""

    def __init__(self, tokenizer: Tokenizer, largest: int) -> None:
        """`largest` is the highest budget that `fit` will be given."""
        self._tokenizer = tokenizer
        self._largest = largest

    def priced(self, texts: Iterable[tuple[str, str]]) -> list[Piece]:
        """A piece with its price for each (separator, text)."""
        pairs = list(texts)
        # What its characters alone make too dear is cut anyway: to tokenise it would cost memory for nothing.
        countable = [self._price(0, text) <= self._largest for _, text in pairs]
        worth = [text for (_, text), counted in zip(pairs, countable, strict=True) if counted]
        counts = iter(self._tokenizer.count(worth))
        return [
            Piece(separator, text, self._price(next(counts) if counted else 0, text))
            for (separator, text), counted in zip(pairs, countable, strict=True)
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
        """Runs of words, about an eighth of the budget each; a run dearer than the budget word by word."""
        grain = max(1, budget // 8)
        for run in self._priced(_runs(text, grain * _CHARACTERS_PER_WORD_TOKEN)):
            if run.cost <= budget:
                yield run
                continue
            for word in self.priced((" ", word) for word in run.text.split()):
                if word.cost <= budget:
                    yield word
                else:
                    yield from _joined_as(word, self.parts(word.text, grain))

    def _priced(self, texts: Iterator[tuple[str, str]]) -> Iterator[Piece]:
        while batch := list(islice(texts, _RUN_BATCH)):
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


def _runs(text: str, length: int) -> Iterator[tuple[str, str]]:
    """Runs of whole words of at least `length` characters, whitespace made single spaces."""
    run: list[str] = []
    characters = 0
    for match in _WORD.finditer(text):
        run.append(match[0])
        characters += len(match[0]) + 1
        if characters >= length:
            yield " ", " ".join(run)
            run, characters = [], 0
    if run:
        yield " ", " ".join(run)


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
