"""An independent judge of the lexical side: rank_bm25's BM25Okapi over the same terms.

Slow on purpose. The index is right when its scores are these to float precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from rank_bm25 import BM25Okapi  # type: ignore[import-untyped]

from retrieval.lexical.bm25 import K1, B
from retrieval.lexical.terms import TermCounts


class LuceneOkapi(BM25Okapi):  # type: ignore[misc]  # rank_bm25 is untyped
    """BM25Okapi with Lucene's idf and a given average length.

    Statistics are the whole corpus's; scores are kept for `sample` (positions in the corpus), all by default.
    As in Lucene, a document without terms does not count towards the number of documents.
    """

    def __init__(
        self, corpus: Sequence[TermCounts], average_length: float, sample: Sequence[int] | None = None
    ) -> None:
        self._average_length = average_length
        self._counted = sum(1 for terms in corpus if terms.length)
        self._sample = range(len(corpus)) if sample is None else sample
        super().__init__(corpus, k1=K1, b=B)

    def _initialize(self, corpus: Sequence[TermCounts]) -> dict[int, int]:
        self.corpus_size = len(self._sample)
        self.doc_freqs = [_frequencies(corpus[position]) for position in self._sample]
        self.doc_len = [corpus[position].length for position in self._sample]
        self.avgdl = self._average_length
        return document_frequencies(corpus)

    def _calc_idf(self, nd: dict[int, int]) -> None:
        for term, n in nd.items():
            self.idf[term] = math.log(1 + (self._counted - n + 0.5) / (n + 0.5))

    def scores(self, query: TermCounts) -> npt.NDArray[np.float64]:
        """One score per sampled document, in the order of the sample."""
        repeated = np.repeat(query.indices, query.counts).tolist()
        return np.asarray(self.get_scores(repeated), dtype=np.float64)


def oracle_scores(
    corpus: Sequence[TermCounts],
    query: TermCounts,
    average_length: float,
    sample: Sequence[int] | None = None,
) -> npt.NDArray[np.float64]:
    """The oracle's scores of one query, for all documents or for those sampled, by global statistics.

    For several queries build one `LuceneOkapi` and ask it for each.
    """
    return LuceneOkapi(corpus, average_length, sample).scores(query)


def document_frequencies(corpus: Iterable[TermCounts]) -> dict[int, int]:
    """In how many documents each term occurs."""
    indices = [terms.indices for terms in corpus]
    if not indices:
        return {}
    found, frequencies = np.unique(np.concatenate(indices), return_counts=True)
    return dict(zip(found.tolist(), frequencies.tolist(), strict=True))


def _frequencies(terms: TermCounts) -> dict[int, int]:
    return dict(zip(terms.indices.tolist(), terms.counts.tolist(), strict=True))
