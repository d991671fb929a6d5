"""The parts of retrieval as the settings say: which index, which encoders, one searcher over both."""

from __future__ import annotations

from dataclasses import dataclass

from registry.clock import Clock, utc_now
from registry.database import Registry
from registry.settings import Settings
from retrieval.encoder.encoder import Encoder
from retrieval.errors import IndexUnavailable
from retrieval.index.store import GenerationStore
from retrieval.search.encoders import Encoders
from retrieval.search.searcher import Searcher


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A registry, its index, its encoders, and the search over them."""

    registry: Registry
    store: GenerationStore
    encoders: Encoders
    searcher: Searcher

    def close(self) -> None:
        """Close what is open in this process."""
        self.store.close()
        self.registry.close()


def open_retrieval(settings: Settings, clock: Clock = utc_now) -> Retrieval:
    """Open everything that a search needs; models load when they are first asked for."""
    registry = Registry(settings.registry)
    store = open_store(settings)
    encoders = Encoders(registry, lambda name: load_encoder(name, settings.embedding_threads))
    return Retrieval(registry, store, encoders, Searcher(registry, store, encoders, clock))


def open_store(settings: Settings) -> GenerationStore:
    """The index of these settings. Raises IndexUnavailable for one that this version cannot open."""
    if settings.index_url:
        raise IndexUnavailable(
            "HOLDFAST_INDEX_URL is set, but this version has the embedded index only: unset it"
        )
    from retrieval.index.edge.store import EdgeGenerationStore

    return EdgeGenerationStore(settings.index, settings.open_generations)


def load_encoder(name: str, threads: int = 0) -> Encoder:
    """Load a model by name. Raises EncoderUnavailable."""
    from retrieval.encoder.sentence_transformers_encoder import load

    if threads:
        import torch

        torch.set_num_threads(threads)
    return load(name)
