"""What the gateway must know of tenants, asked of whoever knows them: it imports no other room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TenantPolicy:
    """One tenant's terms. Money is in micro-dollars, None for no cap; `reply_retention` in seconds."""

    max_cost_per_call: int | None = None
    max_cost_per_run: int | None = None
    reply_retention: float | None = None


class Policy(Protocol):
    """Who may call, and on what terms."""

    def tenant(self, name: str) -> TenantPolicy | None:
        """The terms of a tenant; None for one that does not exist or may not call. Must not block."""


@dataclass(frozen=True, slots=True)
class AnyTenant:
    """Everybody, on the same terms: budgets alone set limits."""

    terms: TenantPolicy = TenantPolicy()

    def tenant(self, name: str) -> TenantPolicy | None:
        return self.terms


@dataclass(frozen=True, slots=True)
class KnownTenants:
    """Those named, on their terms."""

    terms: dict[str, TenantPolicy]

    def tenant(self, name: str) -> TenantPolicy | None:
        return self.terms.get(name)
