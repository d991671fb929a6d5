"""The encoders of the generations that are open: a retained generation retains its encoder."""

from __future__ import annotations

import threading
from collections.abc import Callable

from registry import models
from registry.database import Registry
from retrieval.encoder.encoder import Encoder
from retrieval.errors import ModelMismatch


class Encoders:
    """Loads each model once. `load` takes a model's name and gives its encoder."""

    def __init__(self, registry: Registry, load: Callable[[str], Encoder]) -> None:
        self._registry = registry
        self._load = load
        self._loaded: dict[str, Encoder] = {}
        self._differ: dict[str, str] = {}
        self._lock = threading.Lock()

    def named(self, name: str) -> Encoder:
        """The encoder of a model's name: the newest that was loaded under it, else loaded now."""
        with self._lock:
            for encoder in reversed(self._loaded.values()):
                if encoder.model.name == name:
                    return encoder
            return self._load_now(name)

    def of(self, model_id: str) -> Encoder:
        """The encoder of a registered model. Raises ModelMismatch where its weights are no longer those."""
        found = self._loaded.get(model_id)
        if found is not None:
            return found
        with self._registry.read() as session:
            name = models.get(session, model_id).name
        with self._lock:
            if model_id not in self._loaded and model_id not in self._differ:
                # Also where another model of that name is loaded: its files may have been replaced since.
                loaded = self._load_now(name)
                if loaded.model.id != model_id:
                    self._differ[model_id] = loaded.model.id
            if model_id in self._loaded:
                return self._loaded[model_id]
            raise ModelMismatch(
                f"a generation that is asked for a query of {name}", model_id, self._differ[model_id]
            )

    def _load_now(self, name: str) -> Encoder:
        encoder = self._load(name)
        return self._loaded.setdefault(encoder.model.id, encoder)

    @property
    def loaded(self) -> list[str]:
        """Ids of the loaded models."""
        return sorted(self._loaded)

    def is_loaded(self, model_id: str) -> bool:
        """Whether `of` gives this model without loading anything."""
        return model_id in self._loaded
