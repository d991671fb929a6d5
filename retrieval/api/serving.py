"""Which generation answers now: the live one, or the one before it while the live one is being loaded."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import func, select

from registry import generations
from registry.database import Registry
from registry.schema import Publication, Tenant
from retrieval.errors import EncoderUnavailable
from retrieval.index.store import GenerationRef, GenerationStore, Reader
from retrieval.search.encoders import Encoders
from retrieval.search.snapshot import Live

log = logging.getLogger("holdfast.api")

PATIENCE = 0.25
FIRST_PATIENCE = 60.0
RETRY = 5.0


@dataclass(frozen=True, slots=True)
class Served:
    """A generation that answers, held open so that no process removes it."""

    live: Live
    reader: Reader


@dataclass(frozen=True, slots=True)
class Loading:
    """A generation on its way. `done` gives nothing, or raises what kept it from being opened."""

    live: Live
    since: float
    done: Future[None]


class ServingGenerations:
    """Remembers what is served per tenant and switches once the new generation is open and encodable.

    Moves of a pointer are ordered by `Live.move`, so that a request that read the pointer before a
    publication can never switch a tenant back.
    """

    def __init__(
        self,
        registry: Registry,
        store: GenerationStore,
        encoders: Encoders,
        patience: float = PATIENCE,
        first_patience: float = FIRST_PATIENCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._store = store
        self._encoders = encoders
        self._patience = patience
        self._first_patience = first_patience
        self._monotonic = monotonic
        self._served: dict[str, Served] = {}
        self._loading: dict[str, Loading] = {}
        self._lock = threading.Lock()
        # A model takes seconds to load, an index milliseconds: the one must not queue behind the other.
        self._models = ThreadPoolExecutor(1, thread_name_prefix="preload-model")
        self._indices = ThreadPoolExecutor(2, thread_name_prefix="preload-index")

    def ready(self, tenant_id: str, live: Live) -> int | None:
        """The generation that answers, at once: None where it has to be loaded (see `switched`)."""
        with self._lock:
            return live.number if self._is_served(tenant_id, live) else None

    def switched(self, tenant_id: str, live: Live) -> int:
        """The generation that answers, after waiting for what there is to wait for. Hold no transaction.

        A tenant's first generation, and an older one after a rollback, are waited for; a newer one is given
        a moment, then the one before answers until it is loaded. Raises what keeps it from being opened,
        EncoderUnavailable where that takes too long.
        """
        with self._lock:
            served = self._served.get(tenant_id)
            if served is not None and (self._is_served(tenant_id, live) or served.live.move > live.move):
                return served.live.number
            loading = self._load(tenant_id, live)
        forward = served is not None and live.number > served.live.number
        patience = self._patience if forward else self._first_patience
        try:
            loading.done.result(max(0.0, loading.since + patience - self._monotonic()))
        except TimeoutError:
            if served is None or not forward:
                raise EncoderUnavailable(
                    f"generation {live.number} of tenant {tenant_id} is still being loaded"
                ) from None
        except Exception:  # logged where it happened
            if served is None or not forward:
                raise
        with self._lock:
            newest = self._served.get(tenant_id) or served
        return live.number if newest is None else newest.live.number

    def refresh(self) -> None:
        """Begin to load what was published since, and let go of tenants that are not active any more."""
        with self._lock:
            known = {tenant_id: served.live for tenant_id, served in self._served.items()}
        if not known:
            return
        pointers = self._pointers()
        for tenant_id, before in known.items():
            live = pointers.get(tenant_id)
            if live is None:
                self._drop(tenant_id)
            elif live.move > before.move:
                with self._lock:
                    if not self._is_served(tenant_id, live):
                        self._load(tenant_id, live)

    def close(self) -> None:
        """Let go of every generation."""
        for pool in (self._models, self._indices):
            pool.shutdown(wait=True, cancel_futures=True)
        for tenant_id in list(self._served):
            self._drop(tenant_id)

    def _is_served(self, tenant_id: str, live: Live) -> bool:
        served = self._served.get(tenant_id)
        if served is None or served.live.number != live.number:
            return False
        if live.move > served.live.move:  # rolled back to what is served still, or a hold was released
            self._served[tenant_id] = Served(live, served.reader)
        return True

    def _pointers(self) -> dict[str, Live]:
        newest = select(func.max(Publication.id)).where(Publication.tenant_id == Tenant.id).scalar_subquery()
        query = select(Tenant.id, Tenant.live_generation, newest).where(
            Tenant.status == "active", Tenant.live_generation.is_not(None)
        )
        with self._registry.read() as session:
            return {tenant_id: Live(number, move or 0) for tenant_id, number, move in session.execute(query)}

    def _load(self, tenant_id: str, live: Live) -> Loading:
        """The loading of a generation, begun where it is not under way; a failed one is tried again later."""
        found = self._loading.get(tenant_id)
        now = self._monotonic()
        if found is not None and found.live.move >= live.move:
            failed = found.done.done() and found.done.exception() is not None
            if not failed or now - found.since < RETRY:
                return found
        begun = Loading(live, now, Future())
        self._loading[tenant_id] = begun
        self._indices.submit(self._open, tenant_id, begun)
        return begun

    def _open(self, tenant_id: str, loading: Loading) -> None:
        try:
            with self._registry.read() as session:
                model_id = generations.get(session, tenant_id, loading.live.number).model_id
            if self._encoders.is_loaded(model_id):
                self._switch(tenant_id, loading, model_id)
            else:
                self._models.submit(self._switch_with_model, tenant_id, loading, model_id)
        except Exception as error:  # whoever waits must hear of it, whatever it is
            self._fail(tenant_id, loading, error)

    def _switch_with_model(self, tenant_id: str, loading: Loading, model_id: str) -> None:
        try:
            self._encoders.of(model_id)
            self._switch(tenant_id, loading, model_id)
        except Exception as error:  # as above
            self._fail(tenant_id, loading, error)

    def _switch(self, tenant_id: str, loading: Loading, model_id: str) -> None:
        opened = Served(
            loading.live, self._store.open(GenerationRef(tenant_id, loading.live.number), model_id)
        )
        with self._lock:
            previous = self._served.get(tenant_id)
            overtaken = previous is not None and previous.live.move > loading.live.move
            if not overtaken:
                self._served[tenant_id] = opened
            if self._loading.get(tenant_id) is loading:
                del self._loading[tenant_id]
        closing = opened if overtaken else previous
        if closing is not None:
            closing.reader.close()
        loading.done.set_result(None)

    def _fail(self, tenant_id: str, loading: Loading, error: Exception) -> None:
        log.error(
            "generation %s of tenant %s cannot be loaded", loading.live.number, tenant_id, exc_info=error
        )
        loading.done.set_exception(error)

    def _drop(self, tenant_id: str) -> None:
        with self._lock:
            served = self._served.pop(tenant_id, None)
        if served is not None:
            served.reader.close()
