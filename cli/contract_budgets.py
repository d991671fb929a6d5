"""A contract's budgets, where they hold: in the gateway's ledger."""

from __future__ import annotations

from gateway_client.operating import Operator, operator
from gateway_client.scopes import Span, Unit
from registry.contract import Contract, LaneBudget

_UNITS = {Unit.TOKENS: "tokens", Unit.MICRODOLLARS: "micro_dollars"}


def apply_budgets(tenant: str, before: Contract, after: Contract) -> None:
    """Set the ledger's monthly limits of a tenant's lanes as the new contract says, by the tenant's name.

    What the contract no longer limits is removed; limits that `holdfast budget` set for other scopes stay.
    Raises InvalidBudget for a lane that there is not, StoreUnavailable.
    """
    if not before.budgets and not after.budgets:
        return
    with operator() as op:
        there = {(use.budget.scope, use.budget.window, use.budget.unit) for use in op.budgets()}
        for lane in sorted({*before.budgets, *after.budgets}):
            scope = f"tenant={tenant},lane={lane}"
            for unit, name in _UNITS.items():
                limit = getattr(after.budgets.get(lane, LaneBudget()), name)
                _apply(op, scope, unit, limit, there=(scope, Span.MONTH, unit) in there)


def _apply(op: Operator, scope: str, unit: Unit, limit: int | None, *, there: bool) -> None:
    if limit is not None:
        op.set_budget(scope, Span.MONTH, unit, limit)
    elif there:
        op.remove_budget(scope, Span.MONTH, unit)
