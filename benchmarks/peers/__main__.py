"""What keeping an index true costs, and what is wrong in it afterwards: Holdfast, LangChain, LlamaIndex.

All use one model, the same chunks and a local Qdrant, and do the same work in one run. The peers are an
extra: `.venv/bin/pip install --constraint constraints.txt --editable '.[peers]'`.

    python -m benchmarks.peers --corpus CORPUS.jsonl --documents 1000
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import seconds
from benchmarks.peers.holdfast import Holdfast
from benchmarks.peers.langchain import LangChain
from benchmarks.peers.llama_index import LlamaIndex
from benchmarks.peers.work import DAMAGED, Corpus, Counted, Indexed, Indexer, Splitting, read, steps
from pipelines.build.document_preparer import DocumentPreparer
from registry.settings import Settings
from retrieval.errors import RetrievalError
from retrieval.opening import load_encoder


def main() -> None:
    """Measure and print."""
    options = _options()
    # Qdrant's local store warns that it is no server: known, and the same for both peers.
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        settings = Settings(home=Path(folder))  # type: ignore[call-arg]
        encoder = load_encoder(settings.embedding_model)
        encoder.encode(["the first call of a model is slow"])
        splitting = Splitting(DocumentPreparer.of(settings))
        counted = Counted(encoder)
        indexers: list[Indexer] = [
            Holdfast(Path(folder) / "holdfast", counted),
            LangChain(Path(folder) / "langchain", counted, splitting, encoder.model.dimension),
            LlamaIndex(Path(folder) / "llama_index", counted, splitting),
        ]
        for name, corpus in steps(read(options.corpus, options.documents)):
            _step(name, corpus, indexers, counted, splitting)
        for indexer in indexers:
            indexer.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    datasets = os.environ.get("HOLDFAST_DATASETS", ".")
    parser.add_argument("--corpus", type=Path, default=Path(datasets) / "scifact" / "corpus.jsonl")
    parser.add_argument("--documents", type=int, default=1_000, help="0 takes all")
    return parser.parse_args()


def _step(
    name: str, corpus: Corpus, indexers: Sequence[Indexer], counted: Counted, splitting: Splitting
) -> None:
    expected = splitting.expected(corpus)
    ours = 0.0
    for indexer in indexers:
        if name == DAMAGED:
            indexer.lose(0.01)
        counted.texts = 0
        spent = seconds(lambda indexer=indexer: indexer.ingest(corpus))
        ours = ours or spent
        line = {
            "step": name, "indexer": indexer.name, "seconds": round(spent, 3), "ratio": round(spent / ours, 2),
            "embedded": counted.texts - indexer.verified, "verified": indexer.verified,
        }  # fmt: skip
        print(json.dumps({**line, **_wrong(indexer, expected)}), flush=True)


def _wrong(indexer: Indexer, expected: Indexed) -> dict[str, int | str]:
    try:
        found = indexer.indexed()
    except RetrievalError as refusal:  # to refuse to serve what is damaged is right, and worth a line
        return {"refuses": str(refusal)}
    return {"served_but_gone": (found - expected).total(), "missing": (expected - found).total()}


if __name__ == "__main__":
    main()
