"""What a run may still write: nothing, once another run has taken its tenant over."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from pipelines.errors import IngestRefused
from registry import leases, tenants


@dataclass(frozen=True, slots=True)
class Fence:
    """A run's tenant and its fencing token, checked in every write transaction of the run."""

    tenant_id: str
    token: int

    def check(self, session: Session) -> None:
        """Within a write transaction: whoever takes the lease over waits until this transaction has ended.

        Raises TenantSuspended, IngestRefused where the lease was taken over.
        """
        tenants.require_active(session, self.tenant_id)
        if not leases.is_current(session, leases.ingest_lease(self.tenant_id), self.token):
            raise IngestRefused(
                f"another run took over the ingestion of tenant {self.tenant_id}: this one ends here, "
                "and the other one goes on from what is stored"
            )
