"""Accidents: a source loses almost everything of a tenant at once, and somebody decides what becomes of that."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from registry import deletions
from tests.acceptance.consistency.pages import Drop, Op, Put
from tests.acceptance.consistency.record import Decided
from tests.acceptance.consistency.trial import Trial

MASS_DELETION_SHARE = 0.6  # between what writers ever drop in earnest and what an accident takes


@dataclass(frozen=True, slots=True)
class Accidents:
    """Those of a trial."""

    trial: Trial

    def would_be_a_mass(self, tenant: str) -> bool:
        """Whether an accident now took more of what the live generation serves than the contract's share."""
        writer, _ = self.trial.workloads[tenant]
        live = self.trial.world.live(self.trial.tenants[tenant])
        audited = self.trial.record.audited.get((tenant, live.number)) if live is not None else None
        label = self.trial.label_of(writer)
        if audited is None or label not in audited.positions:
            return False
        dropped = {op.key for op in self._dropping(tenant) if isinstance(op, Drop)}
        lost = {writer.expected(page).document for key, page in writer.history.rows.items() if key in dropped}
        served = {document for source, document in audited.documents if source == label}
        return len(lost & served) > MASS_DELETION_SHARE * len(served)

    def happen(self, tenant: str) -> None:
        """The source loses almost everything of a tenant in one transaction."""
        self.trial.workloads[tenant][0].commit(self._dropping(tenant), frozenset({tenant}))

    def _dropping(self, tenant: str) -> list[Op]:
        writer, workload = self.trial.workloads[tenant]
        rows = {key: page for key, page in writer.history.rows.items() if page.tenant == tenant}
        return workload.accident(rows)

    def mend(self, tenant: str, before: int) -> None:
        """The source gets back what it had of the tenant after transaction `before`."""
        writer, _ = self.trial.workloads[tenant]
        lost = writer.history.of_tenant(before, tenant)
        writer.commit([Put(page) for key, page in lost.items() if key not in writer.history.rows])

    def decide(self, tenant: str, decision: Literal["confirmed", "rejected"]) -> None:
        """A person confirms or rejects the deletions that wait."""
        began = time.monotonic_ns()
        with self.trial.world.registry.write() as session:
            deletions.decide(
                session, self.trial.tenants[tenant], decision, "a person", self.trial.world.clock()
            )
        self.trial.record.decided.append(Decided(tenant, decision, began, time.monotonic_ns()))

    def start_anew(self, tenant: str) -> None:
        """The writer writes again what it cannot do without."""
        writer, workload = self.trial.workloads[tenant]
        writer.commit(workload.refounding())
