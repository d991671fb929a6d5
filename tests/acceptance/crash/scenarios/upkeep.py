"""A home that is made or migrated, and generations that are rebuilt where they are damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import inspect, text

import cli.home
import retrieval.encoder.identity
from pipelines.ingestion.rebuild import rebuild
from registry import generations
from registry.database import Registry
from registry.settings import Settings
from retrieval.index.store import GenerationRef
from tests.acceptance.crash.homes import opened
from tests.acceptance.crash.scenarios.build import two_generations
from tests.acceptance.crash.scenarios.scenario import upon
from tests.support.fake_encoder import fake_identity


def empty(home: Path) -> None:
    home.mkdir(parents=True)


def initialise(home: Path) -> None:
    retrieval.encoder.identity.identify = lambda _: fake_identity()  # type: ignore[assignment]
    cli.home.initialise(Settings(home=home))


def initialised(home: Path) -> Any:
    registry = Registry(Settings(home=home).registry)
    registry.ensure_current()
    with registry.read() as session:
        tables = sorted(inspect(session.connection()).get_table_names())
        models = session.scalar(text("SELECT count(*) FROM embedding_model"))
    registry.close()
    assert (home / "dagster" / "dagster.yaml").read_text() == cli.home.DAGSTER_YAML
    return tables, models


@upon(two_generations)
def damaged(home: Path) -> None:
    """Both generations lost a byte, the older one a file as well."""
    with opened(home) as world:
        for number in (1, 2):
            files = sorted((world.settings.index / world.tenant / str(number)).rglob("*.mmap"))
            with files[0].open("r+b") as file:
                file.seek(40)
                byte = file.read(1)
                file.seek(40)
                file.write(bytes([byte[0] ^ 1]))
        (world.settings.index / world.tenant / "1" / "postings.npy").unlink()


def repair(home: Path) -> None:
    with opened(home) as world:
        rebuild(world.registry, world.store, world.tenant, 30, world.clock)


def opens_as_recorded(home: Path) -> None:
    with opened(home) as world, world.registry.read() as session:
        served = generations.of_tenant(session, world.tenant, generations.SERVABLE)
        assert len(served) == 2
        for generation in served:
            with world.store.open(GenerationRef(world.tenant, generation.number)) as reader:
                assert reader.digest == generation.digest
