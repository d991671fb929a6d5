"""BM25's weights against rank_bm25, and the grid of average lengths."""

from __future__ import annotations

import math
import random
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.index.postings import Postings
from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.bm25 import document_weights, grid_step, grid_value, query_weights
from retrieval.lexical.oracle import LuceneOkapi, document_frequencies, oracle_scores
from retrieval.lexical.terms import SparseWeights, TermCounts

CORPUS = st.lists(st.dictionaries(st.integers(0, 8), st.integers(1, 5), max_size=5), min_size=1, max_size=8)


def postings(corpus: list[TermCounts], average: float) -> Postings:
    weights = [document_weights(terms, average) for terms in corpus]
    return Postings.of((str(UUID(int=n)), w.indices, w.values) for n, w in enumerate(weights))


def test_a_hand_computed_score() -> None:
    analyzer = Analyzer()
    corpus = [analyzer.terms(text) for text in ("red fox red", "blue fox", "green owl")]
    score = oracle_scores(corpus, analyzer.terms("red"), average_length=2.0)[0]
    idf = math.log(1 + (3 - 1 + 0.5) / 1.5)
    assert score == pytest.approx(idf * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 2)))


@given(
    CORPUS, st.dictionaries(st.integers(0, 9), st.integers(1, 3), min_size=1, max_size=5), st.floats(0.5, 9)
)
def test_scores_from_postings_are_the_oracle(
    corpus: list[dict[int, int]], query: dict[int, int], average: float
) -> None:
    counted = [TermCounts.of(document) for document in corpus]
    asked = TermCounts.of(query)
    held = postings(counted, average)
    ours = held.scores(np.arange(len(counted)), held.factors(query_weights(asked)))
    assert np.allclose(ours, oracle_scores(counted, asked, average), rtol=1e-6, atol=0)


def test_a_sample_is_scored_by_the_statistics_of_all() -> None:
    rng = random.Random(1)
    corpus = [TermCounts.of({rng.randrange(30): rng.randint(1, 3) for _ in range(8)}) for _ in range(200)]
    query = TermCounts.of({1: 1, 2: 2, 3: 1})
    sample = [5, 100, 7]
    everything = oracle_scores(corpus, query, 9.0)
    assert oracle_scores(corpus, query, 9.0, sample).tolist() == everything[sample].tolist()
    assert LuceneOkapi(corpus, 9.0, sample).scores(query).tolist() == everything[sample].tolist()
    alone = oracle_scores([corpus[position] for position in sample], query, 9.0)
    assert alone.tolist() != everything[sample].tolist()


def test_documents_without_terms_do_not_count() -> None:
    corpus = [TermCounts.of({1: 1}), TermCounts.of({2: 1})]
    empty = TermCounts.of({})
    query = TermCounts.of({1: 1})
    assert oracle_scores([*corpus, empty], query, 1.0)[0] == oracle_scores(corpus, query, 1.0)[0]
    assert document_frequencies([*corpus, empty]) == {1: 1, 2: 1}
    assert document_frequencies([]) == {}


@given(st.floats(0.01, 1e6))
def test_the_grid_is_within_half_a_step(average: float) -> None:
    ratio = grid_value(grid_step(average)) / average
    assert 1 / math.sqrt(1.05) - 1e-9 <= ratio <= math.sqrt(1.05) + 1e-9


def test_the_grid_refuses_what_has_no_logarithm() -> None:
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="positive"):
            grid_step(wrong)
        with pytest.raises(ValueError, match="positive"):
            document_weights(TermCounts.of({1: 1}), wrong)


@pytest.mark.parametrize(
    ("indices", "values"),
    [
        (np.array([2, 1], np.uint32), np.ones(2, np.float32)),
        (np.array([1, 1], np.uint32), np.ones(2, np.float32)),
        (np.array([1], np.int64), np.ones(1, np.float32)),
        (np.array([1], np.uint32), np.ones(2, np.float32)),
        (np.array([1], np.uint32), np.array([np.nan], np.float32)),
    ],
)
def test_impossible_weights_are_refused(indices, values) -> None:
    with pytest.raises(ValueError, match=r"term|weights|weight"):
        SparseWeights(indices, values)
