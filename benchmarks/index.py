"""Hybrid search through the index's interface over a bare engine query; the lexical side against its peers."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import bm25s
import numpy as np
import qdrant_edge as edge
from rank_bm25 import BM25Okapi

from benchmarks.measure import interleaved, median, report
from retrieval.fusion import fuse_dbsf
from retrieval.index.edge.store import EdgeGenerationStore
from retrieval.index.point import IndexPoint
from retrieval.index.store import GenerationRef, IndexSpec, Reader
from retrieval.lexical.bm25 import document_weights, query_weights
from retrieval.lexical.terms import SparseWeights, TermCounts

REF = GenerationRef("bench", 1)
CANDIDATES = 200
QUERIES = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=50_000)
    parser.add_argument("--peer-chunks", type=int, default=5_000, help="rank_bm25 is slow")
    options = parser.parse_args()
    draw = np.random.default_rng(11)
    terms = [_terms(draw) for _ in range(options.chunks)]
    vectors = draw.normal(size=(options.chunks, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    _hybrid(terms, vectors, draw)
    _lexical(terms[: options.peer_chunks], vectors, draw)


def _terms(draw: np.random.Generator) -> TermCounts:
    """Term counts with Zipf's frequencies, some 110 terms long."""
    drawn = np.minimum(draw.zipf(1.3, size=int(draw.integers(60, 160))), 200_000)
    found, counts = np.unique(drawn, return_counts=True)
    return TermCounts.of(dict(zip(found.tolist(), counts.tolist(), strict=True)))


def _store(folder: str, terms: list[TermCounts], vectors: np.ndarray) -> EdgeGenerationStore:
    store = EdgeGenerationStore(Path(folder))
    average = float(np.mean([t.length for t in terms]))
    with store.stage(REF, IndexSpec("bench", 384, 100, "bench")) as stage:
        stage.upsert(
            IndexPoint(
                f"00000000-0000-4000-8000-{i:012d}", vectors[i], document_weights(t, average),
                {"source": "bench", "document": f"d{i // 5}", "text": "y" * 1000, "metadata": {}},
            )
            for i, t in enumerate(terms)
        )  # fmt: skip
        stage.seal()
    return store


def _queries(terms: list[TermCounts], draw: np.random.Generator) -> list[SparseWeights]:
    picked = [terms[i] for i in draw.integers(0, len(terms), size=QUERIES)]
    chosen = [draw.choice(t.indices, size=min(6, len(t.indices)), replace=False) for t in picked]
    return [query_weights(TermCounts.of(dict.fromkeys(ids.tolist(), 1))) for ids in chosen]


def _hybrid(terms: list[TermCounts], vectors: np.ndarray, draw: np.random.Generator) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = _store(folder, terms, vectors)
        sparse = _queries(terms, draw)
        dense = draw.normal(size=(QUERIES, 384)).astype(np.float32)
        dense /= np.linalg.norm(dense, axis=1, keepdims=True)
        with store.open(REF) as reader, tempfile.TemporaryDirectory() as copy:
            shard = _bare_shard(folder, copy)
            ours, bare = interleaved(
                lambda i: _ours(reader, dense[i], sparse[i]),
                lambda i: _bare(shard, dense[i], sparse[i]),
                QUERIES,
            )
            shard.close()
        report(
            "hybrid search over a bare engine query", median(ours), median(bare), "<= 1.2", chunks=len(terms)
        )
        store.close()


def _bare_shard(folder: str, copy: str) -> edge.EdgeShard:
    """The same shard, copied, because opening one rewrites its configuration."""
    from retrieval.index.edge.files import copy_tree
    from retrieval.index.edge.layout import SHARD, Layout

    copy_tree(Layout(Path(folder)).generation(REF) / SHARD, Path(copy) / "shard")
    return edge.EdgeShard.load(str(Path(copy) / "shard"))


def _ours(reader: Reader, vector: np.ndarray, weights: SparseWeights) -> object:
    lists = reader.both(vector, weights, CANDIDATES)
    best = fuse_dbsf(lists)[:10]
    return best, reader.retrieve([hit.chunk_id for hit in best])


def _bare(shard: edge.EdgeShard, vector: np.ndarray, weights: SparseWeights) -> object:
    sparse = edge.SparseVector(indices=weights.indices.tolist(), values=weights.values.tolist())
    prefetches = [
        edge.Prefetch(query=edge.Query.Nearest(vector.tolist(), using="dense"), limit=CANDIDATES),
        edge.Prefetch(query=edge.Query.Nearest(sparse, using="lexical"), limit=CANDIDATES),
    ]
    return shard.query(
        edge.QueryRequest(prefetches=prefetches, query=edge.Fusion.Dbsf(), limit=10, with_payload=True)
    )


def _lexical(terms: list[TermCounts], vectors: np.ndarray, draw: np.random.Generator) -> None:
    tokens = [np.repeat(t.indices, t.counts).tolist() for t in terms]
    okapi = BM25Okapi(tokens, k1=1.2, b=0.75)
    peer = bm25s.BM25(k1=1.2, b=0.75)
    peer.index([[str(t) for t in document] for document in tokens], show_progress=False)
    queries = _queries(terms, draw)
    with tempfile.TemporaryDirectory() as folder:
        store = _store(folder, terms, vectors)
        with store.open(REF) as reader:
            ours, slow = interleaved(
                lambda i: reader.lexical(queries[i], 10),
                lambda i: np.argsort(okapi.get_scores(queries[i].indices.tolist()))[-10:],
                QUERIES,
            )
            again, fast = interleaved(
                lambda i: reader.lexical(queries[i], 10),
                lambda i: peer.retrieve([[str(t) for t in queries[i].indices]], k=10, show_progress=False),
                QUERIES,
            )
        report("lexical search over rank_bm25", median(ours), median(slow), chunks=len(terms))
        report("lexical search over bm25s", median(again), median(fast), chunks=len(terms))
        store.close()


if __name__ == "__main__":
    main()
