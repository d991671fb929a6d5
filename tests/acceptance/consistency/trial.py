"""A whole Holdfast with its sources' writers: single steps that record what they saw."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipelines.errors import PipelineError
from pipelines.ingestion.ingestion import with_checks
from pipelines.ingestion.outcome import Outcome
from registry import generations, publication
from registry.errors import PublicationRefused, RegistryError
from registry.schema import Generation, SourceCommit
from retrieval.errors import IndexUnavailable, RetrievalError
from tests.acceptance.consistency.auditing import audit
from tests.acceptance.consistency.record import Audited, Capture, Move, Record
from tests.acceptance.consistency.workload import Nomads, Workload
from tests.acceptance.consistency.writer import Writer
from tests.support.api import Api
from tests.support.world import World


@dataclass
class Trial:
    """The steps. `tenants` maps names to ids; `api` and its keys are optional.

    `source_ids` has the sources that are there, by label, `owners` the tenant of each that is no shared one,
    `away` those that were removed, by name, until they are added again (by `add_source`); `named_again` are erased ones
    whose name somebody else has by now. `second` has the
    writers of tenants with a second source; `around` is called where a step lets others in between its parts.
    """

    world: World
    record: Record
    tenants: Mapping[str, str]
    source_ids: dict[str, int]
    workloads: Mapping[str, tuple[Writer, Workload]]
    add_source: Callable[[Writer, str | None], int]
    second: Mapping[str, tuple[Writer, Workload]] = field(default_factory=dict)
    nomads: tuple[Writer, Nomads] | None = None
    api: Api | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    around: Callable[[str], None] = lambda where: None
    runs: itertools.count[int] = field(default_factory=itertools.count)
    owners: dict[str, str] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    away: dict[str, str] = field(default_factory=dict)
    named_again: set[str] = field(default_factory=set)
    looking: threading.RLock = field(default_factory=threading.RLock)

    def introduce(self, label: str, writer: Writer, owner: str | None, source_id: int) -> None:
        """A source that was added: of one tenant, or shared by all that there are."""
        self.record.writers[label] = writer
        self.source_ids[label] = source_id
        self.labels[source_id] = label
        if owner is not None:
            self.owners[label] = owner
        for tenant in self.tenants if owner is None else (owner,):
            self.record.sources[tenant] = (*self.record.sources.get(tenant, ()), label)

    def present(self) -> list[str]:
        """Tenants that were not erased."""
        return [tenant for tenant in self.tenants if tenant not in self.record.erased]

    def label_of(self, writer: Writer) -> str | None:
        """The label of the source that somebody writes to, while it is not away."""
        return next((label for label in self.source_ids if self.record.writers[label] is writer), None)

    # Writers.

    def write(self, tenant: str) -> None:
        """One transaction of one of a tenant's writers."""
        writer, workload = self.workloads[tenant]
        if tenant in self.second and workload.random.random() < 0.5:
            writer, workload = self.second[tenant]
        rows = {key: page for key, page in writer.history.rows.items() if key.startswith(f"{tenant}.")}
        writer.commit(workload.transaction(rows))

    def wander(self) -> None:
        """A page moves from one tenant to another."""
        if self.nomads is not None:
            writer, nomads = self.nomads
            writer.commit(nomads.transaction(writer.history.rows))

    # The capturer and the ingester.

    def capture(self, source: str) -> None:
        """One look at a source; recorded where it ended well."""
        with self.looking:
            began = time.monotonic_ns()
            if source not in self.source_ids:
                return
            captured = self.world.ingestion.capturer.catch_up(self.source_ids[source])
            if captured.error:
                raise AssertionError(f"source {source} cannot be captured: {captured.error}")
            if not captured.busy:
                self.record.captures.append(Capture(source, began, time.monotonic_ns()))

    def ingest(self, tenant: str) -> Outcome | None:
        """Build, judge and publish what has been captured; None where the tenant is refused, being erased."""
        with self.unless_erased(tenant):
            return self._ingest(tenant)
        return None

    def _ingest(self, tenant: str) -> Outcome:
        ingestion, tenant_id = self.world.ingestion, self.tenants[tenant]
        self.audit(tenant)
        run = f"run-{next(self.runs)}"
        try:
            outcome = ingestion.build(tenant_id, run)
            if outcome.status == "published":
                number = outcome.generation
                assert number is not None
                self.around("built")
                outcome = with_checks(outcome, ingestion.judge(tenant_id, number))
                self.around("judged")
                if outcome.status == "rejected":
                    self.record.rejected += 1
                    return outcome
                self.publish(tenant, number)
            return outcome
        finally:
            ingestion.release(tenant_id, run)

    @contextmanager
    def unless_erased(self, tenant: str) -> Iterator[None]:
        """Whoever is erased, or just being erased, may be refused everything."""
        try:
            yield
        except (RegistryError, PipelineError, RetrievalError):
            if tenant not in self.record.erased:
                raise

    def publish(self, tenant: str, number: int) -> None:
        """Make a candidate live, if the registry lets us, and read what became live."""
        began = time.monotonic_ns()
        try:
            self.world.ingestion.publish(self.tenants[tenant], number)
        except PublicationRefused:
            self.record.refused += 1
            return
        self.record.moves.append(Move(tenant, "publish", number, began, time.monotonic_ns()))
        self.audit(tenant)

    def audit(self, tenant: str) -> None:
        """Read every generation that is served and was not read before."""
        with self.world.reading() as session:
            served = generations.of_tenant(session, self.tenants[tenant], generations.SERVABLE)
        for generation in served:
            if (tenant, generation.number) not in self.record.audited:
                found = self._read(tenant, generation)
                if found is not None:
                    self.record.audited[tenant, generation.number] = found

    def _read(self, tenant: str, generation: Generation) -> Audited | None:
        try:
            return audit(self.world, tenant, generation, self.labels)
        except IndexUnavailable:
            return None  # retired meanwhile; whether it was ever answered from, the checker will know

    def read_registry(self, sources: Sequence[str], named: Sequence[str]) -> None:
        """Captured positions in order, and each tenant's moves."""
        ids = {label: source_id for source_id, label in self.labels.items()}
        with self.world.reading() as session:
            for source in sources:
                found = (
                    session.query(SourceCommit).filter_by(source_id=ids[source]).order_by(SourceCommit.seq)
                )
                self.record.registered[source] = [commit.position for commit in found]
            for tenant in named:
                self.record.moved[tenant] = [
                    (move.kind, move.generation)
                    for move in publication.moves(session, self.tenants[tenant])
                    if move.kind in ("publish", "rollback")
                ]
