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
        self._lock = threading.Lock()

    def named(self, name: str) -> Encoder:
        """The encoder of a model's name, as it is now."""
        with self._lock:
            for encoder in self._loaded.values():
                if encoder.model.name == name:
                    return encoder
            encoder = self._load(name)
            self._loaded[encoder.model.id] = encoder
            return encoder

    def of(self, model_id: str) -> Encoder:
        """The encoder of a registered model. Raises ModelMismatch where its weights are no longer those."""
        if model_id in self._loaded:
            return self._loaded[model_id]
        with self._registry.read() as session:
            name = models.get(session, model_id).name
        encoder = self.named(name)
        if encoder.model.id != model_id:
            raise ModelMismatch(
                f"a generation that is asked for a query of {name}", model_id, encoder.model.id
            )
        return encoder

    @property
    def loaded(self) -> list[str]:
        """Ids of the loaded models."""
        return sorted(self._loaded)
