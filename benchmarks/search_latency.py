"""What the API adds to a search: POST /v1/search over loopback against encoding and asking the engine bare.

Both are measured in one run, query by query in turns, on one index in a home of its own. The vectors of the
index are random (embedding tens of thousands of chunks would take an hour and change nothing here); the
queries are encoded by the bundled model, on either side.

    python -m benchmarks.search_latency --documents 5000 --queries 300
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import random
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge
import uvicorn

from benchmarks.measure import interleaved, median, p99, report
from pipelines.ingestion.ingestion import Ingestion, open_ingestion
from registry import generations, keys, sources, tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.settings import Settings
from retrieval.api.app import create_app
from retrieval.encoder.encoder import Encoder
from retrieval.encoder.identity import ModelIdentity
from retrieval.index.edge.files import copy_tree
from retrieval.index.edge.layout import SHARD, Layout
from retrieval.index.edge.shard import DENSE, LEXICAL
from retrieval.index.store import GenerationRef
from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.bm25 import query_weights
from retrieval.opening import load_encoder
from retrieval.search.encoders import Encoders

CANDIDATES = 200
K = 10


class RandomVectors:
    """Fills an index in the name of the real model: each text has a random vector of its own."""

    def __init__(self, model: ModelIdentity) -> None:
        self.model = model

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(n, dimension) float32, each row of length one."""
        rows = np.stack([self._draw(text) for text in texts])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def _draw(self, text: str) -> npt.NDArray[np.float64]:
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(digest, "big")).standard_normal(self.model.dimension)


class World:
    """A home with one tenant, its documents published, and a key."""

    def __init__(self, home: Path, documents: int, tenants_beside: int, seed: int) -> None:
        self.settings = Settings(home=home / "state", lease_seconds=600)
        chance = random.Random(seed)
        vocabulary = [f"word{n}" for n in range(5_000)]
        self.vocabulary = vocabulary
        weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
        folder = home / "documents"
        folder.mkdir()
        with (folder / "all.jsonl").open("w") as file:
            for n in range(documents):
                text = " ".join(chance.choices(vocabulary, weights, k=120))
                file.write(json.dumps({"_id": str(n), "title": f"Document {n}", "text": text}) + "\n")
        registry = Registry(self.settings.registry)
        registry.migrate()
        with registry.write() as session:
            self.tenant = tenants.create(session, "measured", utc_now()).id
            sources.add(
                session, name="docs", tenant_id=self.tenant, kind="folder", uri=str(folder), owner="",
                options={"quiescence": "0"}, consistency="observed", now=utc_now(),
            )  # fmt: skip
            for n in range(tenants_beside):
                tenants.create(session, f"beside-{n}", utc_now())
            self.key = keys.create(session, self.tenant, utc_now()).key
        registry.close()
        self.number = self._publish()

    def _publish(self) -> int:
        opened = open_ingestion(self.settings)
        filling = Encoders(opened.registry, lambda _: RandomVectors(opened.model))
        ingestion: Ingestion = replace(opened, encoders=filling)
        ingestion.capture(self.tenant)
        outcome = ingestion.build(self.tenant, "benchmark")
        if outcome.generation is None:
            raise SystemExit(f"nothing was built: {outcome}")
        refusing = [v.summary for v in ingestion.judge(self.tenant, outcome.generation) if v.holds_back]
        if refusing:
            raise SystemExit(f"the gate refused the index: {refusing}")
        ingestion.publish(self.tenant, outcome.generation)
        with ingestion.registry.read() as session:
            self.chunks = generations.get(session, self.tenant, outcome.generation).chunks
        ingestion.store.close()
        ingestion.registry.close()
        return outcome.generation

    def queries(self, count: int, seed: int) -> list[str]:
        """Queries of four to eight words."""
        chance = random.Random(seed)
        return [" ".join(chance.choices(self.vocabulary, k=chance.randint(4, 8))) for _ in range(count)]


class Bare:
    """The same model and the same engine, with nothing around them."""

    def __init__(self, world: World, encoder: Encoder, folder: Path) -> None:
        self._encoder = encoder
        self._analyzer = Analyzer()
        ref = GenerationRef(world.tenant, world.number)
        # A copy: the engine rewrites its configuration where it opens.
        copy_tree(Layout(world.settings.index).generation(ref) / SHARD, folder)
        self._shard = edge.EdgeShard.load(str(folder))

    def __call__(self, query: str) -> list[edge.ScoredPoint]:
        vector = self._encoder.encode([query])[0]
        weights = query_weights(self._analyzer.terms(query))
        sparse = edge.SparseVector(weights.indices.tolist(), weights.values.tolist())
        sides = [
            edge.Prefetch(query=edge.Query.Nearest(vector.tolist(), using=DENSE), limit=CANDIDATES),
            edge.Prefetch(query=edge.Query.Nearest(sparse, using=LEXICAL), limit=CANDIDATES),
        ]
        return self._shard.query(
            edge.QueryRequest(prefetches=sides, query=edge.Fusion.Dbsf(), limit=K, with_payload=True)
        )


class Served:
    """The API on loopback, asked over one connection that stays open."""

    def __init__(self, world: World) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(
            uvicorn.Config(create_app(world.settings), log_level="warning", access_log=False)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()
        self._connection = http.client.HTTPConnection(*listening.getsockname())
        self._headers = {"Authorization": f"Bearer {world.key}", "Content-Type": "application/json"}
        self.timings: list[dict[str, float]] = []
        while self._request("GET", "/readyz")[0] != 200:
            time.sleep(0.1)

    def __call__(self, query: str) -> None:
        status, body = self._request("POST", "/v1/search", json.dumps({"query": query, "k": K}))
        if status != 200:
            raise SystemExit(f"the API said {status}: {body[:500]!r}")
        self.timings.append(json.loads(body)["timings"])

    def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        self._connection.request(method, path, body, self._headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self) -> None:
        """Stop the server."""
        self._connection.close()
        self._server.should_exit = True
        self._thread.join()


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=5_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--tenants-beside", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-") as home:
        measure(Path(home), arguments)


def measure(home: Path, arguments: argparse.Namespace) -> None:
    """One run in one home."""
    world = World(home, arguments.documents, arguments.tenants_beside, arguments.seed)
    served = Served(world)
    try:
        bare = Bare(world, load_encoder(world.settings.embedding_model), home / "bare")
        for query in world.queries(arguments.warm_up, arguments.seed + 1):
            bare(query)
            served(query)
        served.timings.clear()
        asked = world.queries(arguments.queries, arguments.seed + 2)
        ours, bound = interleaved(lambda i: served(asked[i]), lambda i: bare(asked[i]), len(asked))
    finally:
        served.close()
    stages = {
        f"{name}_p50": median([timing[name] for timing in served.timings]) for name in served.timings[0]
    }
    what = {"unit": "ms", "chunks": world.chunks, "queries": len(asked)}
    report(
        "search over loopback / bare, p50", _ms(median(ours)), _ms(median(bound)), "<= 1.3", **what, **stages
    )
    report("search over loopback / bare, p99", _ms(p99(ours)), _ms(p99(bound)), **what)


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)


if __name__ == "__main__":
    main()
