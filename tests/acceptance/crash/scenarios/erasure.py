"""A tenant is erased, and nothing names it any more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import inspect, select, text

import cli.erasure
from registry.schema import Tenant
from tests.acceptance.crash import homes
from tests.acceptance.crash.homes import opened
from tests.acceptance.crash.scenarios.build import two_generations
from tests.acceptance.crash.scenarios.decisions import command
from tests.acceptance.crash.scenarios.git_mirror import MIRRORED, mirror
from tests.acceptance.crash.scenarios.scenario import upon
from tests.support.real_sources import add_source
from tests.support.world import text_about


@upon(two_generations)
def two_tenants(home: Path) -> None:
    with opened(home) as world:
        erased = world.tenant
        other = world.add_tenant("other")
        world.add_source("others")
        world.commit({"x": text_about("walnut")}, source="others")
        assert world.run(other).status == "published"
        world.tenant = erased
        add_source(world, "git", MIRRORED, name="handbook")
    for uri in (MIRRORED, "https://example.org/nobody-s.git"):
        mirror(home, uri).mkdir(parents=True)
        (mirror(home, uri) / "HEAD").write_text("x")


def erase(home: Path) -> None:
    cli.erasure.synchronise_partitions = lambda *_: None  # type: ignore[assignment]
    command(home, "tenant", "erase", "acme", "--yes")


def erased(home: Path) -> Any:
    """Nothing names the tenant but its own blank row; the other one is as it was."""
    with opened(home) as world:
        with world.registry.read() as session:
            acme = session.scalars(select(Tenant).where(Tenant.name == "acme")).one()
            other = session.scalars(select(Tenant).where(Tenant.name == "other")).one()
            rows = _rows_of(session, acme.id)
        assert acme.status == "erased"
        assert rows == {"tenant": 1}
        assert not (world.settings.index / acme.id).exists()
        assert list((home / "mirrors").iterdir()) == []
        world.tenant = other.id
        found = homes.state(world)
        return {"other": found["digest"], "points": found["points"]}


def _rows_of(session: Any, tenant_id: str) -> dict[str, int]:
    found = {}
    for table in inspect(session.connection()).get_table_names():
        columns = {c["name"] for c in inspect(session.connection()).get_columns(table)}
        for column in columns & {"tenant_id", "scope", "id"}:
            query = text(f'SELECT count(*) FROM "{table}" WHERE CAST("{column}" AS TEXT) = :t')
            if count := session.scalar(query, {"t": tenant_id}):
                found[table] = found.get(table, 0) + count
    return found
