"""Every index store, each empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.index.edge.store import EdgeGenerationStore
from retrieval.index.store import GenerationStore


@pytest.fixture(params=["edge"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GenerationStore]:
    assert request.param == "edge"
    made = EdgeGenerationStore(tmp_path / "index")
    yield made
    made.close()
