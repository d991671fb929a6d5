"""Postings against the plain definition: built in batches, kept in a file, scored row by row."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from uuid import UUID, uuid5

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.errors import IndexCorrupt
from retrieval.index import postings as module
from retrieval.index.chunk_ids import ChunkIds, identifiers, texts
from retrieval.index.postings import Postings
from retrieval.lexical.bm25 import inverse_document_frequency
from retrieval.lexical.terms import SparseWeights

Document = dict[int, float]
FLOATS = st.floats(0.125, 9, width=32)
DOCUMENTS = st.lists(st.dictionaries(st.integers(0, 12), FLOATS, max_size=6), max_size=12)
UUIDS = st.lists(st.integers(0, 2**128 - 1).map(lambda n: UUID(int=n)), max_size=30, unique=True)
ALWAYS_ZERO = UUID(int=0)


def entries(documents: list[Document]):
    for number, document in enumerate(documents):
        terms = np.array(sorted(document), np.uint32)
        yield str(UUID(int=number)), terms, np.array([document[t] for t in terms.tolist()], np.float32)


def sparse(values: Document) -> SparseWeights:
    ordered = sorted(values.items())
    return SparseWeights(
        np.array([t for t, _ in ordered], np.uint32), np.array([v for _, v in ordered], np.float32)
    )


def random_documents(count: int) -> list[Document]:
    rng = random.Random(count)
    return [{rng.randrange(60): rng.uniform(0.5, 2) for _ in range(rng.randrange(9))} for _ in range(count)]


@given(DOCUMENTS, st.dictionaries(st.integers(0, 14), FLOATS, min_size=1, max_size=5))
def test_scores_are_the_sums_of_the_products(documents: list[Document], query: Document) -> None:
    made = Postings.of(entries(documents))
    worded = sum(1 for document in documents if document)
    idf = {
        t: float(inverse_document_frequency(np.array([sum(t in d for d in documents)]), worded)[0])
        for t in query
    }
    expected = [
        math.fsum(float(np.float32(d[t])) * float(np.float32(query[t])) * idf[t] for t in query if t in d)
        for d in documents
    ]
    rows = np.arange(len(documents))
    factors = made.factors(sparse(query))
    assert made.documents == worded
    assert made.scores(rows, factors) == pytest.approx(expected, rel=1e-12)
    assert made.scores(rows[1::2], factors).tolist() == made.scores(rows, factors)[1::2].tolist()


def test_many_batches_are_one_build(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = random_documents(50)
    whole = Postings.of(entries(documents))
    monkeypatch.setattr(module, "_BATCH", 7)
    pieces = Postings.of(entries(documents))
    for name in ("terms", "offsets", "rows", "weights", "frequencies"):
        assert getattr(pieces, name).tolist() == getattr(whole, name).tolist(), name
    assert all(np.all(np.diff(whole.rows[a:b].astype(int)) > 0) for a, b in pairwise(whole.offsets.tolist()))
    assert whole.frequencies.tolist() == [sum(t in d for d in documents) for t in whole.terms.tolist()]


@pytest.mark.parametrize("mapped_from", [0, 10**9])
def test_they_survive_their_file(tmp_path, monkeypatch: pytest.MonkeyPatch, mapped_from: int) -> None:
    monkeypatch.setattr(module, "_MAPPED_FROM", mapped_from)
    for documents in ([], [{}], [{1: 0.5}, {}, {1: 2.0, 5: 0.25}], random_documents(40)):
        made = Postings.of(entries(documents))
        made.write(tmp_path / "one.npy")
        read = Postings.read(tmp_path / "one.npy")
        assert (read.documents, len(read.chunk_ids)) == (made.documents, len(documents))
        assert read.chunk_ids.words.tolist() == made.chunk_ids.words.tolist()
        for name in ("terms", "offsets", "rows", "weights"):
            assert getattr(read, name).tolist() == getattr(made, name).tolist(), name
        read.write(tmp_path / "two.npy")
        assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "two.npy").read_bytes()
        assert read.rows.dtype == np.uint32


def test_unknown_terms_and_an_empty_generation_have_no_factors() -> None:
    query = sparse({4: 1.0})
    assert len(Postings.of([]).factors(query).positions) == 0
    assert len(Postings.of(entries([{3: 1.0}])).factors(query).positions) == 0


def test_rows_must_ascend() -> None:
    given = list(entries([{1: 1.0}, {2: 1.0}]))
    for wrong in (given[::-1], [given[0], given[0]]):
        with pytest.raises(ValueError, match="ascend"):
            Postings.of(wrong)


@given(UUIDS)
def test_chunk_ids_are_found_and_spelled(uuids: list[UUID]) -> None:
    ordered = sorted(uuids, key=str)
    known = ChunkIds.of(identifiers([u.bytes for u in ordered]))
    asked = identifiers([u.bytes for u in uuids])
    assert texts(asked) == [str(u) for u in uuids]
    assert known.rows(asked).tolist() == [ordered.index(u) for u in uuids]
    assert np.sort(asked).tolist() == identifiers([u.bytes for u in ordered]).tolist()


def test_bytes_of_zero_are_part_of_an_identifier() -> None:
    uuids = [UUID(int=n) for n in (0, 1, 256, 1 << 120, (1 << 120) + 1)]
    known = ChunkIds.of(identifiers([u.bytes for u in uuids]))
    assert known.rows(identifiers([u.bytes for u in reversed(uuids)])).tolist() == [4, 3, 2, 1, 0]
    for absent in (UUID(int=2), UUID(int=1 << 121), uuid5(ALWAYS_ZERO, "x")):
        with pytest.raises(IndexCorrupt, match="does not list"):
            known.rows(identifiers([absent.bytes]))
    with pytest.raises(IndexCorrupt):
        ChunkIds.of(identifiers([])).rows(identifiers([ALWAYS_ZERO.bytes]))
