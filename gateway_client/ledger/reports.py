"""What was spent, by whom and for what, and the calls that it was spent on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select

from gateway_client.errors import InvalidBudget
from gateway_client.scopes import Span, starts
from gateway_client.store import schema

_a, _c = schema.attempt.c, schema.call.c
GROUPS = ("tenant", "lane", "feature", "model", "pool", "provider", "run")
_COUNTED = ("settled", "corrected", "unknown")
_ATTEMPT = (
    "id", "number", "state", "outcome", "provider", "model", "pool", "sends", "input", "output", "cache_read",
    "cache_write", "reasoning", "tokens", "cost_micro", "provider_request", "granted", "ended",
)  # fmt: skip
_BATCH = 500


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
    connection: Connection,
    *,
    tenant: str | None = None,
    outcome: str | None = None,
    attempt: str | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """The newest calls, each with its record, its attempts in their order, and what these were charged by now.

    `attempt` is an attempt's id, or the id that the provider gave a request: then only the call that it was of.
    """
    chosen = select(schema.call).order_by(_c.started.desc(), _c.id).limit(limit)
    if tenant is not None:
        chosen = chosen.where(_c.tenant == tenant)
    if outcome is not None:
        chosen = chosen.where(_c.outcome == outcome)
    if attempt is not None:
        named = or_(_a.id == attempt, and_(_a.provider_request == attempt, _a.provider_request != ""))
        chosen = chosen.where(_c.id.in_(select(_a.call).where(named)))
    rows = connection.execute(chosen).all()
    made = _attempts(connection, [row.id for row in rows])
    return [_call(row._mapping, made.get(row.id, [])) for row in rows]


def _attempts(connection: Connection, calls: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """The attempts of these calls, by call. A bill names them by `id`, a provider's support by its request."""
    found: dict[str, list[dict[str, Any]]] = {}
    for start in range(0, len(calls), _BATCH):
        chosen = select(*(_a[name] for name in ("call", *_ATTEMPT))).where(
            _a.call.in_(calls[start : start + _BATCH])
        )
        for row in connection.execute(chosen.order_by(_a.call, _a.number)):
            found.setdefault(row.call, []).append({name: row._mapping[name] for name in _ATTEMPT})
    return found


def _call(row: Any, attempts: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ANN401 - a row's mapping
    shown = ("id", "tenant", "lane", "feature", "run", "model", "answered_by", "reported", "state", "outcome")
    told = {name: row[name] for name in (*shown, "started", "ended")}
    charged = [one for one in attempts if one["state"] in _COUNTED]
    sums = {name: sum(one[name] for one in charged) for name in ("tokens", "cost_micro")}
    key, record = row["idempotency_key"], json.loads(row["record"])
    return {**told, **sums, "idempotency_key": key, "record": record, "attempts": attempts}
