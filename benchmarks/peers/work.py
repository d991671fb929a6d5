"""The work: a corpus, what is done to it, and what an index of it must hold afterwards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipelines.build.document_preparer import DocumentPreparer
from retrieval.encoder.encoder import Encoder

Corpus = dict[str, dict[str, str]]
Indexed = Counter[tuple[str, str]]
EVERY = 100
DAMAGED = "1% of the index lost, nothing changed"


class Indexer(Protocol):
    """Something that keeps an index equal to a corpus."""

    name: str
    verified: int
    """Texts given to the model only to prove that stored vectors are its own."""

    def ingest(self, corpus: Corpus) -> None:
        """Bring the index to this state of the corpus."""
        ...

    def indexed(self) -> Indexed:
        """(document, chunk text) of everything that a search could find, counted."""
        ...

    def lose(self, share: float) -> None:
        """Damage the index behind the back of whatever keeps its record."""
        ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Counted:
    """The one model that all share, and how many texts it was given."""

    encoder: Encoder
    texts: int = 0
    model: object = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.encoder.model

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dimension) float32."""
        self.texts += len(texts)
        return self.encoder.encode(texts)


@dataclass(frozen=True, slots=True)
class Splitting:
    """Holdfast's chunks, for everybody: a peer's own splitter would make another amount of work."""

    preparer: DocumentPreparer

    def texts(self, document: dict[str, str]) -> list[str]:
        """The chunks of one document."""
        content = document["text"].encode()
        prepared = self.preparer.prepare(content, "text/plain", document["title"])
        return [chunk.text for chunk in prepared.chunks]

    def expected(self, corpus: Corpus) -> Indexed:
        """What an index of this corpus holds."""
        return Counter((name, text) for name, document in corpus.items() for text in self.texts(document))


def read(path: Path, count: int) -> Corpus:
    """The first documents of a BEIR corpus."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in islice(lines, count or None)]
    return {row["_id"]: {"title": row["title"], "text": row["text"]} for row in rows}


def steps(corpus: Corpus) -> Iterator[tuple[str, Corpus]]:
    """Named states of the corpus, each made from the one before."""
    yield "everything is new", corpus
    yield "nothing changed", corpus
    changed = dict(corpus)
    for name in list(corpus)[::EVERY]:
        text = f"{corpus[name]['text']} One sentence was added to this document."
        changed[name] = {**corpus[name], "text": text}
    yield "1% changed", changed
    gone = set(list(corpus)[EVERY // 2 :: EVERY])
    left = {name: document for name, document in changed.items() if name not in gone}
    yield "1% deleted", left
    copied = {f"copy-of-{name}": left[name] for name in list(left)[EVERY // 4 :: EVERY]}
    yield "1% copied under another name", {**left, **copied}
    originals = {name.removeprefix("copy-of-") for name in copied}
    renamed = {name: document for name, document in left.items() if name not in originals}
    yield "the originals deleted", {**renamed, **copied}
    yield DAMAGED, {**renamed, **copied}
