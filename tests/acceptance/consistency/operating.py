"""Whoever runs Holdfast: rolls back, looks after dead letters, removes sources, erases tenants; all on record."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from cli import removing_sources
from cli.erasure import erase_tenant, resume_erasure
from cli.removing_sources import remove_source
from registry import dead_letters, generations, publication, tenants
from registry.errors import AlreadyExists, NotFound, RegistryError, RollbackRefused
from registry.schema import Source
from tests.acceptance.consistency.auditing import audit
from tests.acceptance.consistency.record import Ended, Move, name_of
from tests.acceptance.consistency.trial import Trial

PATIENCE, PAUSE = 5.0, 0.01  # seconds


@dataclass(frozen=True, slots=True)
class Operator:
    """Does so in a trial."""

    trial: Trial

    def roll_back(self, tenant: str) -> bool:
        """One step back, and ingestion is held; False where there is no step."""
        began = time.monotonic_ns()
        try:
            with self.trial.world.registry.write() as session:
                target = publication.roll_back(session, self.trial.tenants[tenant], self.trial.world.clock())
        except RollbackRefused:
            return False
        except RegistryError:
            if tenant in self.trial.record.erased:
                return False
            raise
        self.trial.record.moves.append(Move(tenant, "rollback", target, began, time.monotonic_ns()))
        return True

    def resume(self, tenant: str) -> None:
        """Release the hold."""
        with self.trial.unless_erased(tenant), self.trial.world.registry.write() as session:
            publication.resume(session, self.trial.tenants[tenant], self.trial.world.clock())

    def publish_again(self, tenant: str, chosen: random.Random) -> None:
        """Somebody tries to publish a generation that had its turn: the registry must say no."""
        with self.trial.world.reading() as session:
            made = generations.of_tenant(session, self.trial.tenants[tenant])
        known = [number for name, number in list(self.trial.record.audited) if name == tenant]
        if found := [generation.number for generation in made] or known:
            with self.trial.unless_erased(tenant):
                self.trial.publish(tenant, chosen.choice(found))

    def look_after_letters(self, tenant: str, chosen: random.Random) -> None:
        """A person asks for all dead letters to be tried again, or leaves them: it changes nothing of what is so."""
        with self.trial.unless_erased(tenant), self.trial.world.registry.write() as session:
            decide = chosen.choice((dead_letters.retry, dead_letters.drop))
            decide(session, self.trial.tenants[tenant], "a person", self.trial.world.clock())

    def remove(self, label: str) -> None:
        """A source is removed, as the command does it."""
        removed = self.trial.record.removed[label] = Ended(time.monotonic_ns())
        self.trial.away[name_of(label)] = label
        source_id = self.trial.source_ids.pop(label)
        with self.trial.world.reading() as session:
            source = session.get_one(Source, source_id)
        registry, settings = self.trial.world.registry, self.trial.world.settings
        with _its_log_going_on(source):
            left = remove_source(registry, settings, source)
        assert not left, left
        removed.ended = time.monotonic_ns()

    def add_again(self, name: str) -> None:
        """A source that was removed is added again under the same name."""
        old = self.trial.away.pop(name)
        writer, owner = self.trial.record.writers[old], self.trial.owners.get(old)
        if owner not in self.trial.record.erased:
            source_id = self.trial.add_source(writer, owner)
            self.trial.introduce(f"{name}#{len(self.trial.labels)}", writer, owner, source_id)

    def erase(self, tenant: str) -> None:
        """A tenant is erased, as the command does it; asked for again, what was cut off is finished."""
        tenant_id, world = self.trial.tenants[tenant], self.trial.world
        with self.trial.looking:
            if tenant not in self.trial.record.erased:
                self.trial.audit(tenant)
                own = [label for label, owner in self.trial.owners.items() if owner == tenant]
                self.trial.read_registry(own, [tenant])
                self.trial.record.erased[tenant] = Ended(time.monotonic_ns())
                for label in own:
                    self.trial.source_ids.pop(label, None)
        try:
            with world.reading() as session:
                found = tenants.find(session, tenant_id)
        except NotFound:
            resume_erasure(world.registry, world.settings, tenant_id)
        else:
            erase_tenant(world.registry, world.settings, found)
        if all(label in self.trial.owners for label in self.trial.record.sources[tenant]):
            world.add_tenant(tenant)  # the name is free again, and nothing comes with it
        self.trial.record.erased[tenant].ended = time.monotonic_ns()

    def begin_again(self, tenant: str) -> None:
        """An erased tenant's name is given to another one, which has what shared sources say of that name now."""
        trial, until = self.trial, time.monotonic() + PATIENCE
        shared = [label for label in trial.source_ids if label not in trial.owners]
        for label in shared:
            trial.capture(label)  # what comes next is a snapshot, and one commit
        trial.named_again.add(tenant)
        trial.record.again[tenant] = None
        try:
            tenant_id = trial.world.add_tenant(tenant)
        except AlreadyExists:
            return  # it is not so erased after all
        while trial.record.again[tenant] is None and time.monotonic() < until:
            for label in shared:
                trial.capture(label)
                trial.world.clock.advance(100)
                trial.capture(label)
            if trial.world.run(tenant_id).status == "published":
                live = trial.world.live(tenant_id)
                assert live is not None
                trial.record.again[tenant] = audit(trial.world, tenant, live, trial.labels)
            time.sleep(PAUSE)


@contextmanager
def _its_log_going_on(source: Source) -> Iterator[None]:
    """As if somebody else read the same table: the writer tells its positions by the changelog that triggers fill."""
    with ExitStack() as stack:
        if source.kind == "sqlite":
            stack.enter_context(patch.object(removing_sources, "may_be_removed", lambda *_, **__: False))
        yield
