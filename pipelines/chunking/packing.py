"""Packs priced pieces into chunks of a bounded price."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pipelines.chunking.pieces import Piece

# A chunk below this share of the budget says too little to be found by.
TINY_SHARE = 0.15


def price(pieces: Iterable[Piece]) -> int:
    """The price of pieces together, in tokens."""
    return sum(piece.cost for piece in pieces)


def joined(pieces: Sequence[Piece]) -> str:
    """The text of pieces: the first without its separator."""
    return "".join(
        piece.separator + piece.text if number else piece.text for number, piece in enumerate(pieces)
    )


def pack(blocks: Iterable[Sequence[Piece]], budget: int) -> list[list[Piece]]:
    """Chunks of a price up to `budget`, in order: whole blocks where they fit, pieces of larger ones.

    No piece may cost more than the budget. The last two chunks are balanced where the last would be tiny.
    """
    packer = _Packer(budget)
    for block in blocks:
        packer.add(block)
    packer.close()
    _balance_tail(packer.chunks, budget)
    return packer.chunks


class _Packer:
    def __init__(self, budget: int) -> None:
        self.chunks: list[list[Piece]] = []
        self._budget = budget
        self._current: list[Piece] = []
        self._used = 0

    def add(self, block: Sequence[Piece]) -> None:
        cost = price(block)
        if self._used + cost > self._budget >= cost and self._used > TINY_SHARE * self._budget:
            self.close()
        for piece in block:
            if self._used + piece.cost > self._budget:
                self.close()
                self._start(piece)
            self._current.append(piece)
            self._used += piece.cost

    def close(self) -> None:
        if self._current:
            self.chunks.append(self._current)
        self._current, self._used = [], 0

    def _start(self, piece: Piece) -> None:
        if piece.header is not None and piece.header.cost + piece.cost <= self._budget:
            self._current = [replace(piece.header, repeated=True)]
            self._used = piece.header.cost


def _balance_tail(chunks: list[list[Piece]], budget: int) -> None:
    if len(chunks) < 2 or price(chunks[-1]) >= TINY_SHARE * budget:
        return
    pieces = [piece for chunk in chunks[-2:] for piece in chunk if not piece.repeated]
    half = price(pieces) / 2
    cut, before = 1, pieces[0].cost
    while cut < len(pieces) - 1 and before + pieces[cut].cost / 2 <= half:
        before += pieces[cut].cost
        cut += 1
    tail = _Packer(budget)
    tail.add(pieces[:cut])
    tail.close()
    tail._start(pieces[cut])
    tail.add(pieces[cut:])
    tail.close()
    if len(tail.chunks) == 2:
        chunks[-2:] = tail.chunks
