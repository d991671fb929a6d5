"""A point's digest changes with anything that a search could see, and impossible points are refused."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from retrieval.index.point import IndexPoint, document_id
from retrieval.lexical.terms import SparseWeights


def weights(*pairs: tuple[int, float]) -> SparseWeights:
    return SparseWeights(
        np.array([i for i, _ in pairs], np.uint32), np.array([v for _, v in pairs], np.float32)
    )


def point(**changes) -> IndexPoint:
    values = {
        "chunk_id": str(UUID(int=7)),
        "vector": np.array([0.6, 0.8], np.float32),
        "weights": weights((1, 0.5), (9, 1.5)),
        "payload": {"source": "docs", "document": "a.md", "text": "é", "metadata": {"year": 1}},
    }
    return IndexPoint(**(values | changes))


def test_the_digest_is_stable() -> None:
    assert point().digest() == point().digest()
    shuffled = dict(reversed(list(point().payload.items())))
    assert point(payload=shuffled).digest() == point().digest()


@pytest.mark.parametrize(
    "change",
    [
        {"vector": np.array([0.8, 0.6], np.float32)},
        {"vector": np.array([0.6, np.nextafter(np.float32(0.8), np.float32(1))], np.float32)},
        {"weights": weights((1, 0.5), (9, 1.25))},
        {"weights": weights((2, 0.5), (9, 1.5))},
        {"weights": weights()},
        {"payload": {"source": "docs", "document": "a.md", "text": "e", "metadata": {"year": 1}}},
        {"payload": {"source": "docs", "document": "a.md", "text": "é", "metadata": {"year": 1.0}}},
        {"payload": {"source": "docs", "document": "a.md", "text": "é", "metadata": {"year": True}}},
    ],
)
def test_the_digest_sees_every_part(change) -> None:
    assert point(**change).digest() != point().digest()


@pytest.mark.parametrize(
    "change",
    [
        {"chunk_id": "7"},
        {"chunk_id": str(UUID(int=7)).upper().replace("0", "A")},
        {"vector": np.array([0.6, 0.7], np.float32)},
        {"vector": np.array([0.0, 0.0], np.float32)},
        {"vector": np.array([np.nan, 1.0], np.float32)},
        {"vector": np.array([0.6, 0.8])},
        {"vector": np.array([[0.6, 0.8]], np.float32)},
    ],
)
def test_impossible_points_are_refused(change) -> None:
    with pytest.raises(ValueError, match=r"chunk|UUID"):
        point(**change)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**63, b"x", {1: "x"}, {"a": {2}}, object()])
def test_payloads_that_json_would_change_are_refused(value) -> None:
    payload = {"source": "docs", "document": "a.md", "metadata": {"x": [value]}}
    with pytest.raises(ValueError, match="payload"):
        point(payload=payload)


def test_a_document_is_not_mistaken_for_another() -> None:
    assert document_id({"source": "a", "document": "b"}) != document_id({"source": "ab", "document": ""})
    with pytest.raises(ValueError, match="1F"):
        document_id({"source": "a\x1fb", "document": "c"})


def test_the_vector_is_not_printed() -> None:
    assert "0.6" not in repr(replace(point()))
