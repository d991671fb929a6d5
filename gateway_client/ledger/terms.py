"""What operators have set (budgets, pauses, pools), remembered by each process until its version moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, insert, select, update

from gateway_client.errors import Refusal
from gateway_client.pools.declared import PoolConfig
from gateway_client.scopes import Budget, CounterKey, Span, Unit, scopes_of, starts
from gateway_client.store import schema

VERSION = select(schema.config.c.version)
PAUSABLE = ("tenant", "lane", "model", "feature")


@dataclass(frozen=True, slots=True)
class Terms:
    """One version of everything that was set."""

    version: int = -1
    budgets: Mapping[str, tuple[Budget, ...]] = field(default_factory=dict)
    pauses: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def counters(self, values: Mapping[str, str], now: float) -> list[CounterKey]:
        """The counters that a call falls under; a budget for one value goes before one for each."""
        found: dict[tuple[str, Span, Unit], CounterKey] = {}
        for template, own in scopes_of(values) if self.budgets else ():
            for budget in self.budgets.get(template, ()):
                key = CounterKey(budget, own, starts(budget.window, now))
                found.setdefault((own, budget.window, budget.unit), key)
        return list(found.values())

    def paused(self, values: Mapping[str, str]) -> Refusal | None:
        """The pause that a call falls under."""
        for kind in PAUSABLE if self.pauses else ():
            reason = self.pauses.get((kind, values.get(kind, "")))
            if reason is not None:
                return Refusal("paused", f"{kind}={values[kind]}", unit=reason)
        return None


class TermsCache:
    """The terms of this process; shared by its threads."""

    def __init__(self) -> None:
        self._terms = Terms()

    def current(self, connection: Connection) -> Terms:
        """The terms as of this transaction."""
        return self.at(connection, connection.execute(VERSION).scalar())

    def at(self, connection: Connection, stored: int | None) -> Terms:
        """The terms of the version that is stored; None where nothing was ever set."""
        version = stored or 0
        if self._terms.version != version:
            self._terms = _load(connection, version)
        return self._terms


def _load(connection: Connection, version: int) -> Terms:
    budgets: dict[str, tuple[Budget, ...]] = {}
    for budget in stored_budgets(connection):
        budgets[budget.scope] = (*budgets.get(budget.scope, ()), budget)
    pauses = {(row.kind, row.value): row.reason for row in connection.execute(select(schema.pause))}
    return Terms(version, budgets, pauses)


def stored_budgets(connection: Connection) -> Iterator[Budget]:
    """Every budget that was set."""
    for row in connection.execute(select(schema.budget).order_by(schema.budget.c.scope, schema.budget.c.id)):
        yield Budget(row.id, row.scope, Span(row.window), Unit(row.unit), row.limit, row.reserve)


def outdate(connection: Connection) -> None:
    """Make every process read the terms again, from its next transaction on."""
    moved = connection.execute(update(schema.config).values(version=schema.config.c.version + 1))
    if moved.rowcount == 0:
        connection.execute(insert(schema.config).values(id=1, version=1))


def declared(text: str) -> PoolConfig:
    """A pool's promises as stored."""
    found = _DECLARED.get(text)
    if found is None:
        found = _DECLARED[text] = PoolConfig.model_validate_json(text)
    return found


_DECLARED: dict[str, PoolConfig] = {}
