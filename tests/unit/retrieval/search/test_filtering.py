"""From a request's conditions to the engine-neutral filter."""

from __future__ import annotations

import math
from typing import Any

import pytest

from retrieval.errors import InvalidQuery
from retrieval.search.filtering import MAX_CONDITIONS, MAX_VALUES, filter_of
from retrieval.search.query import SearchQuery

HIDDEN = frozenset({("docs", "a.md")})


def filtered(**conditions: Any) -> Any:
    return filter_of(SearchQuery("words", filter=conditions), HIDDEN)


def test_nothing_asked_hides_what_is_hidden() -> None:
    found = filtered()
    assert (found.hidden, found.sources, found.documents, found.metadata) == (HIDDEN, None, None, {})


def test_source_and_document_are_places_and_the_rest_is_metadata() -> None:
    found = filtered(source="docs", document=["a", "b", "a"], lang="en", year={"gte": 2020})
    assert found.sources == {"docs"}
    assert found.documents == {"a", "b"}
    assert found.metadata == {"lang": "en", "year": {"gte": 2020}}


def test_an_empty_list_keeps_nothing() -> None:
    assert filtered(source=[]).keeps_nothing
    assert filtered(lang=[]).keeps_nothing


def test_the_conditions_given_are_left_alone() -> None:
    given = {"source": "docs", "at": {"gte": "2024-01-01T00:00:00+02:00"}}
    query = SearchQuery("words", filter=given)
    filter_of(query, HIDDEN)
    assert query.filter == {"source": "docs", "at": {"gte": "2024-01-01T00:00:00+02:00"}}


@pytest.mark.parametrize(
    ("bound", "wanted"),
    [
        ("2024-01-01T01:00:00+02:00", "2023-12-31T23:00:00+00:00"),
        ("2024-01-01T00:00:00+00:00:30", "2023-12-31T23:59:30+00:00"),
        ("2024-01-01", "2024-01-01"),
        (5, 5),
    ],
)
def test_times_with_an_offset_are_given_in_utc(bound: object, wanted: object) -> None:
    assert filtered(at={"gte": bound}).metadata == {"at": {"gte": wanted}}


@pytest.mark.parametrize("bound", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "soon", ""])
def test_a_time_that_is_none(bound: str) -> None:
    with pytest.raises(InvalidQuery, match="ISO 8601"):
        filtered(at={"lt": bound})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1])
def test_a_number_that_nothing_can_be_compared_with(value: float) -> None:
    for condition in (value, [value], {"gte": value}):
        with pytest.raises(InvalidQuery):
            filtered(x=condition)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 0, True, -0.0, 5e-324])
def test_a_number_that_fits(value: float) -> None:
    assert filtered(x=value).metadata == {"x": value}


@pytest.mark.parametrize("condition", [None, 1, {"gte": "a"}, [1], ["a", None], True])
@pytest.mark.parametrize("field", ["source", "document"])
def test_a_place_is_a_name_or_names(field: str, condition: object) -> None:
    with pytest.raises(InvalidQuery, match=field):
        filtered(**{field: condition})


def test_how_much_is_too_much() -> None:
    assert filtered(x=["a"] * MAX_VALUES).metadata
    with pytest.raises(InvalidQuery, match="1,000"):
        filtered(x=["a"] * (MAX_VALUES + 1))
    filtered(**{f"f{n}": 1 for n in range(MAX_CONDITIONS)})
    with pytest.raises(InvalidQuery, match="64"):
        filtered(**{f"f{n}": 1 for n in range(MAX_CONDITIONS + 1)})


@pytest.mark.parametrize("name", ["", 'a"b', "a\\b"])
def test_a_name_that_the_engine_would_misread(name: str) -> None:
    with pytest.raises(InvalidQuery, match="cannot be filtered by"):
        filtered(**{name: 1})
