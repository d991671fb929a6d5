"""Fusion by hand-computed cases and by properties. The engine as oracle is in the integration tests."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.fusion import fuse_dbsf, fuse_rrf
from retrieval.index.store import Scored


def hits(**scores: float) -> list[Scored]:
    return [Scored(name, score) for name, score in sorted(scores.items(), key=lambda item: -item[1])]


RANKINGS = st.lists(
    st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-5, 50), max_size=8).map(lambda d: hits(**d)),
    max_size=3,
)


def test_dbsf_by_hand() -> None:
    fused = dict(fuse_dbsf([hits(a=1.0, b=2.0, c=3.0), hits(c=5.0)]))
    # mean 2, sample deviation 1: from -1 to 5
    assert fused == pytest.approx({"a": 2 / 6, "b": 3 / 6, "c": 4 / 6 + 0.5})


def test_rrf_by_hand() -> None:
    fused = dict(fuse_rrf([hits(a=9.0, b=8.0), hits(b=1.0)], k=60))
    assert fused == pytest.approx({"a": 1 / 60, "b": 1 / 61 + 1 / 60})


def test_rrf_weighs_ranks_and_drops_lists_of_no_weight() -> None:
    fused = dict(fuse_rrf([hits(a=9.0, b=8.0), hits(c=1.0)], weights=[2.0, 0.0], k=60))
    assert fused == pytest.approx({"a": 1 / (0.5 + 59), "b": 1 / (1 + 59)})


def test_equal_scores_count_half_each() -> None:
    assert dict(fuse_dbsf([hits(a=3.0, b=3.0)])) == {"a": 0.5, "b": 0.5}
    assert dict(fuse_dbsf([hits(a=0.1, b=0.1, c=0.1)])) == {"a": 0.5, "b": 0.5, "c": 0.5}


def test_nothing_fuses_to_nothing() -> None:
    assert fuse_dbsf([]) == fuse_dbsf([[], []]) == fuse_rrf([[]]) == []


def test_ties_are_broken_by_chunk_id() -> None:
    lists = [[Scored("b", 1.0)], [Scored("a", 1.0)]]
    assert [hit.chunk_id for hit in fuse_dbsf(lists)] == ["a", "b"]
    assert [hit.chunk_id for hit in fuse_rrf(lists)] == ["a", "b"]


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [1.0, math.inf], [math.nan, 1.0]])
def test_impossible_weights_are_refused(weights: list[float]) -> None:
    for fuse in (fuse_dbsf, fuse_rrf):
        with pytest.raises(ValueError, match="weights"):
            fuse([hits(a=1.0), hits(b=1.0)], weights)


@given(RANKINGS)
def test_every_candidate_comes_back_once_in_order(lists: list[list[Scored]]) -> None:
    for fuse in (fuse_dbsf, fuse_rrf):
        fused = fuse(lists)
        assert sorted(hit.chunk_id for hit in fused) == sorted({hit.chunk_id for row in lists for hit in row})
        assert fused == sorted(fused, key=lambda hit: (-hit.score, hit.chunk_id))


@given(RANKINGS, st.floats(0.1, 10), st.floats(-10, 10))
def test_dbsf_does_not_depend_on_a_list_s_scale(
    lists: list[list[Scored]], factor: float, shift: float
) -> None:
    moved = [[Scored(hit.chunk_id, hit.score * factor + shift) for hit in row] for row in lists]
    spread = [max(h.score for h in row) - min(h.score for h in row) if row else 1.0 for row in lists]
    if all(width > 1e-3 or len(row) < 2 for width, row in zip(spread, lists, strict=True)):
        assert dict(fuse_dbsf(moved)) == pytest.approx(dict(fuse_dbsf(lists)), abs=1e-6)
