"""Filters that make no sense are refused where they are made."""

from __future__ import annotations

import pytest

from retrieval.index.filter import Filter


@pytest.mark.parametrize(
    "condition",
    [
        None,
        {},
        {"above": 1},
        {"gte": True},
        {"gte": "soon"},
        {"gte": 1, "lt": "2020-01-01"},
        [None],
        [[1]],
        {1, 2},
    ],
)
def test_impossible_conditions_are_refused(condition) -> None:
    with pytest.raises(ValueError, match="'year'"):
        Filter(metadata={"year": condition})


@pytest.mark.parametrize("name", ["", 'a"b'])
def test_impossible_fields_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be filtered"):
        Filter(metadata={name: 1})


@pytest.mark.parametrize(
    ("where", "nothing"),
    [
        (Filter(), False),
        (Filter(sources=frozenset()), True),
        (Filter(documents=frozenset()), True),
        (Filter(metadata={"tag": []}), True),
        (Filter(metadata={"tag": ["a"]}), False),
    ],
)
def test_what_keeps_nothing_says_so(where: Filter, nothing: bool) -> None:
    assert where.keeps_nothing is nothing
