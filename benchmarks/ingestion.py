"""A whole ingestion (capture, parse, chunk, embed, stage, gate, publish) over bare encoding of the same chunks."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from itertools import islice
from pathlib import Path

from sqlalchemy import select

from benchmarks.measure import report, seconds
from pipelines.ingestion.ingestion import Ingestion, open_ingestion
from pipelines.ingestion.outcome import Outcome
from registry import sources, tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.schema import Chunk
from registry.settings import Settings


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        documents = _documents(options.corpus, options.documents)
        _write(corpus, documents)
        ingestion, tenant = _open(Path(folder) / "home", corpus)
        ingestion.encoders.named(ingestion.model.name)  # both sides start with a loaded model
        full = seconds(lambda: _ingest(ingestion, tenant, "full"))
        texts = _texts(ingestion)
        encoder = ingestion.encoders.of(ingestion.model.id)
        bare = seconds(lambda: encoder.encode(texts))
        report(
            "ingestion over bare encoding", full, bare, "<= 1.10", documents=len(documents), chunks=len(texts)
        )
        for i in range(0, len(documents), 100):
            documents[i]["text"] += " One sentence was added to this document."
        time.sleep(0.01)
        _write(corpus, documents)
        report(
            "one per cent changed over the full build",
            seconds(lambda: _ingest(ingestion, tenant, "one")),
            full,
        )
        report(
            "nothing changed over the full build", seconds(lambda: _ingest(ingestion, tenant, "none")), full
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    datasets = os.environ.get("HOLDFAST_DATASETS", ".")
    parser.add_argument("--corpus", type=Path, default=Path(datasets) / "scifact" / "corpus.jsonl")
    parser.add_argument("--documents", type=int, default=500, help="0 takes all")
    return parser.parse_args()


def _documents(corpus: Path, count: int) -> list[dict[str, str]]:
    with corpus.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in islice(lines, count or None)]


def _write(folder: Path, documents: list[dict[str, str]]) -> None:
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)), encoding="utf-8")


def _open(home: Path, corpus: Path) -> tuple[Ingestion, str]:
    settings = Settings(home=home)  # type: ignore[call-arg]
    registry = Registry(settings.registry)
    registry.migrate()
    with registry.write() as session:
        tenant = tenants.create(session, "bench", utc_now())
        sources.add(
            session, name="corpus", tenant_id=tenant.id, kind="folder", uri=str(corpus), owner="bench@example.org",
            options={"quiescence": "0"}, consistency="observed", now=utc_now(),
        )  # fmt: skip
    return open_ingestion(settings), tenant.id


def _ingest(ingestion: Ingestion, tenant_id: str, run: str) -> Outcome:
    ingestion.capture(tenant_id)
    outcome = ingestion.build(tenant_id, run)
    if outcome.status == "published":
        assert outcome.generation is not None
        ingestion.judge(tenant_id, outcome.generation)
        ingestion.publish(tenant_id, outcome.generation)
    ingestion.release(tenant_id, run)
    return outcome


def _texts(ingestion: Ingestion) -> list[str]:
    with ingestion.registry.read() as session:
        return list(session.scalars(select(Chunk.text)))


if __name__ == "__main__":
    main()
