"""LlamaIndex's `IngestionPipeline` with a document store and Qdrant's local store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.schema import BaseNode, Document, NodeRelationship, TextNode, TransformComponent
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.vector_stores.qdrant import QdrantVectorStore
from pydantic import PrivateAttr
from qdrant_client import QdrantClient
from qdrant_client.models import PointIdsList

from benchmarks.peers.work import Corpus, Counted, Indexed, Splitting

COLLECTION = "documents"


class _Embedding(BaseEmbedding):
    _counted: Counted = PrivateAttr()

    def __init__(self, counted: Counted) -> None:
        super().__init__(embed_batch_size=256)
        self._counted = counted

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._counted.encode(texts).tolist()
        return rows

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class _Chunks(TransformComponent):
    _splitting: Splitting = PrivateAttr()

    def __init__(self, splitting: Splitting) -> None:
        super().__init__()
        self._splitting = splitting

    def __call__(self, nodes: Sequence[BaseNode], **_: Any) -> Sequence[BaseNode]:  # noqa: ANN401
        return [node for document in nodes for node in self._split(document)]

    def _split(self, document: BaseNode) -> list[BaseNode]:
        content = {"title": document.metadata["title"], "text": document.get_content()}
        relationships = {NodeRelationship.SOURCE: document.as_related_node_info()}
        return [
            TextNode(text=text, relationships=relationships, metadata={"number": number})
            for number, text in enumerate(self._splitting.texts(content))
        ]


class LlamaIndex:
    """As its documentation has it: a document store, upserts and deletions, kept between runs."""

    name = "LlamaIndex IngestionPipeline"
    verified = 0

    def __init__(self, home: Path, counted: Counted, splitting: Splitting) -> None:
        home.mkdir()
        self._kept = str(home / "docstore.json")
        self._client = QdrantClient(path=str(home / "qdrant"))
        self._store = QdrantVectorStore(COLLECTION, client=self._client)
        self._steps = [_Chunks(splitting), _Embedding(counted)]

    def ingest(self, corpus: Corpus) -> None:
        """A run in a process of its own would read the document store back: so does this one."""
        known = Path(self._kept).exists()
        documents = SimpleDocumentStore.from_persist_path(self._kept) if known else SimpleDocumentStore()
        pipeline = IngestionPipeline(
            transformations=self._steps,
            vector_store=self._store,
            docstore=documents,
            docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
            disable_cache=True,
        )
        pipeline.run(
            documents=[
                Document(id_=name, text=document["text"], metadata={"title": document["title"]})
                for name, document in corpus.items()
            ]
        )
        documents.persist(self._kept)

    def indexed(self) -> Indexed:
        """What the collection holds."""
        nodes = self._store.get_nodes() if self._client.collection_exists(COLLECTION) else []
        return Counter((str(node.ref_doc_id), node.get_content()) for node in nodes)

    def lose(self, share: float) -> None:
        """Delete points from the collection, which its record knows nothing of."""
        points, _ = self._client.scroll(COLLECTION, limit=1_000_000)
        lost = [point.id for point in points[: max(int(len(points) * share), 1)]]
        self._client.delete(COLLECTION, PointIdsList(points=lost))

    def close(self) -> None:
        self._client.close()
