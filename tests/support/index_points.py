"""Random chunks for index tests: a small vocabulary, near-duplicates, ties and a few empty texts."""

from __future__ import annotations

import random
import uuid
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.index.point import IndexPoint
from retrieval.index.store import IndexSpec
from retrieval.lexical.bm25 import document_weights, grid_value
from retrieval.lexical.terms import TermCounts

DIMENSION = 16
STEP = 50
SPEC = IndexSpec(model="model-a", dimension=DIMENSION, average_length_step=STEP, analyzer="english-1")


def unit(rng: random.Random, dimension: int = DIMENSION) -> npt.NDArray[np.float32]:
    """A random direction, float32."""
    vector = np.array([rng.gauss(0, 1) for _ in range(dimension)], np.float32)
    return vector / np.linalg.norm(vector)


def terms(rng: random.Random, size: int | None = None) -> TermCounts:
    """Term counts with common and rare terms; sometimes none at all."""
    size = rng.choice([0, 1, 5, 10, 11, 12, 30]) if size is None else size
    drawn = [min(int(rng.paretovariate(0.6)), 400) for _ in range(size)]
    return TermCounts.of({term * 7_654_321 % 2**32: drawn.count(term) for term in drawn})


def chunk(number: int, rng: random.Random, **payload: Any) -> IndexPoint:
    """One chunk of document `number // 3`."""
    counted = terms(rng)
    body = {
        "source": f"source-{number % 2}",
        "document": f"d{number // 3}.md",
        "title": f"Title {number // 3}",
        "uri": f"file:///d{number // 3}.md",
        "text": " ".join(map(str, counted.indices.tolist())),
        "version": f"v{rng.randrange(1000)}",
        "position": "c1",
        "stale": number % 11 == 0,
        "metadata": {
            "year": 2000 + number % 20,
            "price": number % 7 / 2,
            "tags": [["a", "b", "c"][number % 3], "all"],
            "draft": number % 2 == 0,
            "day": f"20{10 + number % 10}-03-04",
        },
        "ordinal": number % 3,
        "heading": ["Chapter", str(number % 5)],
        "counts": counted.counts.tolist(),
    }
    identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, f"chunk-{number}"))
    weights = document_weights(counted, grid_value(STEP))
    return IndexPoint(identifier, unit(rng), weights, body | payload)


def chunks(count: int, seed: int = 0) -> list[IndexPoint]:
    """Distinct chunks; every tenth has the vector and the terms of the one before it."""
    rng = random.Random(seed)
    made: list[IndexPoint] = []
    for number in range(count):
        point = chunk(number, rng)
        if number % 10 == 9:
            twin = made[-1]
            same = {key: twin.payload[key] for key in ("text", "counts")}
            point = IndexPoint(point.chunk_id, twin.vector, twin.weights, point.payload | same)
        made.append(point)
    return made


def counts_of(point: IndexPoint) -> TermCounts:
    """The term counts that a chunk was made of."""
    counts = np.array(point.payload["counts"], np.uint32)
    return TermCounts(point.weights.indices, counts, int(counts.sum()))
