"""The end of a trial: writers rest, everything is captured and published, readers ask once more."""

from __future__ import annotations

import random
import time
from typing import Literal

from registry import publication
from registry.schema import SourceCommit
from tests.acceptance.consistency.trial import Trial

PATIENCE, PAUSE = 15.0, 0.05  # seconds


def end(trial: Trial) -> None:
    """Converge, ask everybody, and read the registry's own record of positions and moves."""
    for tenant in trial.tenants:
        trial.resume(tenant)
        _publish_all(trial, tenant)
        _ask_in_the_end(trial, tenant, "search")
        if trial.api is not None:
            _ask_in_the_end(trial, tenant, "api")
    read_registry(trial)


def _publish_all(trial: Trial, tenant: str) -> None:
    """Look and ingest until nothing is left to publish, nor to wait for."""
    until = time.monotonic() + PATIENCE
    while True:
        for source in trial.record.sources[tenant]:
            trial.capture(source)
        outcome = trial.ingest(tenant)
        if outcome.status != "published" and (not outcome.reason or time.monotonic() > until):
            return
        trial.world.clock.advance(1_000)
        time.sleep(PAUSE)


def _ask_in_the_end(trial: Trial, tenant: str, through: Literal["search", "api"]) -> None:
    newest = max(number for name, number in trial.record.audited if name == tenant)
    until = time.monotonic() + PATIENCE
    chosen = random.Random(0)
    while True:
        trial.ask(tenant, chosen, through)
        answer = trial.record.answers[-1]
        if answer.as_of is None and (answer.generation == newest or time.monotonic() > until):
            trial.record.final.append(answer)
            return


def read_registry(trial: Trial) -> None:
    """Captured positions in order, and each tenant's moves."""
    with trial.world.reading() as session:
        for source, source_id in trial.source_ids.items():
            found = session.query(SourceCommit).filter_by(source_id=source_id).order_by(SourceCommit.seq)
            trial.record.registered[source] = [commit.position for commit in found]
        for tenant, tenant_id in trial.tenants.items():
            trial.record.moved[tenant] = [
                (move.kind, move.generation)
                for move in publication.moves(session, tenant_id)
                if move.kind in ("publish", "rollback")
            ]
