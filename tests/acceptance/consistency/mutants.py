"""Ways to break Holdfast that the checker must see: each replaces one function of the product. The whole list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy.orm import Session

from pipelines.capture import capturer
from pipelines.pin import pins
from pipelines.pin.quiet_point import choose
from registry import changelog, generations, publication
from registry.schema import GenerationPin, Head, Publication, Source
from retrieval.search import searcher, snapshot
from retrieval.search.query import Answer, SearchQuery
from retrieval.search.searcher import Searcher
from tests.acceptance.consistency import capture_mutants as capture
from tests.acceptance.consistency import operator_mutants as operator
from tests.acceptance.consistency import unreadable_mutants as unreadable
from tests.acceptance.consistency.violations import Kind

Patch = pytest.MonkeyPatch


def torn_pin(patch: Patch) -> None:
    """Half of the documents are taken as they are now, not as they were at the pin."""
    original = changelog.net_changes

    def torn(session: Session, tenant: str, source: int, after: int, upto: int) -> list[Any]:
        pinned = original(session, tenant, source, after, upto)
        newest = original(session, tenant, source, after, 2**31)
        late = {change.key: change for change in newest if capture.odd(change.key)}
        keys = {change.key for change in pinned}
        return [late.get(c.key, c) for c in pinned] + [c for k, c in late.items() if k not in keys]

    patch.setattr(changelog, "net_changes", torn)


def tombstone_forgotten_at_rollback(patch: Patch) -> None:
    """What was deleted before the newest publication is forgotten when an older generation is live again."""
    original = changelog.hidden_documents

    def forgetful(session: Session, tenant: str, since: Mapping[int, int]) -> set[Any]:
        newest = generations.of_tenant(session, tenant, generations.SERVABLE)[:1]
        pinned = generations.pins(session, tenant, newest[0].number) if newest else {}
        return original(session, tenant, {s: max(seq, _seq(pinned, s)) for s, seq in since.items()})

    patch.setattr(changelog, "hidden_documents", forgetful)


def only_absent_now(patch: Patch) -> None:
    """What was deleted and came back is shown again as it was before."""
    original = changelog.hidden_documents

    def forgiving(session: Session, tenant: str, since: Mapping[int, int]) -> set[Any]:
        found = original(session, tenant, since)
        return {d for d in found if session.get(Head, (d.source_id, d.key)) is None}

    patch.setattr(changelog, "hidden_documents", forgiving)


def hidden_leaks_as_of(patch: Patch) -> None:
    """An older generation is shown with all that it had."""
    original = snapshot.of_generation

    def leaking(session: Session, tenant: Any, number: int, *, servable: bool = False) -> Any:
        found = original(session, tenant, number, servable=servable)
        return replace(found, hidden=frozenset()) if servable else found

    patch.setattr(snapshot, "of_generation", leaking)
    patch.setattr(searcher, "of_generation", leaking)


def edits_hide(patch: Patch) -> None:
    """What was edited since is hidden, as if it had been deleted."""
    original = changelog.hidden_documents

    def zealous(session: Session, tenant: str, since: Mapping[int, int]) -> set[Any]:
        found = original(session, tenant, since)
        for source, seq in since.items():
            for change in changelog.net_changes(session, tenant, source, seq, 2**31):
                found.add(changelog.DocumentKey(source, change.key))
        return found

    patch.setattr(changelog, "hidden_documents", zealous)


def half_hidden(patch: Patch) -> None:
    """Of the documents that a commit deleted only some are hidden."""
    original = snapshot._hidden

    def some(*arguments: Any) -> frozenset[tuple[str, str]]:
        found = sorted(original(*arguments))
        return frozenset(found[: (len(found) + 1) // 2])

    patch.setattr(snapshot, "_hidden", some)


def two_generations(patch: Patch) -> None:
    """Half of an answer comes from the generation before."""
    original = Searcher.search

    def mixed(self: Searcher, tenant: str, query: SearchQuery, **more: Any) -> Answer:
        answer = original(self, tenant, query, **more)
        if more.get("candidate") is not None:
            return answer
        with self._registry.read() as session:
            older = [g.number for g in generations.of_tenant(session, tenant, ["retained"])]
        if not older:
            return answer
        other = original(self, tenant, query, as_of=older[0])
        hits = [h for h in answer.hits if not capture.odd(h.document)] + [
            h for h in other.hits if capture.odd(h.document)
        ]
        return replace(answer, hits=hits)

    patch.setattr(Searcher, "search", mixed)


def untrue_positions(patch: Patch) -> None:
    """An answer names the newest captured positions instead of its generation's."""
    original = snapshot._snapshot

    def boasting(session: Session, tenant: Any, number: int, found: Any) -> Any:
        taken = original(session, tenant, number, found)
        named = {}
        for pin in session.query(GenerationPin).filter_by(tenant_id=tenant.id, generation=number):
            source = session.get_one(Source, pin.source_id)
            named[source.name] = source.position or ""
        return replace(taken, sources=named)

    patch.setattr(snapshot, "_snapshot", boasting)


def mass_deletion_bypass(patch: Patch) -> None:
    """Nothing is ever held."""
    patch.setattr(capturer, "hold_mass_deletions", lambda *_: [])


def pin_after_the_hold(patch: Patch) -> None:
    """Mass deletions are held, but a pin does not stop before them."""
    patch.setattr(pins, "choose", lambda c, n, q, m, barrier=None, excluded=frozenset(): choose(c, n, q, m))


def no_quiet_points(patch: Patch) -> None:
    """Any commit counts as a quiet point."""
    patch.setattr(pins, "choose", lambda c, n, q, *more: choose(c, n, 0.0, *more))


def anything_may_be_published(patch: Patch) -> None:
    """Whoever asks for it gets a generation published, whatever is live."""
    patch.setattr(publication, "_refuse_unless_publishable", lambda *_: None)


def rollback_off_the_record(patch: Patch) -> None:
    """A rollback moves the pointer and writes nothing down."""
    original = publication.roll_back

    def silent(session: Session, tenant: str, *arguments: Any, **more: Any) -> int:
        target = original(session, tenant, *arguments, **more)
        newest = session.query(Publication).order_by(Publication.id.desc()).first()
        session.delete(newest)
        return target

    patch.setattr(publication, "roll_back", silent)


def _seq(pinned: Mapping[int, GenerationPin], source: int) -> int:
    return pinned[source].seq if source in pinned else 0


@dataclass(frozen=True)
class Mutant:
    """A mutant, and by which of these kinds it must be caught, in a trial over this kind of source.

    `accidents`, `removals`, `erasure`: only seen where there are some; `crashes`: where capturers die often.
    """

    apply: Callable[[Patch], None]
    caught_as: frozenset[Kind]
    source: str = "sqlite"
    accidents: bool = False
    removals: bool = False
    erasure: bool = False
    crashes: bool = False

    @property
    def name(self) -> str:
        return self.apply.__name__


def _mutant(apply: Callable[[Patch], None], *kinds: Kind, **where: Any) -> Mutant:
    return Mutant(apply, frozenset(kinds), **where)


MUTANTS = (
    _mutant(torn_pin, "torn_state"),
    _mutant(capture.half_applied_commit, "torn_state"),
    _mutant(capture.lost_delete, "deleted_served"),
    _mutant(capture.early_acknowledgement, "lost_commit", source="postgres", crashes=True),
    _mutant(capture.early_acknowledgement_unnoticed, "torn_state", source="postgres", crashes=True),
    _mutant(capture.stale_tenant_map, "foreign"),
    _mutant(capture.metadata_is_no_change, "torn_state"),
    _mutant(capture.skipped_commit, "lost_commit"),
    _mutant(capture.every_deletion_a_rename, "deleted_served"),
    _mutant(tombstone_forgotten_at_rollback, "deleted_served"),
    _mutant(only_absent_now, "deleted_served"),
    _mutant(hidden_leaks_as_of, "deleted_served"),
    _mutant(edits_hide, "missing"),
    _mutant(half_hidden, "deleted_served"),
    _mutant(two_generations, "mixed"),
    _mutant(untrue_positions, "untruthful"),
    _mutant(mass_deletion_bypass, "mass_deletion", accidents=True),
    _mutant(pin_after_the_hold, "mass_deletion", accidents=True),
    _mutant(no_quiet_points, "not_quiet", source="git"),
    _mutant(anything_may_be_published, "went_back"),
    _mutant(rollback_off_the_record, "went_back"),
    _mutant(operator.rejected_is_confirmed, "rejection_ignored", accidents=True),
    _mutant(operator.kept_as_current, "stale_mark", accidents=True),
    _mutant(operator.removed_source_served_on, "removed_served", removals=True),
    _mutant(operator.shown_when_back, "removed_served", removals=True),
    _mutant(operator.erased_on_paper, "erased_served", erasure=True),
    _mutant(operator.erasure_takes_a_neighbours, "missing", erasure=True),
    _mutant(operator.namesake_has_what_changes, "torn_state", erasure=True),
    _mutant(unreadable.good_version_lost, "not_last_good"),
    _mutant(unreadable.stale_as_current, "stale_mark"),
    _mutant(unreadable.back_as_it_was, "not_last_good"),
    _mutant(unreadable.mended_unnoticed, "torn_state"),
    _mutant(unreadable.replaced_unnoticed, "deleted_served"),
)
