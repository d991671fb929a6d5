"""A whole Holdfast with writers, readers and an operator: single steps that record what they saw."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipelines.ingestion.ingestion import with_checks
from pipelines.ingestion.outcome import Outcome
from registry import deletions, generations, publication
from registry.errors import PublicationRefused, RollbackRefused
from registry.schema import Generation
from retrieval.errors import GenerationNotServed, IndexUnavailable, NothingPublished
from retrieval.search.query import SearchQuery
from tests.acceptance.consistency.auditing import audit, documents_of_hits
from tests.acceptance.consistency.pages import WORD, Drop, Op, Put
from tests.acceptance.consistency.record import Answered, Audited, Capture, Confirmed, Move, Record
from tests.acceptance.consistency.workload import Nomads, Workload
from tests.acceptance.consistency.writer import Writer
from tests.support.api import Api
from tests.support.world import World

Mode = Literal["hybrid", "dense", "lexical"]
MASS_DELETION_SHARE = 0.6  # between what writers ever drop in earnest and what an accident takes
MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
EVERYTHING = 1_000


@dataclass
class Trial:
    """The steps. `tenants` maps names to ids, `source_ids` sources to theirs; `api` and its keys are optional.

    `second` has the writers of tenants with a second source; `around` is called where a step lets others in
    between its parts.
    """

    world: World
    record: Record
    tenants: Mapping[str, str]
    source_ids: Mapping[str, int]
    workloads: Mapping[str, tuple[Writer, Workload]]
    second: Mapping[str, tuple[Writer, Workload]] = field(default_factory=dict)
    nomads: tuple[Writer, Nomads] | None = None
    api: Api | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    around: Callable[[str], None] = lambda where: None
    runs: itertools.count[int] = field(default_factory=itertools.count)

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
        began = time.monotonic_ns()
        captured = self.world.ingestion.capturer.catch_up(self.source_ids[source])
        if captured.error:
            raise AssertionError(f"source {source} cannot be captured: {captured.error}")
        if not captured.busy:
            self.record.captures.append(Capture(source, began, time.monotonic_ns()))

    def ingest(self, tenant: str) -> Outcome:
        """Build, judge and publish what has been captured."""
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
            return audit(self.world, tenant, generation)
        except IndexUnavailable:
            return None  # retired meanwhile; whether it was ever answered from, the checker will know

    # The operator.

    def roll_back(self, tenant: str) -> bool:
        """One step back, and ingestion is held; False where there is no step."""
        began = time.monotonic_ns()
        try:
            with self.world.registry.write() as session:
                target = publication.roll_back(session, self.tenants[tenant], self.world.clock())
        except RollbackRefused:
            return False
        self.record.moves.append(Move(tenant, "rollback", target, began, time.monotonic_ns()))
        return True

    def resume(self, tenant: str) -> None:
        """Release the hold."""
        with self.world.registry.write() as session:
            publication.resume(session, self.tenants[tenant], self.world.clock())

    def publish_again(self, tenant: str, chosen: random.Random) -> None:
        """Somebody tries to publish a generation that had its turn: the registry must say no."""
        with self.world.reading() as session:
            made = generations.of_tenant(session, self.tenants[tenant])
        if made:
            self.publish(tenant, chosen.choice(made).number)

    def would_be_a_mass(self, tenant: str) -> bool:
        """Whether an accident now took more of the live generation than the contract's share."""
        writer, _ = self.workloads[tenant]
        live = self.world.live(self.tenants[tenant])
        audited = self.record.audited.get((tenant, live.number)) if live is not None else None
        if audited is None:
            return False
        dropped = {op.key for op in self._accident(tenant) if isinstance(op, Drop)}
        lost = {writer.expected(page).document for key, page in writer.history.rows.items() if key in dropped}
        served = {document for _, document in audited.documents}
        return len(lost & served) > MASS_DELETION_SHARE * len(served)

    def suffer_accident(self, tenant: str) -> None:
        """The source loses almost everything of a tenant in one transaction."""
        self.workloads[tenant][0].commit(self._accident(tenant), frozenset({tenant}))

    def _accident(self, tenant: str) -> list[Op]:
        writer, workload = self.workloads[tenant]
        rows = {key: page for key, page in writer.history.rows.items() if page.tenant == tenant}
        return workload.accident(rows)

    def mend(self, tenant: str, before: int) -> None:
        """The source gets back what it had of the tenant after transaction `before`."""
        writer, _ = self.workloads[tenant]
        lost = writer.history.of_tenant(before, tenant)
        writer.commit([Put(page) for key, page in lost.items() if key not in writer.history.rows])

    def confirm(self, tenant: str) -> None:
        """A person confirms the deletions that wait, and the writer starts anew."""
        began = time.monotonic_ns()
        with self.world.registry.write() as session:
            deletions.decide(session, self.tenants[tenant], "confirmed", "a person", self.world.clock())
        self.record.confirmed.append(Confirmed(tenant, began, time.monotonic_ns()))
        writer, workload = self.workloads[tenant]
        writer.commit(workload.refounding())

    # Readers.

    def ask(self, tenant: str, chosen: random.Random, through: Literal["search", "api"] = "search") -> None:
        """Ask for everything, of what is live or of an older generation."""
        as_of = self._older(tenant, chosen) if chosen.random() < 0.25 else None
        ask = self._search if through == "search" else self._post
        began = time.monotonic_ns()
        try:
            said, hits = ask(tenant, as_of, chosen.choice(MODES))
        except (NothingPublished, GenerationNotServed, IndexUnavailable):
            return  # nothing yet, or retired meanwhile
        ended = time.monotonic_ns()
        self.record.answers.append(
            Answered(tenant, through, began, ended, as_of, **said, documents=documents_of_hits(hits))
        )

    def _older(self, tenant: str, chosen: random.Random) -> int | None:
        known = [number for name, number in list(self.record.audited) if name == tenant]
        return chosen.choice(known[-5:]) if known else None

    def _search(self, tenant: str, as_of: int | None, mode: Mode) -> tuple[dict[str, Any], Sequence[Any]]:
        query = SearchQuery(WORD, k=EVERYTHING, mode=mode)
        answer = self.world.searcher.search(self.tenants[tenant], query, as_of=as_of)
        return _said(answer), answer.hits

    def _post(self, tenant: str, as_of: int | None, mode: Mode) -> tuple[dict[str, Any], Sequence[Any]]:
        assert self.api is not None
        body = {"query": WORD, "k": EVERYTHING, "mode": mode, "as_of": as_of}
        response = self.api.post(body, self.keys[tenant])
        if response.status_code in (404, 410):
            raise GenerationNotServed(response.text)
        assert response.status_code == 200, response.text
        answer = _Answer(response.json())
        return _said(answer), [_Answer(hit) for hit in answer.hits]


class _Answer:
    """A JSON object with its fields as attributes."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _said(answer: Any) -> dict[str, Any]:
    return {
        "named": answer.tenant,
        "generation": answer.generation,
        "positions": dict(answer.sources),
        "hidden_since": answer.hidden_since,
        "quiescent": answer.quiescent,
    }
