"""Ready means: the registry answers, the model is loaded and encodes, the index can be reached."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from registry import tenants
from registry.errors import RegistryError
from retrieval.errors import RetrievalError
from retrieval.index.store import GenerationRef
from retrieval.opening import Retrieval

log = logging.getLogger("holdfast.api")


@dataclass(frozen=True, slots=True)
class State:
    """Whether a search would work, and what is in the way otherwise."""

    ready: bool
    reason: str = ""


class Readiness:
    """Loads the model once in the background and tells how far it is."""

    def __init__(self, parts: Retrieval, model: str) -> None:
        self._parts = parts
        self._model = model
        self._loaded = threading.Event()
        self._failure = ""

    def begin(self) -> None:
        """Start loading the model."""
        threading.Thread(target=self._load, name="load-model", daemon=True).start()

    def _load(self) -> None:
        try:
            self._parts.encoders.named(self._model).encode(["ready?"])
        except RetrievalError as error:
            self._failure = str(error)
            log.exception("the embedding model cannot be loaded")
            return
        self._loaded.set()

    def state(self) -> State:
        """Look now."""
        if self._failure:
            return State(False, self._failure)
        if not self._loaded.is_set():
            return State(False, f"the embedding model {self._model} is being loaded")
        try:
            return self._index_state()
        except (RegistryError, RetrievalError, SQLAlchemyError) as error:
            return State(False, f"{type(error).__name__}: {error}")

    def _index_state(self) -> State:
        with self._parts.registry.read() as session:
            published = [t for t in tenants.active(session) if t.live_generation is not None]
        for tenant in published[:1]:
            self._parts.store.open(GenerationRef(tenant.id, tenant.live_generation or 0)).close()
        return State(True)
