"""The gateway's tables. Times are Unix seconds, amounts integers: tokens, requests, micro-dollars."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

# The migration that this program needs; a test holds it equal to the newest one.
REVISION = "0001"
VERSION_TABLE = "gateway_version"

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)
BigId = BigInteger().with_variant(Integer, "sqlite")

# One row: its version moves with every change of budgets, pauses and pools, and outdates what processes remember.
config = Table(
    "config",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

# A capacity that models share. `declared` and `state` are documents of pools/: read and written as one.
pool = Table(
    "pool",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("declared", Text, nullable=False),
    Column("state", Text, nullable=False),
)

# The service that a tenant had from a pool in a lane, in virtual tokens: settled, and held for what is in flight.
flow = Table(
    "flow",
    metadata,
    Column("pool", String(200), primary_key=True),
    Column("lane", String(20), primary_key=True),
    Column("tenant", String(200), primary_key=True),
    Column("served", Float, nullable=False),
    Column("pending", Float, nullable=False, server_default="0"),
)

# One per living process. `address` is where its datagrams go, `key` what proves its life.
worker = Table(
    "worker",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("key", BigInteger, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("host", String(200), nullable=False),
    Column("address", String(200), nullable=False),
    Column("started", Float, nullable=False),
)

# The unit of the ledger: waiting -> held -> settled | released | unknown -> corrected. In flight is what is held.
attempt = Table(
    "attempt",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("call", String(40), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("worker", String(40), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("pool", String(200), nullable=False),
    Column("lane", String(20), nullable=False),
    Column("tenant", String(200), nullable=False),
    Column("feature", String(200), nullable=False),
    Column("run", String(200), nullable=False),
    Column("provider", String(100), nullable=False),
    Column("model", String(200), nullable=False),
    Column("queued", Float, nullable=False),
    Column("not_before", Float, nullable=False),
    Column("deadline", Float, nullable=False),
    Column("granted", Float),
    Column("ended", Float),
    Column("sends", Integer, nullable=False),
    Column("hold_tokens", BigInteger, nullable=False),
    Column("hold_micro", BigInteger, nullable=False),
    # Keys of the counters that hold for it, one a line; empty until it is granted the first time.
    Column("counters", Text, nullable=False),
    Column("input", BigInteger, nullable=False, server_default="0"),
    Column("output", BigInteger, nullable=False, server_default="0"),
    Column("cache_read", BigInteger, nullable=False, server_default="0"),
    Column("cache_write", BigInteger, nullable=False, server_default="0"),
    Column("reasoning", BigInteger, nullable=False, server_default="0"),
    Column("tokens", BigInteger, nullable=False, server_default="0"),
    Column("cost_micro", BigInteger, nullable=False, server_default="0"),
    Column("outcome", String(60), nullable=False, server_default=""),
    Column("provider_request", String(200), nullable=False, server_default=""),
    Column("refusal", Text),
    CheckConstraint(
        "state in ('waiting','refused','held','settled','released','unknown','corrected')", name="state"
    ),
)
Index(
    "ix_attempt_waiting",
    attempt.c.pool,
    attempt.c.lane,
    attempt.c.tenant,
    attempt.c.seq,
    attempt.c.not_before,
    sqlite_where=text("state = 'waiting'"),
    postgresql_where=text("state = 'waiting'"),
)
Index(
    "ix_attempt_held",
    attempt.c.pool,
    attempt.c.lane,
    sqlite_where=text("state = 'held'"),
    postgresql_where=text("state = 'held'"),
)
Index(
    "ix_attempt_open",
    attempt.c.worker,
    sqlite_where=text("state in ('waiting','refused','held')"),
    postgresql_where=text("state in ('waiting','refused','held')"),
)
Index("ix_attempt_call", attempt.c.call)
Index("ix_attempt_ended", attempt.c.ended)

# What was set: a limit for a scope, whose values may be `*` (each one by itself).
budget = Table(
    "budget",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("scope", String(400), nullable=False),
    Column("window", String(10), nullable=False),
    Column("unit", String(12), nullable=False),
    Column("limit", BigInteger, nullable=False),
    # The part of the limit that batch leaves for interactive calls.
    Column("reserve", BigInteger, nullable=False),
    UniqueConstraint("scope", "window", "unit"),
    # Counters are named by it: a limit that is set anew counts anew.
    sqlite_autoincrement=True,
)

# One scope in one window. `floor` is what was in use when a limit was lowered beneath it.
counter = Table(
    "counter",
    metadata,
    Column("key", String(500), primary_key=True),
    Column("budget", BigInteger, nullable=False),
    Column("scope", String(400), nullable=False),
    Column("window", String(10), nullable=False),
    Column("unit", String(12), nullable=False),
    Column("starts", BigInteger, nullable=False),
    Column("limit", BigInteger, nullable=False),
    Column("reserve", BigInteger, nullable=False),
    Column("held", BigInteger, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("overrun", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False, server_default="0"),
    CheckConstraint('held + spent <= "limit" or held + spent <= floor', name="limit"),
    CheckConstraint("held >= 0 and spent >= 0 and overrun >= 0", name="positive"),
)
Index("ix_counter_budget", counter.c.budget, counter.c.starts)

pause = Table(
    "pause",
    metadata,
    Column("kind", String(20), primary_key=True),
    Column("value", String(200), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since", Float, nullable=False),
)

# The canonical record of a call, and what its idempotency key stands for.
call = Table(
    "call",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant", String(200), nullable=False),
    Column("idempotency_key", String(200)),
    Column("fingerprint", String(64), nullable=False),
    Column("state", String(12), nullable=False),
    Column("worker", String(40), nullable=False),
    Column("reply", LargeBinary),
    Column("expires", Float),
    Column("lane", String(20), nullable=False),
    Column("feature", String(200), nullable=False),
    Column("run", String(200), nullable=False),
    Column("model", String(200), nullable=False),
    Column("answered_by", String(200), nullable=False, server_default=""),
    Column("reported", String(200), nullable=False, server_default=""),
    Column("outcome", String(60), nullable=False, server_default=""),
    Column("started", Float, nullable=False),
    Column("ended", Float),
    # Further fields of the record, as JSON: records.py says which.
    Column("record", Text, nullable=False),
    UniqueConstraint("tenant", "idempotency_key"),
)
Index("ix_call_started", call.c.started)
Index(
    "ix_call_running",
    call.c.worker,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)

# What an operator should hear of: overruns, recovered workers, corrected bills.
event = Table(
    "event",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", Float, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("scope", String(400), nullable=False),
    Column("detail", Text, nullable=False),
)
