"""What an open tenant costs: disk over the bytes it must hold, memory, threads and descriptors."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import psutil

from benchmarks.measure import report, seconds
from retrieval.index.edge.store import EdgeGenerationStore
from retrieval.index.point import IndexPoint
from retrieval.index.store import GenerationRef, IndexSpec
from retrieval.lexical.terms import SparseWeights

SPEC = IndexSpec("bench", 384, 100, "bench")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tenants", type=int, default=600)
    parser.add_argument("--chunks", type=int, default=40)
    options = parser.parse_args()
    draw = np.random.default_rng(7)
    points = [_point(draw, number) for number in range(options.chunks)]
    raw = sum(p.vector.nbytes + p.weights.indices.nbytes * 2 + len(json.dumps(p.payload)) for p in points)
    with tempfile.TemporaryDirectory() as folder:
        store = EdgeGenerationStore(Path(folder), open_shards=options.tenants)
        refs = [GenerationRef(f"tenant-{i}", 1) for i in range(options.tenants)]
        built = seconds(lambda: [_build(store, ref, points) for ref in refs])
        _measure(store, refs, points, raw, built)


def _point(draw: np.random.Generator, number: int) -> IndexPoint:
    vector = draw.normal(size=384)
    indices = np.sort(draw.choice(30_000, size=80, replace=False)).astype(np.uint32)
    weights = SparseWeights(indices, draw.uniform(0.5, 2, size=80).astype(np.float32))
    payload = {"source": "bench", "document": f"d{number}", "text": "x" * 1000, "metadata": {}}
    identifier = f"00000000-0000-4000-8000-{number:012d}"
    return IndexPoint(identifier, (vector / np.linalg.norm(vector)).astype(np.float32), weights, payload)


def _build(store: EdgeGenerationStore, ref: GenerationRef, points: list[IndexPoint]) -> None:
    with store.stage(ref, SPEC) as stage:
        stage.upsert(points)
        stage.seal()


def _measure(
    store: EdgeGenerationStore, refs: list[GenerationRef], points: list[IndexPoint], raw: int, built: float
) -> None:
    disk = sum(store.size_bytes(ref) for ref in refs) / len(refs)
    me = psutil.Process(os.getpid())
    before = me.memory_info().rss, me.num_threads(), me.num_fds()
    readers = []
    opened = seconds(lambda: readers.extend(store.open(ref) for ref in refs))
    for reader in readers:
        reader.dense(points[0].vector, 10)
    after = me.memory_info().rss, me.num_threads(), me.num_fds()
    count = len(refs)
    report("disk of a tenant over the bytes it must hold", disk, raw, tenants=count, chunks=len(points))
    report("resident memory of an open tenant over its raw bytes", (after[0] - before[0]) / count, raw)
    report("threads of an open tenant", (after[1] - before[1]) / count, 1.0, "<= 1")
    report("descriptors of an open tenant", (after[2] - before[2]) / count, 1.0)
    report("opening a tenant over building it", opened / count, built / count)
    for reader in readers:
        reader.close()
    store.close()


if __name__ == "__main__":
    main()
