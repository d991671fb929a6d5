"""One tenant's ingestion, step by step, for whoever drives it: the Dagster job or a test.

The steps share nothing in memory: each finds in the registry what the one before left there, so that a
step repeated, skipped or run out of order cannot do more than the registry allows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from canaries import gate
from pipelines.build.configuration import BuildConfiguration
from pipelines.build.document_preparer import DocumentPreparer
from pipelines.build.isolated_preparer import IsolatedPreparer
from pipelines.build.prepared import Preparer
from pipelines.build.progress import Progress, Silent
from pipelines.capture.capturer import Captured, Capturer
from pipelines.errors import IngestBusy, IngestRefused
from pipelines.ingestion.build import build_candidate
from pipelines.ingestion.builder import Builder
from pipelines.ingestion.outcome import Outcome
from pipelines.ingestion.retention import remove_if_erased, remove_unserved
from pipelines.lease_keeping import kept
from pipelines.pin.pins import longest_wait
from registry import canaries, contracts, generations, leases, publication, tenants, verdicts
from registry.clock import Clock, utc_now
from registry.crash_points import crash_point
from registry.database import Registry
from registry.errors import LeaseHeld, PublicationRefused
from registry.publication import Published
from registry.schema import Generation
from registry.settings import Settings
from registry.verdicts import Verdict
from retrieval.encoder.identity import ModelIdentity, identify
from retrieval.index.store import GenerationStore
from retrieval.opening import open_retrieval
from retrieval.search.encoders import Encoders
from retrieval.search.searcher import Searcher

log = logging.getLogger("holdfast.ingest")
CAPTURE_PATIENCE = 10.0
SETTLING_PATIENCE = 5.0
CLOCK_MARGIN = 0.01


@dataclass(frozen=True, slots=True)
class Ingestion:
    """The parts of ingestion, opened once per process."""

    settings: Settings
    registry: Registry
    store: GenerationStore
    searcher: Searcher
    encoders: Encoders
    model: ModelIdentity
    preparer: Preparer
    capturer: Capturer
    clock: Clock
    pause: Callable[[float], None] = time.sleep

    def capture(self, tenant_id: str) -> list[Captured]:
        """Catch up with every source that may hold something for a tenant.

        One that changed just now is looked at again after its quiescence window, where that is short: only
        what was seen to stay as it is can be pinned.
        """
        captured = self.capturer.catch_up_all(tenant_id, CAPTURE_PATIENCE)
        patience = SETTLING_PATIENCE
        while wait := self._until_quiet(tenant_id, patience):
            self.pause(wait)
            patience -= wait
            again = self.capturer.catch_up_all(tenant_id, CAPTURE_PATIENCE)
            captured = [one.then(later) for one, later in zip(captured, again, strict=True)]
        return captured

    def _until_quiet(self, tenant_id: str, patience: float) -> float:
        with self.registry.read() as session:
            wait = longest_wait(session, tenant_id, patience)
        return wait + CLOCK_MARGIN if wait else 0.0

    def build(
        self, tenant_id: str, run: str, progress: Progress | None = None, *, anew: bool = False
    ) -> Outcome:
        """Build a candidate under the tenant's lease; see `build_candidate` for the outcome's status.

        With `anew` everything is built from nothing beside what is live, also where nothing changed.

        Raises IngestBusy where another run ingests this tenant, IngestRefused where this one was fenced off,
        NotFound or TenantSuspended where the tenant was erased or suspended, also while this was under way.
        """
        with self._leased(tenant_id, run) as token, self._unless_gone(tenant_id):
            self.store.discard_stages(tenant_id)
            remove_unserved(self.registry, self.store, tenant_id, self.clock)
            builder = Builder(
                self.registry,
                self.store,
                self.configuration,
                self.model,
                self.preparer.prepare,
                lambda: self.encoders.of(self.model.id),
                self.settings.embedding_batch,
                self.clock,
            )
            return build_candidate(builder, tenant_id, run, token, progress or Silent(), anew=anew)

    @property
    def configuration(self) -> BuildConfiguration:
        """What a generation built now is built with."""
        return self.preparer.configuration(self.model.id)

    def candidate(self, tenant_id: str, run: str = "") -> Generation | None:
        """The newest candidate of a tenant (of one run, where `run` is given)."""
        with self.registry.read() as session:
            found = generations.of_tenant(session, tenant_id, ["candidate"])
        return next((g for g in found if g.digest and (not run or g.run == run)), None)

    def unjudged(self, tenant_id: str) -> int | None:
        """The live generation's number where the contract or canaries in force have no full verdict on it."""
        with self.registry.read() as session:
            live = generations.live(session, tenant_id)
            if live is None:
                return None
            contract = contracts.current(session, tenant_id).hash
            canary = canaries.set_hash(canaries.of_tenant(session, tenant_id))
            found = verdicts.of_candidate(session, tenant_id, live.digest, contract, canary)
        return live.number if len(found) < len(verdicts.CHECKS) else None

    def judge(self, tenant_id: str, number: int) -> list[Verdict]:
        """Run the gate on a candidate, or on the live generation under a changed contract or changed canaries.

        Raises IngestRefused where there is no such candidate any more, NotFound or TenantSuspended where the tenant
        was erased or suspended, also while this was under way.
        """
        under_test = gate.put_under_test(
            self.registry, self.store, self.searcher, self.encoders, self.model, tenant_id, number
        )
        if under_test.candidate.status not in ("candidate", "live"):
            raise IngestRefused(
                f"generation {number} of tenant {tenant_id} is {under_test.candidate.status}: "
                "nothing to judge"
            )
        candidate = under_test.candidate
        kept = (
            self._kept(tenant_id, candidate.fencing_token)
            if candidate.status == "candidate"
            else nullcontext()
        )
        with kept, self._unless_gone(tenant_id):
            return gate.judge(under_test, self.clock)

    def publish(self, tenant_id: str, number: int) -> Published:
        """Make a candidate live if the registry allows it, then remove what is no longer retained.

        Raises PublicationRefused.
        """
        try:
            with self.registry.write() as session:
                published = publication.publish(session, tenant_id, number, self.clock())
        except PublicationRefused as error:
            log.warning("%s", error)
            raise
        crash_point("publish:after-commit")
        remove_unserved(self.registry, self.store, tenant_id, self.clock)
        return published

    def release(self, tenant_id: str, run: str) -> None:
        """Give the tenant's lease back at the end of a run; one that was taken over is left alone."""
        name, holder = leases.ingest_lease(tenant_id), leases.Holder.current(run)
        self._give_back(name, lambda session: leases.release_holder(session, name, holder))

    @contextmanager
    def _leased(self, tenant_id: str, run: str) -> Iterator[int]:
        name = leases.ingest_lease(tenant_id)
        holder = leases.Holder.current(run)
        with self.registry.read() as session:
            tenant = tenants.find_active(session, tenant_id)
        try:
            with self.registry.write() as session:
                tenants.require_active(session, tenant_id)
                token = leases.acquire(session, name, holder, self.settings.lease_seconds, self.clock())
        except LeaseHeld as error:
            raise IngestBusy(f"another ingest of tenant {tenant.name} is running: {error}") from error
        crash_point("lease:taken")
        with self._kept(tenant_id, token):
            yield token

    @contextmanager
    def _unless_gone(self, tenant_id: str) -> Iterator[None]:
        """What fails because its tenant was erased or suspended meanwhile fails for that reason.

        Rows and files go while they are read: that may show as anything. A folder made since goes as well.
        """
        try:
            yield
        except Exception:
            with self.registry.read() as session:
                remove_if_erased(session, self.store, tenant_id)
                tenants.find_active(session, tenant_id)
            raise

    @contextmanager
    def _kept(self, tenant_id: str, token: int) -> Iterator[None]:
        """Keep the lease while the block runs, and give it back where it fails: that run goes no further."""
        name = leases.ingest_lease(tenant_id)
        try:
            with kept(self.registry, name, token, self.settings.lease_seconds, self.clock):
                yield
        except BaseException:
            self._give_back(name, lambda session: leases.release(session, name, token))
            raise

    def _give_back(self, name: str, release: Callable[[Session], None]) -> None:
        try:
            with self.registry.write() as session:
                release(session)
            crash_point("lease:given-back")
        except OperationalError as error:
            # What the run came to must not be hidden by this: the lease ends with the process, or by itself.
            log.warning("the lease %s could not be given back: %s", name, error.orig)


def open_ingestion(settings: Settings, clock: Clock = utc_now) -> Ingestion:
    """Open everything that ingestion needs. Models load only when something has to be embedded or asked."""
    retrieval = open_retrieval(settings, clock)
    retrieval.registry.ensure_current()
    return Ingestion(
        settings,
        retrieval.registry,
        retrieval.store,
        retrieval.searcher,
        retrieval.encoders,
        identify(settings.embedding_model),
        IsolatedPreparer.of(DocumentPreparer.of(settings), settings),
        open_capturer(settings, retrieval.registry, clock),
        clock,
    )


def open_capturer(settings: Settings, registry: Registry, clock: Clock = utc_now) -> Capturer:
    """A capturer over these settings. Needs neither model nor index."""
    cache: Path = settings.state / "mirrors"
    return Capturer(registry, cache, settings.lease_seconds, clock)


def with_checks(outcome: Outcome, found: list[Verdict]) -> Outcome:
    """The outcome after the gate."""
    held_back = any(verdict.holds_back for verdict in found)
    return replace(outcome, checks=found, status="rejected" if held_back else outcome.status)
