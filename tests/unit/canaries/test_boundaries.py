"""Where the checks draw their lines: exactly at a floor passes, just below it fails."""

from __future__ import annotations

from fractions import Fraction
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canaries.checks.chunk_count import Extent, unexplained
from canaries.checks.recall import below_floor
from registry.contract import Contract

SHARES = st.integers(0, 20).map(lambda n: Fraction(n, 20))
EXTENTS = st.builds(Extent, st.integers(1, 500), st.integers(0, 50), st.integers(0, 500))
DOCUMENTS = st.dictionaries(st.tuples(st.integers(1, 2), st.sampled_from("abcdef")), EXTENTS, max_size=6)


def floors(recall: float, mrr: float) -> Contract:
    return Contract().changed({"recall_floor": recall, "mrr_floor": mrr, "k": 7})


def test_each_floor_is_named_when_it_breaks() -> None:
    contract = floors(0.7, 0.4)
    assert below_floor(contract, 0.7, 0.4) == []
    assert below_floor(contract, 1.0, 1.0) == []
    (fault,) = below_floor(contract, 0.699, 0.4)
    assert fault.startswith("recall@7 0.699")
    (fault,) = below_floor(contract, 0.7, 0.399)
    assert fault.startswith("MRR@7 0.399")
    assert len(below_floor(contract, 0.0, 0.0)) == 2


@given(st.lists(SHARES, min_size=1, max_size=9))
def test_a_mean_that_is_exactly_the_floor_keeps_it(values: list[Fraction]) -> None:
    exact = sum(values) / len(values)
    measured = fmean([float(value) for value in values])
    contract = floors(float(exact), float(exact))
    assert below_floor(contract, measured, measured) == []
    worse = measured - 1e-6
    assert len(below_floor(contract, worse, worse)) == 2


def test_a_mean_that_floats_make_a_little_less_keeps_its_floor() -> None:
    mean = fmean([1 / 3, 1 / 3, 1 / 3, 1 / 10])
    assert mean < 0.275, "the example is no example"
    assert below_floor(floors(0.275, 0.275), mean, mean) == []


@pytest.mark.parametrize(
    ("after", "drop"),
    [
        (Extent(100, 10, 200), (0.0, 0.0)),
        (Extent(100, 9, 180), (0.1, 0.1)),
        (Extent(100, 10, 100), (0.0, 0.5)),  # as many chunks, half the text
        (Extent(100, 20, 400), (0.0, 0.0)),
        (Extent(50, 5, 100), (0.0, 0.0)),  # half as long at its source
        (Extent(50, 5, 50), (0.0, 0.5)),
        (Extent(200, 10, 200), (0.0, 0.0)),  # longer at its source: no less is expected, and no more
        (Extent(100, 0, 0), (1.0, 1.0)),
    ],
)
def test_a_drop_is_what_the_source_does_not_explain(after: Extent, drop: tuple[float, float]) -> None:
    before = {(1, "a"): Extent(100, 10, 200)}
    assert unexplained(before, {(1, "a"): after}) == pytest.approx(drop)


def test_one_document_s_gain_does_not_hide_another_s_loss() -> None:
    before = {(1, "a"): Extent(10, 5, 50), (1, "b"): Extent(10, 5, 50)}
    after = {(1, "a"): Extent(10, 10, 100), (1, "b"): Extent(10, 0, 0)}
    assert unexplained(before, after) == (0.5, 0.5)


def test_new_and_deleted_documents_explain_themselves_and_vanished_ones_do_not() -> None:
    before = {(1, "a"): Extent(10, 5, 50), (1, "b"): Extent(10, 15, 150)}
    after = {(1, "a"): Extent(10, 5, 50), (1, "new"): Extent(10, 50, 500)}
    assert unexplained(before, after) == (0.0, 0.0)
    assert unexplained(before, after, {(1, "b")}) == (0.75, 0.75)


@given(DOCUMENTS, DOCUMENTS)
def test_drops_are_shares_and_nothing_lost_is_no_drop(
    before: dict[tuple[int, str], Extent], after: dict[tuple[int, str], Extent]
) -> None:
    for drop in unexplained(before, after, before.keys() - after.keys()):
        assert 0 <= drop <= 1 + 1e-9
    assert unexplained(before, {**after, **before}) == (0.0, 0.0)
