"""What every check is given: one candidate, the live generation beside it, and the means to look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from registry.canaries import Question
from registry.contract import Contract
from registry.database import Registry
from registry.schema import Generation
from retrieval.encoder.identity import ModelIdentity
from retrieval.index.store import GenerationRef, GenerationStore, Reader
from retrieval.search.encoders import Encoders
from retrieval.search.searcher import Searcher


@dataclass(frozen=True, slots=True)
class CandidateUnderTest:
    """A sealed candidate before its gate. `model` is the embedding model as it is configured now."""

    registry: Registry
    store: GenerationStore
    searcher: Searcher
    encoders: Encoders
    model: ModelIdentity
    candidate: Generation
    live: Generation | None
    contract: Contract
    questions: Sequence[Question]

    def open(self) -> Reader:
        """The candidate's index, whatever model it is stamped with."""
        return self.store.open(GenerationRef(self.candidate.tenant_id, self.candidate.number))
