"""Ready means: the registry answers, the model is loaded and encodes, the index can be opened."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from registry import tenants
from registry.database import Registry
from registry.errors import RegistryError
from registry.schema import Tenant
from retrieval.errors import RetrievalError
from retrieval.index.store import GenerationRef
from retrieval.opening import Retrieval

log = logging.getLogger("holdfast.api")

TRIED = 3
_SQLITE = b"SQLite format 3\x00"


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
        self._loading = State(False, "the embedding model is being loaded")

    def begin(self) -> None:
        """Start loading the model."""
        threading.Thread(target=self._load, name="load-model", daemon=True).start()

    def _load(self) -> None:
        try:
            self._parts.encoders.named(self._model).encode(["ready?"])
        except Exception:  # whatever a runtime raises: the probe must not say "loading" for ever
            log.exception("the embedding model %s cannot be loaded", self._model)
            self._loading = State(False, "the embedding model cannot be loaded: the log says why")
            return
        self._loading = State(True)

    @property
    def loading(self) -> State:
        """How far the model is; never waits."""
        return self._loading

    def state(self) -> State:
        """Look now."""
        if not self._loading.ready:
            return self._loading
        try:
            check_file(self._parts.registry)
            with self._parts.registry.read() as session:
                published = [t for t in tenants.active(session) if t.live_generation is not None]
        except (RegistryError, SQLAlchemyError, OSError) as error:
            log.warning("the registry cannot be read: %s", error)
            return State(False, f"the registry cannot be read ({type(error).__name__}): the log says more")
        if published and not any(self._opens(tenant) for tenant in islice(published, TRIED)):
            return State(False, "no index can be opened: the log says why")
        return State(True)

    def _opens(self, tenant: Tenant) -> bool:
        """Whether a tenant's index opens. One that does not is that tenant's trouble, not everybody's."""
        try:
            self._parts.store.open(GenerationRef(tenant.id, tenant.live_generation or 0)).close()
        except (RetrievalError, OSError) as error:
            log.warning("tenant %s: %s", tenant.id, error)
            return False
        return True


def check_file(registry: Registry) -> None:
    """OSError where the registry's file is gone or none: pooled connections would go on reading a ghost."""
    path = registry.url.database
    if registry.url.get_backend_name() != "sqlite" or not path:
        return
    with Path(path).open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise OSError("the registry's file is not a SQLite database")
