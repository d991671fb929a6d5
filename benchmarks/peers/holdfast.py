"""Holdfast: a folder with one .jsonl file, captured, built, judged and published."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from benchmarks.peers.work import Corpus, Counted, Indexed
from pipelines.ingestion.ingestion import Ingestion, open_ingestion
from registry import generations, sources, tenants
from registry.clock import utc_now
from registry.database import Registry
from registry.settings import Settings
from retrieval.index.edge.layout import SHARD, Layout
from retrieval.index.store import GenerationRef
from retrieval.search.encoders import Encoders


class Holdfast:
    """One tenant with one folder; the gate and the read-back of the index are part of the time."""

    name = "Holdfast"

    def __init__(self, home: Path, counted: Counted) -> None:
        self.verified = 0
        self._counted = counted
        self._folder = home / "documents"
        self._folder.mkdir(parents=True)
        self._settings = Settings(home=home / "state")  # type: ignore[call-arg]
        registry = Registry(self._settings.registry)
        registry.migrate()
        with registry.write() as session:
            self._tenant = tenants.create(session, "benchmark", utc_now()).id
            sources.add(
                session, name="docs", tenant_id=self._tenant, kind="folder", uri=str(self._folder),
                owner="bench@example.org", options={"quiescence": "0"}, consistency="observed", now=utc_now(),
            )  # fmt: skip
        registry.close()
        self._ingestion = self._open()
        self._runs = 0

    def _open(self) -> Ingestion:
        opened = open_ingestion(self._settings)
        encoders = Encoders(opened.registry, lambda _: self._counted)  # type: ignore[arg-type,return-value]
        return replace(opened, encoders=encoders)

    def ingest(self, corpus: Corpus) -> None:
        """Write the file where it differs, then a whole run."""
        lines = "".join(json.dumps({"_id": name, **document}) + "\n" for name, document in corpus.items())
        path = self._folder / "corpus.jsonl"
        if not path.exists() or path.read_text() != lines:
            draft = self._folder / ".corpus"
            draft.write_text(lines)
            os.replace(draft, path)
        self._run()

    def _run(self) -> None:
        self._runs += 1
        run, ingestion = f"run-{self._runs}", self._ingestion
        ingestion.capture(self._tenant)
        before = self._counted.texts
        outcome = ingestion.build(self._tenant, run)
        built = self._counted.texts - before
        if outcome.status == "published" and outcome.generation is not None:
            ingestion.judge(self._tenant, outcome.generation)
            ingestion.publish(self._tenant, outcome.generation)
        ingestion.release(self._tenant, run)
        self.verified = self._counted.texts - before - built

    def indexed(self) -> Indexed:
        """What the live generation holds."""
        with self._ingestion.registry.read() as session:
            live = generations.live(session, self._tenant)
        if live is None:
            return Counter()
        with self._ingestion.store.open(GenerationRef(self._tenant, live.number)) as reader:
            payloads = [point.payload for point in reader.points()]
        return Counter((row["document"].partition("#")[2], row["text"]) for row in payloads)

    def lose(self, share: float) -> None:
        """Overwrite a part of the live generation's largest file, as a failing disk would."""
        with self._ingestion.registry.read() as session:
            live = generations.live(session, self._tenant)
        assert live is not None
        folder = Layout(self._settings.index).generation(GenerationRef(self._tenant, live.number)) / SHARD
        files = [path for path in folder.rglob("*") if path.is_file()]
        self.close()
        largest = max(files, key=lambda path: path.stat().st_blocks)
        with largest.open("r+b") as file:
            file.write(os.urandom(max(int(largest.stat().st_size * share), 1)))
        self._ingestion = self._open()

    def close(self) -> None:
        self._ingestion.store.close()
        self._ingestion.registry.close()
