"""What operators do, without a loop and without a worker: the functions under the `holdfast` commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gateway_client.catalogue import Catalogue
from gateway_client.ledger import bill, budgets, reports
from gateway_client.ledger.bill import Reconciled
from gateway_client.ledger.budgets import Use
from gateway_client.ledger.forgetting import Forgotten, forget_tenant
from gateway_client.ledger.terms import TermsCache
from gateway_client.ledger.transactions import Transactions
from gateway_client.pools.breaker import Breaker
from gateway_client.pools.declared import PoolConfig
from gateway_client.pools.from_catalogue import declared_pools, monthly_caps
from gateway_client.scopes import Budget, Span, Unit
from gateway_client.settings import GatewaySettings, gateway_settings
from gateway_client.store.database import Database
from gateway_client.store.opening import open_database


class Operator:
    """A handle on a gateway's store, blocking."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set_budget(self, scope: str, window: Span, unit: Unit, limit: int, reserve: int = 0) -> Budget:
        """Set a limit. Raises InvalidBudget."""
        return self._database.write(lambda c: budgets.set_budget(c, scope, window, unit, limit, reserve))

    def remove_budget(self, scope: str, window: Span, unit: Unit) -> None:
        """Take a limit away. Raises InvalidBudget."""
        self._database.write(lambda c: budgets.remove_budget(c, scope, window, unit))

    def budgets(self) -> list[Use]:
        """Every budget and how full it is."""
        return self._database.read(lambda c: budgets.show_budgets(c, self._database.now(c)))

    def set_pool(self, name: str, changes: dict[str, object]) -> PoolConfig:
        """Change a pool's promises; one that is not there is made. Raises InvalidBudget."""
        return self._database.write(lambda c: budgets.set_pool(c, name, changes))

    def declare(self, catalogue: Catalogue) -> None:
        """Write the pools of a catalogue."""
        Transactions(self._database).declare(declared_pools(catalogue), monthly_caps(catalogue))

    def pools(self) -> list[dict[str, Any]]:
        """Every pool: what it promises, what it learned, who is in it."""
        return self._database.read(
            lambda c: [_pool(self._database.now(c), *one) for one in budgets.show_pools(c)]
        )

    def pause(self, kind: str, value: str, reason: str = "") -> None:
        """Let nothing of a tenant, lane, model or feature through. Raises InvalidBudget."""
        self._database.write(lambda c: budgets.pause(c, kind, value, reason, self._database.now(c)))

    def resume(self, kind: str, value: str) -> bool:
        """Lift a pause; False if there was none."""
        return self._database.write(lambda c: budgets.resume(c, kind, value))

    def pauses(self) -> list[dict[str, str]]:
        """Every pause."""
        terms = self._database.read(TermsCache().current)
        return [
            {"kind": kind, "value": value, "reason": reason}
            for (kind, value), reason in sorted(terms.pauses.items())
        ]

    def spend(self, by: Sequence[str], window: Span) -> list[dict[str, Any]]:
        """What was spent since the window began. Raises InvalidBudget."""
        return self._database.read(lambda c: reports.spend(c, by, window, self._database.now(c)))

    def calls(self, **chosen: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as reports.calls
        """The newest calls, with their attempts."""
        return self._database.read(lambda c: reports.calls(c, **chosen))

    def reconcile(self, lines: Sequence[str], complete_until: float | None = None) -> Reconciled:
        """Correct what is unknown from a bill's lines. Raises InvalidBill."""
        found = bill.read_bill(lines)
        return bill.reconcile(self._database, found, complete_until)

    def forget_tenant(self, tenant: str) -> Forgotten:
        """Wipe what is stored of a tenant but its spend, and drop its limits and pauses."""
        return forget_tenant(self._database, tenant)

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()


@contextmanager
def operator(settings: GatewaySettings | None = None) -> Iterator[Operator]:
    """An operator on the store of the settings. Raises StoreUnavailable."""
    found = settings or gateway_settings()
    opened = Operator(open_database(found.store, durable=found.durable))
    try:
        yield opened
    finally:
        opened.close()


def _pool(now: float, name: str, declared: PoolConfig, state: Any, held: Any, waiting: Any) -> dict[str, Any]:  # noqa: ANN401
    breakers = {key: _breaker(one, now) for key, one in state.breakers.items()}
    return {
        "pool": name,
        "declared": declared.model_dump(),
        "window": round(state.window.size, 2),
        "acceptance": round(state.window.acceptance, 4),
        "latency": round(state.window.latency, 4),
        "gate_opens_in": round(state.shut_for(now), 3),
        "retry_tokens": round(state.retry_tokens, 2),
        "in_flight": held,
        "waiting": waiting,
        "breakers": breakers,
        "limits": {
            key: {"limit": one.limit, "remaining": one.remaining} for key, one in state.learned.items()
        },
    }


def _breaker(breaker: Breaker, now: float) -> dict[str, Any]:
    """As it is now: what is stored as open lets a probe through once its time is over, which is half open."""
    wait = breaker.wait(now)
    state = "half_open" if breaker.state == "open" and not wait else breaker.state
    return {"state": state, "wait": round(wait, 3)}
