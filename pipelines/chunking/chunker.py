"""Cuts a parsed document into chunks that fit an encoder, each opening with its title and headings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipelines.chunking.context import context_lines, truncated
from pipelines.chunking.groups import CutSection, Path, grouped
from pipelines.chunking.packing import joined, pack, price
from pipelines.chunking.pieces import Piece, PieceCutter, divide
from pipelines.chunking.tokens import Tokenizer
from pipelines.parsing.document import BlockKind, ParsedDocument, Section

# Below it, a single character with the model's special tokens might not fit.
MIN_MAX_TOKENS = 16


@dataclass(frozen=True, slots=True)
class ChunkText:
    """A chunk: `text` is what is embedded, indexed, returned and shown; `tokens` counts special ones too."""

    ordinal: int
    heading_path: tuple[str, ...]
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class _Context:
    text: str
    room: int  # tokens left for a body


@dataclass(frozen=True, slots=True)
class _Draft:
    path: Path
    context: str
    pieces: list[Piece]

    @property
    def text(self) -> str:
        return "\n\n".join(part for part in (self.context, joined(self.pieces)) if part).rstrip()


class Chunker:
    """Cuts documents for one tokenizer and limit. The same document always gives the same chunks.

    `max_tokens` bounds each chunk, context and special tokens included, as the tokenizer itself counts them.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int = 256) -> None:
        """Raises ValueError where `max_tokens` leaves no room for text."""
        if max_tokens < MIN_MAX_TOKENS:
            raise ValueError(f"max_tokens is {max_tokens}: a chunk needs at least {MIN_MAX_TOKENS}")
        self.max_tokens = max_tokens
        self._tokenizer = tokenizer
        self._budget = max_tokens - tokenizer.special_tokens
        self._cutter = PieceCutter(tokenizer, self._budget)

    def chunk(self, document: ParsedDocument) -> list[ChunkText]:
        """The chunks in reading order. Their bodies hold every character of the blocks but whitespace."""
        drafts = list(self._drafts(document))
        counts = self._tokenizer.count([draft.text for draft in drafts])
        fitting = [
            (fit, tokens)
            for draft, count in zip(drafts, counts, strict=True)
            for fit, tokens in self._fitted(draft, count)
        ]
        return [
            ChunkText(ordinal, draft.path, draft.text, tokens)
            for ordinal, (draft, tokens) in enumerate(fitting)
        ]

    def _drafts(self, document: ParsedDocument) -> Iterator[_Draft]:
        contexts: dict[Path, _Context] = {}

        def context(path: Path) -> _Context:
            if path not in contexts:
                text = context_lines(document.title, path)
                text, tokens = truncated(text, self._tokenizer, self._budget // 3)
                contexts[path] = _Context(text, self._budget - tokens)
            return contexts[path]

        sections = self._cut(document.sections)
        for path, group in grouped(sections, self.max_tokens // 4, lambda path: context(path).room):
            here = context(path)
            blocks = [block for section in group for block in self._body(section, path, here.room)]
            for pieces in pack(blocks, here.room) or [[]]:
                yield _Draft(path, here.text, pieces)

    def _cut(self, sections: tuple[Section, ...]) -> list[CutSection]:
        """All sections in pieces, priced in one go."""
        texts: list[tuple[str, str]] = []
        shapes: list[tuple[Section, list[tuple[BlockKind, int]]]] = []
        for section in sections:
            shape: list[tuple[BlockKind, int]] = []
            texts.append(("\n\n", section.heading_path[-1] if section.heading_path else ""))
            for block in section.blocks:
                parts = list(divide(block.kind, block.text.rstrip()))
                texts.append(("\n\n", parts[0][1]))
                texts.extend(parts[1:])
                shape.append((block.kind, len(parts)))
            shapes.append((section, shape))
        pieces = iter(self._cutter.priced(texts))
        return [
            CutSection(
                section.heading_path,
                heading if (heading := next(pieces)).text else None,
                [(kind, [next(pieces) for _ in range(length)]) for kind, length in shape],
            )
            for section, shape in shapes
        ]

    def _body(self, section: CutSection, path: Path, room: int) -> Iterator[list[Piece]]:
        """The blocks of a section in pieces that fit; its heading, where the path does not say it, first."""
        heading = [section.heading] if section.heading is not None and section.path != path else []
        if heading and not section.blocks:
            yield heading
        for kind, pieces in section.blocks:
            fitting = [part for piece in pieces for part in self._cutter.fit(piece, kind, room)]
            if kind == "table":
                fitting = _with_header(fitting, room)
            if heading:
                fitting = [*heading, replace(fitting[0], separator="\n"), *fitting[1:]]
                heading = []
            yield fitting

    def _fitted(self, draft: _Draft, tokens: int) -> Iterator[tuple[_Draft, int]]:
        """The draft, or several where the tokens of the whole are more than those of its pieces."""
        if tokens <= self.max_tokens:
            yield draft, tokens
            return
        for pieces in self._halves([piece for piece in draft.pieces if not piece.repeated]):
            half = replace(draft, pieces=pieces)
            yield from self._fitted(half, self._tokenizer.count([half.text])[0])

    def _halves(self, pieces: list[Piece]) -> list[list[Piece]]:
        if len(pieces) > 1:
            middle = _middle(pieces)
            return [pieces[:middle], pieces[middle:]]
        if not pieces or len(pieces[0].text) < 2:
            raise ValueError(f"the tokenizer makes more than {self.max_tokens} tokens of a single character")
        text = pieces[0].text
        halves = (text[: len(text) // 2], text[len(text) // 2 :])
        return [[replace(pieces[0], text=half)] for half in halves if half.strip()]


def _middle(pieces: list[Piece]) -> int:
    half = price(pieces) / 2
    total = 0
    for number, piece in enumerate(pieces[:-1], start=1):
        total += piece.cost
        if total >= half:
            return number
    return len(pieces) - 1


def _with_header(pieces: list[Piece], room: int) -> list[Piece]:
    """Rows that know their table's first row, unless it is long; they repeat it where a chunk starts."""
    header = pieces[0]
    if header.cost * 4 > room:
        return pieces
    return [header, *(replace(piece, header=header) for piece in pieces[1:])]
