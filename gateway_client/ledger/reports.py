"""What was spent, by whom and for what, and the calls that it was spent on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from gateway_client.errors import InvalidBudget
from gateway_client.scopes import Span, starts
from gateway_client.store import schema

_a, _c = schema.attempt.c, schema.call.c
GROUPS = ("tenant", "lane", "feature", "model", "pool", "provider", "run")
_COUNTED = ("settled", "corrected", "unknown")


def spend(connection: Connection, by: Sequence[str], window: Span, now: float) -> list[dict[str, Any]]:
    """Tokens, micro-dollars and attempts since the window began, grouped. Raises InvalidBudget for no group."""
    wrong = [name for name in by if name not in GROUPS]
    if wrong or not by:
        raise InvalidBudget(f"cannot group by {', '.join(wrong) or 'nothing'}: by any of {', '.join(GROUPS)}")
    columns = [_a[name] for name in by]
    sums = [
        func.sum(_a[name]).label(name) for name in ("tokens", "input", "output", "cache_read", "cost_micro")
    ]
    unknown = func.sum(_a.cost_micro).filter(_a.state == "unknown").label("unknown_micro")
    chosen = (
        select(*columns, func.count().label("attempts"), *sums, unknown)
        .where(_a.state.in_(_COUNTED), _a.ended >= starts(window, now))
        .group_by(*columns)
        .order_by(func.sum(_a.cost_micro).desc(), *columns)
    )
    return [
        {name: value or 0 if name not in by else value for name, value in row._mapping.items()}
        for row in connection.execute(chosen)
    ]


def calls(
    connection: Connection, *, tenant: str | None = None, outcome: str | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """The newest calls, each with its record."""
    chosen = select(schema.call).order_by(_c.started.desc()).limit(limit)
    if tenant is not None:
        chosen = chosen.where(_c.tenant == tenant)
    if outcome is not None:
        chosen = chosen.where(_c.outcome == outcome)
    return [_call(row._mapping) for row in connection.execute(chosen)]


def _call(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row's mapping
    shown = ("id", "tenant", "lane", "feature", "run", "model", "answered_by", "reported", "state", "outcome")
    amounts = ("started", "ended", "tokens", "cost_micro")
    told = {name: row[name] for name in (*shown, *amounts)}
    return {**told, "idempotency_key": row["idempotency_key"], "record": json.loads(row["record"])}
