"""What can be asked."""

from __future__ import annotations

from typing import Any

import pytest

from retrieval.errors import InvalidQuery
from retrieval.search.query import MAX_K, MAX_QUERY_CHARACTERS, SearchQuery


@pytest.mark.parametrize(
    "given",
    [
        {"text": ""}, {"text": " \n\t\u3000\u2003"}, {"text": "a" * (MAX_QUERY_CHARACTERS + 1)},
        {"k": 0}, {"k": -1}, {"k": MAX_K + 1}, {"mode": "fuzzy"}, {"mode": ""}, {"collapse": "chunk"},
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_asked(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidQuery):
        SearchQuery(**{"text": "words", **given})


@pytest.mark.parametrize(
    "given", [{"k": 1}, {"k": MAX_K}, {"text": "a" * MAX_QUERY_CHARACTERS}, {"text": "\x00"}]
)
def test_the_bounds_are_inside(given: dict[str, Any]) -> None:
    SearchQuery(**{"text": "words", **given})
