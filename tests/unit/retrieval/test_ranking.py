"""The cut of a ranking does not depend on how an engine breaks ties, nor on its float noise."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.index.ranking import best, candidates
from retrieval.index.store import Scored


def engine(scores: dict[str, float], seed: int, noise: float = 0.0):
    """An engine that breaks ties as it likes and is off by some relative noise."""
    rng = random.Random(seed)
    seen = {name: score * (1 + rng.uniform(-noise, noise)) for name, score in scores.items()}
    order = sorted(seen, key=lambda name: (-seen[name], rng.random()))
    return lambda wanted: [Scored(name, seen[name]) for name in order[:wanted]]


SCORES = st.dictionaries(
    st.text("abcd", min_size=1, max_size=4), st.sampled_from([0.5, 1.0, 2.0]), max_size=60
)


@given(SCORES, st.integers(1, 20), st.integers(0, 5))
def test_ties_are_cut_by_chunk_id(scores: dict[str, float], limit: int, seed: int) -> None:
    expected = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]
    assert [tuple(hit) for hit in best(candidates(engine(scores, seed), limit), limit)] == expected


@given(SCORES, st.integers(1, 20), st.integers(0, 5))
def test_near_ties_are_decided_by_the_true_scores(scores: dict[str, float], limit: int, seed: int) -> None:
    found = candidates(engine(scores, seed, noise=1e-6), limit, tolerance=4e-6)
    exact = [Scored(hit.chunk_id, scores[hit.chunk_id]) for hit in found]
    expected = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]
    assert [tuple(hit) for hit in best(exact, limit)] == expected


def test_without_a_tie_one_question_is_enough() -> None:
    asked = []
    fetch = engine({f"{number:03}": float(number) for number in range(100)}, 0)
    candidates(lambda wanted: asked.append(wanted) or fetch(wanted), 10)
    assert asked == [11]


def test_negative_scores_have_a_tolerance_too() -> None:
    scores = [Scored("b", -1.0), Scored("a", -1.0 - 1e-7), Scored("c", -2.0)]
    assert len(candidates(lambda wanted: scores[:wanted], 1, tolerance=1e-6)) == 2


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        candidates(lambda wanted: [], 0)
