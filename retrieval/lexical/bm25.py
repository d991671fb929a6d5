"""BM25 as sparse vectors: saturated, length-normalised weights on documents, plain counts on queries.

The product with Lucene's inverse document frequency, which the index supplies, is
Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), equation 3.15,
in the form that keeps the numerator's (k1 + 1).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from retrieval.lexical.terms import SparseWeights, TermCounts

K1 = 1.2
B = 0.75
_GRID = 1.05


def document_weights(terms: TermCounts, average_length: float) -> SparseWeights:
    """tf(k1+1) / (tf + k1(1-b+b·length/average)) per term. ValueError unless average_length is positive."""
    if not average_length > 0:
        raise ValueError(f"the average length of documents must be positive, not {average_length}")
    frequency = terms.counts.astype(np.float64)
    norm = K1 * (1 - B + B * terms.length / average_length)
    return SparseWeights(terms.indices, (frequency * (K1 + 1) / (frequency + norm)).astype(np.float32))


def query_weights(terms: TermCounts) -> SparseWeights:
    """How often the query says each term."""
    return SparseWeights(terms.indices, terms.counts.astype(np.float32))


def inverse_document_frequency(
    frequencies: npt.NDArray[np.integer], documents: int
) -> npt.NDArray[np.float64]:
    """Lucene's ln(1 + (N - n + 0.5) / (n + 0.5)), for N documents that have any term and n that have this."""
    n = frequencies.astype(np.float64)
    return np.log1p((documents - n + 0.5) / (n + 0.5))


def grid_step(average: float) -> int:
    """The step of the 5% geometric grid nearest to an average length, which must be positive."""
    if not average > 0:
        raise ValueError(f"an average length must be positive, not {average}")
    return round(math.log(average) / math.log(_GRID))


def grid_value(step: int) -> float:
    """The average length that a step of the grid stands for."""
    return float(_GRID**step)
