"""Ways to break what people ask of Holdfast: to reject deletions, to remove a source, to erase a tenant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from cli import erasure
from pipelines.build import documents
from registry import changelog, sources, tenants
from registry.clock import utc_now
from registry.schema import Source, Tenant
from retrieval.search import snapshot

Patch = pytest.MonkeyPatch


def rejected_is_confirmed(patch: Patch) -> None:
    """Whoever rejects deletions confirms them."""
    original = changelog.set_hold

    def deaf(session: Session, tenant: str, source: int, seqs: list[int], hold: str, *more: Any) -> None:
        original(session, tenant, source, seqs, "confirmed" if hold == "rejected" else hold, *more)

    patch.setattr(changelog, "set_hold", deaf)


def kept_as_current(patch: Patch) -> None:
    """What stays because its deletion was rejected is served as if it were still there."""
    patch.setattr(documents, "_kept_against_deletion", lambda *_: set())


def removed_source_served_on(patch: Patch) -> None:
    """Documents of a source that was removed stay until the next publication."""
    _hide_removed(patch, lambda session, pin: False)


def shown_when_back(patch: Patch) -> None:
    """A source that is there again under its name brings back what older generations had of the removed one."""

    def still_away(session: Session, pin: Any) -> bool:
        return session.query(Source).filter_by(name=pin.name, removed_at=None).first() is None

    _hide_removed(patch, still_away)


def erased_on_paper(patch: Patch) -> None:
    """An erasure says that it is done, and nothing is gone."""
    patch.setattr(tenants, "erase", lambda *_: None)
    patch.setattr(erasure, "_remove_index", lambda *_: (0, 0))


def erasure_takes_a_neighbours(patch: Patch) -> None:
    """With a tenant goes the source that it shared with others."""
    original = tenants.erase

    def greedy(session: Session, tenant: Tenant) -> None:
        original(session, tenant)
        for source in session.query(Source).filter_by(tenant_id=None, removed_at=None):
            sources.remove(session, source, utc_now())

    patch.setattr(tenants, "erase", greedy)


def namesake_has_what_changes(patch: Patch) -> None:
    """Who is given an erased tenant's name has only those rows of it that change from then on."""
    patch.setattr(tenants, "_claim_dropped", lambda *_: None)


def _hide_removed(patch: Patch, still_away: Callable[[Session, Any], bool]) -> None:
    """Have only those sources count as removed that are `still_away`."""
    original = snapshot._hidden

    def lenient(
        session: Session, tenant: str, number: int, pins: Sequence[Any]
    ) -> frozenset[tuple[str, str]]:
        seen = [
            pin
            if pin.removed_at is None or still_away(session, pin)
            else SimpleNamespace(**{**pin._mapping, "removed_at": None})
            for pin in pins
        ]
        return original(session, tenant, number, seen)  # type: ignore[arg-type]

    patch.setattr(snapshot, "_hidden", lenient)
