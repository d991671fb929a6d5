"""A source that holds its server's log back until it has acknowledged: dropped, drifted, or sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from registry import sources
from registry.schema import ReplicationSlot, Source
from tests.acceptance.crash import homes, slotted_source
from tests.acceptance.crash.homes import LATER, NOW, opened
from tests.acceptance.crash.scenarios.build import commit, run_to_the_end
from tests.acceptance.crash.scenarios.pages import run_real
from tests.acceptance.crash.scenarios.scenario import ending, upon
from tests.support.world import TOPICS, text_about


def slotted(home: Path) -> None:
    """As `changed`, from a source with a replication slot."""
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
        script = world.script()
        with world.registry.write() as session:
            sources.add(
                session, name="docs", tenant_id=world.tenant, kind=slotted_source.KIND, uri=str(script.path),
                owner="o@example.org", options={"quiescence": "0", "slot": "slot"}, consistency="transactional",
                now=NOW,
            )  # fmt: skip
        commit(world, 1, {f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])})
    run_real(home)
    with opened(home) as world:
        commit(world, 2, {"d0": text_about(TOPICS[0], version=2)}, ["d9"])
        commit(world, 3, {"d1": text_about(TOPICS[1], version=2)})


@upon(slotted)
def drifted(home: Path) -> None:
    (home / "docs.drift").touch()


@upon(slotted)
def slot_dropped(home: Path) -> None:
    (home / "docs.dropped").touch()


def mended_and_run_to_the_end(home: Path) -> None:
    (home / "docs.drift").unlink()
    run_to_the_end(home)


def with_slot(home: Path) -> Any:
    """The end, with what is known of the slot and of the source's last look."""
    found = ending(home)
    with opened(home, LATER) as world, world.registry.read() as session:
        known = session.execute(
            select(ReplicationSlot.name, ReplicationSlot.retained_bytes, ReplicationSlot.oldest)
        )
        looked = session.execute(select(Source.error, Source.failing_since))
        return found | {"slot": sorted(map(tuple, known)), "looked": list(map(tuple, looked))}
