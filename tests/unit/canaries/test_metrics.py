"""Recall and reciprocal rank, against examples worked by hand and the bounds that any ranking keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaries.metrics import mean, names_document, recall_at, reciprocal_rank

RANKING = ["a", "b", "c", "d", "e"]
KEYS = st.sampled_from([f"d{n}" for n in range(12)])
RANKINGS = st.lists(KEYS, unique=True, max_size=12)
RELEVANT = st.lists(KEYS, unique=True, min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("relevant", "k", "recall", "rank"),
    [
        (["a"], 5, 1.0, 1.0),
        (["c"], 5, 1.0, 1 / 3),
        (["c"], 2, 0.0, 0.0),
        (["c"], 3, 1.0, 1 / 3),
        (["e", "b"], 5, 1.0, 1 / 2),
        (["e", "b"], 4, 0.5, 1 / 2),
        (["x", "b", "d", "y"], 5, 0.5, 1 / 2),
        (["x"], 5, 0.0, 0.0),
    ],
)
def test_examples_worked_by_hand(relevant: list[str], k: int, recall: float, rank: float) -> None:
    assert recall_at(RANKING, relevant, k) == recall
    assert reciprocal_rank(RANKING, relevant, k) == rank


@given(RANKINGS, RELEVANT, st.integers(1, 12))
def test_bounds(found: list[str], relevant: list[str], k: int) -> None:
    recall, rank = recall_at(found, relevant, k), reciprocal_rank(found, relevant, k)
    assert 0 <= recall <= min(1, k / len(relevant))
    assert rank == 0 or 1 / k <= rank <= 1
    assert (recall == 0) == (rank == 0)
    assert recall <= recall_at(found, relevant, k + 1)
    assert rank <= reciprocal_rank(found, relevant, k + 1)


@given(RANKINGS, RELEVANT, st.integers(1, 12), st.randoms())
def test_recall_does_not_know_the_order_and_the_rank_does(
    found: list[str], relevant: list[str], k: int, random: st.DataObject
) -> None:
    top = found[:k]
    random.shuffle(top)  # type: ignore[attr-defined]
    assert recall_at(top, relevant, k) == recall_at(found, relevant, k)
    best_first = sorted(found[:k], key=lambda document: document not in relevant)
    assert reciprocal_rank(best_first, relevant, k) == (1.0 if recall_at(found, relevant, k) else 0.0)


def test_a_line_s_id_names_it_and_nothing_else_does() -> None:
    assert names_document("7", "pages.jsonl#7")
    assert names_document("pages.jsonl#7", "pages.jsonl#7")
    assert not names_document("7", "7.md")
    assert not names_document("7", "pages.jsonl#17")
    assert not names_document("pages.jsonl", "pages.jsonl#7")
    assert recall_at(["x", "pages.jsonl#7"], ["7"], 2) == 1.0
    assert reciprocal_rank(["x", "pages.jsonl#7"], ["7"], 2) == 0.5


def test_no_measurement_is_not_a_zero() -> None:
    assert mean([]) is None
    assert mean([0.0]) == 0.0
    assert mean([1.0, 0.5]) == 0.75
