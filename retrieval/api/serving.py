"""Which generation answers now: the live one, or the one before it while the live one is being loaded."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from registry import generations
from registry.database import Registry
from registry.errors import RegistryError
from retrieval.errors import RetrievalError
from retrieval.index.store import GenerationRef, GenerationStore, Reader
from retrieval.search.encoders import Encoders

log = logging.getLogger("holdfast.api")

PATIENCE = 0.25


class ServingGenerations:
    """Remembers what was served last per tenant and switches once the new generation is open and encodable."""

    def __init__(
        self, registry: Registry, store: GenerationStore, encoders: Encoders, patience: float = PATIENCE
    ) -> None:
        self._registry = registry
        self._store = store
        self._encoders = encoders
        self._patience = patience
        self._served: dict[str, Reader] = {}
        self._loading: dict[tuple[str, int], Future[None]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="preload")

    def number(self, tenant_id: str, live: int) -> int:
        """The generation that answers now.

        A tenant's first generation, and an older one after a rollback, are waited for; a newer one is waited
        for a moment, and the one before answers where loading takes longer.
        """
        with self._lock:
            served = self._served.get(tenant_id)
            if served is not None and served.ref.number == live:
                return live
            loading = self._loading.get((tenant_id, live))
            if loading is None:
                loading = self._pool.submit(self._switch, tenant_id, live)
                self._loading[tenant_id, live] = loading
                loading.add_done_callback(lambda _: self._forget(tenant_id, live))
        if served is None or live < served.ref.number:
            loading.result()
            return live
        try:
            loading.result(self._patience)
        except TimeoutError:
            return served.ref.number
        except (RetrievalError, RegistryError):
            log.exception("generation %s of tenant %s cannot be loaded; the one before goes on", live, tenant_id)
            return served.ref.number
        return live

    def _forget(self, tenant_id: str, live: int) -> None:
        with self._lock:
            self._loading.pop((tenant_id, live), None)

    def _switch(self, tenant_id: str, live: int) -> None:
        with self._registry.read() as session:
            model_id = generations.get(session, tenant_id, live).model_id
        self._encoders.of(model_id)
        # Held open, so that no process removes a generation that still answers here.
        reader = self._store.open(GenerationRef(tenant_id, live), model_id)
        with self._lock:
            previous = self._served.get(tenant_id)
            self._served[tenant_id] = reader
        if previous is not None:
            previous.close()

    def close(self) -> None:
        """Let go of every generation."""
        self._pool.shutdown(wait=True)
        with self._lock:
            for reader in self._served.values():
                reader.close()
            self._served.clear()
