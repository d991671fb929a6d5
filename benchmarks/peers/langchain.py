"""LangChain's `index()` with its SQL record manager and Qdrant's local store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from langchain_classic.indexes import SQLRecordManager
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import index
from langchain_qdrant import QdrantVectorStore
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointIdsList, VectorParams

from benchmarks.peers.work import Corpus, Counted, Indexed, Splitting

COLLECTION = "documents"


class _Embeddings(Embeddings):
    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._counted.encode(texts).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class LangChain:
    """As its documentation has it: a record manager, `cleanup="full"`, the document as the source id."""

    name = "LangChain index()"
    verified = 0

    def __init__(self, home: Path, counted: Counted, splitting: Splitting, dimension: int) -> None:
        home.mkdir()
        self._splitting = splitting
        self._client = QdrantClient(path=str(home / "qdrant"))
        self._client.create_collection(
            COLLECTION, vectors_config=VectorParams(size=dimension, distance=Distance.COSINE)
        )
        self._store = QdrantVectorStore(self._client, COLLECTION, _Embeddings(counted))
        self._records = SQLRecordManager("benchmark", db_url=f"sqlite:///{home / 'records.sqlite3'}")
        self._records.create_schema()

    def ingest(self, corpus: Corpus) -> None:
        """Every chunk of every document is handed over: `cleanup="full"` deletes what is not."""
        documents = [
            Document(page_content=text, metadata={"source": name, "chunk": number})
            for name, document in corpus.items()
            for number, text in enumerate(self._splitting.texts(document))
        ]
        # Of its key encoders the default alone makes ids that Qdrant takes.
        index(documents, self._records, self._store, cleanup="full", source_id_key="source")

    def indexed(self) -> Indexed:
        """What the collection holds."""
        found: Indexed = Counter()
        offset = None
        while True:
            points, offset = self._client.scroll(COLLECTION, limit=1_000, offset=offset)
            for point in points:
                payload = point.payload or {}
                found[(payload["metadata"]["source"], payload["page_content"])] += 1
            if offset is None:
                return found

    def lose(self, share: float) -> None:
        """Delete points from the collection, which its record knows nothing of."""
        points, _ = self._client.scroll(COLLECTION, limit=1_000_000)
        lost = [point.id for point in points[: max(int(len(points) * share), 1)]]
        self._client.delete(COLLECTION, PointIdsList(points=lost))

    def close(self) -> None:
        self._client.close()
