"""Random histories of a table and its sections: at every commit the captured state is the table's, row for row."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.errors import UniqueViolation

from pipelines.sources.source import Upsert
from registry.database import Registry
from tests.support.captured import Captured
from tests.support.logical_postgres import Database
from tests.support.postgres_capture import CapturedTable

OPTIONS = {
    "key": "slug", "body": "body", "title": "title", "tenant_column": "tenant", "child_table": "parts",
    "child_parent": "page", "child_order": "place", "child_body": "text", "child_references": "id",
}  # fmt: skip
FULL = os.environ.get("HOLDFAST_FULL") == "1"
IDENTITIES = ["DEFAULT", "FULL", "USING INDEX docs_slug_key"]
# One value is long enough to be stored out of line, and then left out of the log by what does not change it.
TEXTS = st.sampled_from(
    ["", "short", "other", "L" + "".join(chr(97 + i * 7 % 26) + str(i) for i in range(2000))]
)
PAGE, PART = st.integers(1, 4), st.integers(1, 6)
TENANT = st.sampled_from(["acme", "beta", "new"])
UPSERT_PAGE = (
    "INSERT INTO docs VALUES (%s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET title = excluded.title, "
    "tenant = excluded.tenant, body = excluded.body"
)
UPSERT_PART = (
    "INSERT INTO parts VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET page = excluded.page, "
    "place = excluded.place, text = excluded.text"
)
# Only where nobody has the new identity: anything else is a violation, and the whole transaction never was.
MOVE = "UPDATE docs SET {c} = {new} WHERE {c} = {old} AND NOT EXISTS (SELECT FROM docs WHERE {c} = {new})"


def statement(
    template: str, *values: st.SearchStrategy[Any]
) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    return st.tuples(st.just(template), st.tuples(*values))


def moving(column: str, quote: Callable[[int], str]) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    return st.tuples(PAGE, PAGE).map(
        lambda ends: (MOVE.format(c=column, old=quote(ends[0]), new=quote(ends[1])), ())
    )


OPERATION = st.one_of(
    PAGE.flatmap(lambda n: statement(UPSERT_PAGE, st.just(n), st.just(f"s{n}"), TEXTS, TENANT, TEXTS)),
    statement(UPSERT_PART, PART, PAGE, st.integers(0, 3), TEXTS),
    statement("UPDATE docs SET title = %s WHERE id = %s", st.sampled_from(["t", "u"]), PAGE),
    statement("UPDATE docs SET tenant = %s WHERE id = %s", TENANT, PAGE),
    statement("UPDATE parts SET place = %s WHERE id = %s", st.integers(0, 3), PART),
    statement("UPDATE parts SET page = %s WHERE id = %s", PAGE, PART),
    statement("UPDATE parts SET id = id + 10 WHERE id = %s AND id + 10 NOT IN (SELECT id FROM parts)", PART),
    moving("id", str),
    moving("slug", lambda n: f"'s{n}'"),
    statement("DELETE FROM docs WHERE id = %s", PAGE),
    statement("DELETE FROM parts WHERE id = %s", PART),
    st.sampled_from([("TRUNCATE docs", ()), ("TRUNCATE parts", ()), ("TRUNCATE docs, parts", ())]),
)
HISTORY = st.lists(
    st.tuples(st.lists(OPERATION, min_size=1, max_size=5), st.sampled_from(["", "", "", "rollback", "read"])),
    min_size=1, max_size=12,
)  # fmt: skip


def oracle(database: Database) -> dict[str, tuple[str, str, str]]:
    """Key to (title, tenant, body) of the documents that the tables make now."""
    parts: dict[int, list[tuple[int, int, str]]] = {}
    for number, page, place, text in database.query("SELECT id, page, place, text FROM parts"):
        parts.setdefault(page, []).append((place, number, text))
    found = {}
    for number, slug, title, tenant, body in database.query("SELECT id, slug, title, tenant, body FROM docs"):
        texts = [text for _, _, text in sorted(parts.get(number, []))]
        found[slug] = (title, tenant, "\n\n".join(([body] if body.strip() else []) + texts))
    return found


def documents(captured: Captured) -> dict[str, tuple[str, str | None, str]]:
    found = {}
    for key, document in captured.documents.items():
        assert isinstance(document, Upsert), document
        found[key] = (document.title, document.tenant, document.content.decode())
    return found


@settings(max_examples=200 if FULL else 10, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=HISTORY, identity=st.sampled_from(IDENTITIES), acknowledge=st.booleans())
def test_every_commit_is_the_state_of_the_tables(database, history, identity, acknowledge):
    make_tables(database, identity)
    database.dispose(**OPTIONS)
    captured, states = Captured(), {}
    captured.catch_up(database.prepared(**OPTIONS))
    try:
        for statements, then in history:
            run(database, statements, rolled_back=then == "rollback")
            (end,) = database.query("SELECT pg_current_wal_lsn()::text")[0]
            states[padded(end)] = oracle(database)
            if then == "read":
                follow(captured, database, states, acknowledge)
        follow(captured, database, states, acknowledge)
        assert documents(captured) == oracle(database)
        fresh = Captured()
        fresh.catch_up(database.source(**OPTIONS))
        assert fresh.documents == captured.documents
        assert {row for row in fresh.rows.kept.values() if row.relation == "page"} == {
            row for row in captured.rows.kept.values() if row.relation == "page"
        }
    finally:
        database.dispose(**OPTIONS)


REFUSED = [
    ([(UPSERT_PAGE, (1, "s1", "", "acme", "")), (MOVE.format(c="slug", old="'s1'", new="'s4'"), ())], ""),
    ([(UPSERT_PAGE, (4, "s4", "", "acme", ""))], ""),
]


@settings(max_examples=50 if FULL else 4, deadline=None, suppress_health_check=list(HealthCheck))
@example(history=REFUSED, identity="DEFAULT")
@given(history=HISTORY, identity=st.sampled_from(IDENTITIES))
def test_a_registry_follows_alike(database, sqlite_url, tmp_path_factory, history, identity):
    """Through capture: the rows are kept in the registry, documents go to the tenants that they name."""
    make_tables(database, identity)
    path = tmp_path_factory.mktemp("registry") / "registry.sqlite3"
    shutil.copyfile(sqlite_url.removeprefix("sqlite:///"), path)
    registry = Registry(f"sqlite:///{path}")
    table = CapturedTable(registry, database.url, {"table": "docs", **OPTIONS})
    try:
        for name in ("acme", "beta"):
            table.add_tenant(name)
        table.capture_whole()
        for statements, then in history:
            run(database, statements, rolled_back=then == "rollback")
            if then == "read":
                follow_into_registry(table, database)
        follow_into_registry(table, database)
        assert {epoch for epoch, _ in table.commits()} == {1}
    finally:
        registry.close()
        database.dispose(**table.options)


def follow_into_registry(table: CapturedTable, database: Database) -> None:
    table.capture_whole()
    assert table.documents() == {
        key: ("?new" if tenant == "new" else tenant, text)
        for key, (_, tenant, text) in oracle(database).items()
    }


def make_tables(database: Database, identity: str) -> None:
    database.execute(
        "DROP TABLE IF EXISTS docs, parts",
        "CREATE TABLE docs (id int PRIMARY KEY, slug text UNIQUE NOT NULL, title text, tenant text, body text)",
        "CREATE TABLE parts (id int PRIMARY KEY, page int, place int, text text)",
        "ALTER TABLE docs ALTER body SET STORAGE EXTERNAL",
        "ALTER TABLE parts ALTER text SET STORAGE EXTERNAL",
        f"ALTER TABLE docs REPLICA IDENTITY {identity}",
    )


def run(database: Database, statements: list[tuple[str, tuple[Any, ...]]], *, rolled_back: bool) -> None:
    # What breaks the slug's uniqueness is refused, and then the whole transaction never was.
    with suppress(UniqueViolation), database.connection.transaction(force_rollback=rolled_back):
        for template, values in statements:
            database.connection.execute(template, values or None)
        # Sections of one place have no order that a person could name.
        database.execute("UPDATE parts SET place = id * 10 + place % 10 WHERE place / 10 != id")


def follow(captured: Captured, database: Database, states: dict[str, Any], acknowledge: bool) -> None:
    for commit in database.source(**OPTIONS).read(captured.cursor, captured):
        assert not commit.snapshot
        captured.apply(commit)
        end = min(end for end in states if end >= commit.position)
        assert documents(captured) == states[end], f"at {commit.position}"
        if acknowledge:
            database.source(**OPTIONS).acknowledge(commit.position)


def padded(lsn: str) -> str:
    high, low = lsn.split("/")
    return f"{int(high, 16):08X}/{int(low, 16):08X}"
