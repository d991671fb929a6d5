"""Schemas and roles that a database administrator has seen: partitions, sections, odd names, types, encodings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import SchemaDrift, SourceError, SourceUnavailable
from pipelines.sources.kinds import open_source, prepare_source
from pipelines.sources.postgres import slot
from pipelines.sources.source import Upsert
from tests.support.captured import Captured, utc_now
from tests.support.logical_postgres import Database, given
from tests.support.postgres_documents import DOCS, PARTS, ROWS, SECTIONS, epochs, first_read, table

PARTITIONED = (
    "CREATE TABLE docs (id int NOT NULL, part int NOT NULL, body text, PRIMARY KEY (id, part)) "
    "PARTITION BY LIST (part)",
    "CREATE TABLE docs_1 PARTITION OF docs FOR VALUES IN (1)",
    "CREATE TABLE docs_2 PARTITION OF docs FOR VALUES IN (2)",
    "INSERT INTO docs VALUES (1, 1, 'one'), (2, 2, 'two')",
)


# Partitions.


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (("ALTER TABLE docs_2 SET UNLOGGED",), "partition docs_2 of table docs is unlogged or foreign"),
        (
            ("CREATE UNIQUE INDEX u ON docs (part, id)", "ALTER TABLE docs REPLICA IDENTITY USING INDEX u"),
            "docs_1, docs_2 of table docs does not tell its rows apart.*REPLICA IDENTITY FULL",
        ),
        (("ALTER TABLE docs_1 REPLICA IDENTITY NOTHING",), "docs_1 of table docs .*REPLICA IDENTITY DEFAULT"),
    ],
)  # fmt: skip
def test_partitions_that_the_log_does_not_tell_of_are_refused(database, statements, said):
    database.execute(*PARTITIONED)
    captured = first_read(database)
    database.execute(*statements)
    with pytest.raises(SchemaDrift, match=said):
        captured.catch_up(database.source())
    assert captured.texts() == {"1": "one", "2": "two"}
    with pytest.raises(SourceError, match=said):
        database.prepared(slot="another")


def test_partitions_with_full_identity_are_followed_by_an_index_of_their_parent(database):
    database.execute(
        *PARTITIONED,
        "CREATE UNIQUE INDEX u ON docs (part, id)",
        "ALTER TABLE docs REPLICA IDENTITY USING INDEX u",
        "ALTER TABLE docs_1 REPLICA IDENTITY FULL",
        "ALTER TABLE docs_2 REPLICA IDENTITY FULL",
    )
    captured = first_read(database)
    database.execute("UPDATE docs SET part = 3 - part", "UPDATE docs SET id = 9 WHERE id = 1")
    captured.catch_up(database.source())
    assert captured.texts() == table(database)
    assert epochs(captured) == 1


def test_a_partition_that_was_published_as_its_parent_begins_an_epoch(database):
    via_root = "WITH (publish_via_partition_root = true)"
    database.execute(*PARTITIONED, f"CREATE PUBLICATION theirs FOR TABLE docs_1 {via_root}")
    captured = first_read(database, table="docs_1", publication="theirs")
    for change in ("UPDATE docs SET body = 'new' WHERE part = 1", "TRUNCATE docs"):
        database.execute(
            "ALTER PUBLICATION theirs ADD TABLE docs", change, "ALTER PUBLICATION theirs DROP TABLE docs"
        )
        captured.catch_up(database.source(table="docs_1", publication="theirs"))
        assert captured.texts() == table(database, name="docs_1")


# Sections.


def test_nothing_is_joined_by_null(database):
    database.execute("CREATE TABLE docs (id int PRIMARY KEY, num int, body text, tenant text)", PARTS)
    database.execute("INSERT INTO docs VALUES (1, NULL, 'one', 'acme'), (2, 7, 'two', 'beta')")
    database.execute("INSERT INTO parts (page, place, text) VALUES (NULL, 1, 'orphan'), (7, 1, 'seven')")
    options = {**SECTIONS, "body": "body", "child_references": "num", "tenant_column": "tenant"}
    captured = first_read(database, **options)
    assert captured.texts() == {"1": "one", "2": "two\n\nseven"}
    assert {row.label for row in captured.rows.kept.values() if row.relation == "section"} == {None, "beta"}
    database.execute("UPDATE parts SET page = NULL")
    captured.catch_up(database.source(**options))
    assert captured.texts() == {"1": "one", "2": "two"}
    database.execute("UPDATE parts SET page = 7, place = id", "UPDATE docs SET num = NULL WHERE id = 2")
    captured.catch_up(database.source(**options))
    assert captured.texts() == {"1": "one", "2": "two"}


@pytest.mark.parametrize(
    ("reference", "parent"),
    [
        ("int", "bigint"),
        ("numeric(9, 2)", "int"),
        ("varchar(9)", "text"),
        ("char(6)", "char(9)"),
        ("num", "int"),
    ],
)
def test_types_of_one_kind_are_joined(database, reference, parent):
    database.execute(
        "CREATE DOMAIN num AS int", f"CREATE TABLE docs (id {reference} PRIMARY KEY)",
        f"CREATE TABLE parts (id int PRIMARY KEY, page {parent}, place num, text text)",
        "INSERT INTO docs VALUES ('7')", "INSERT INTO parts VALUES (1, '7', 10, 'ten'), (2, '7', 9, 'nine')",
    )  # fmt: skip
    captured = first_read(database, **SECTIONS)
    assert list(captured.texts().values()) == ["nine\n\nten"]


@pytest.mark.parametrize(
    ("column", "kind", "said"),
    [
        ("place", "int[]", "type whose order is not known"),
        ("place", "interval", "type whose order is not known"),
        ("page", "text", "types that are not compared as they are written"),
    ],
)
def test_sections_that_could_not_be_composed_as_sql_would_are_refused(database, column, kind, said):
    database.execute(DOCS, PARTS, f"ALTER TABLE parts DROP COLUMN {column}, ADD COLUMN {column} {kind}")
    with pytest.raises(SourceError, match=said):
        database.prepared(**SECTIONS)


# Names and values.


def test_odd_names(database):
    spelled = '"Weird.Schema"."Or""der"'
    database.execute(
        'CREATE SCHEMA "Weird.Schema"',
        f'CREATE TABLE {spelled} ("select" text, "Ü k" numeric, id text, body text, PRIMARY KEY ("Ü k", id, "select"))',
        f"INSERT INTO {spelled} VALUES ('x/y', 1.50, 'k1', 'one'), (E'\\t\\\\N\\n', -0.0, E'a''\\n%%s;/', 'two')",
        'CREATE TABLE "a.b" (id int PRIMARY KEY, body text)',
    )
    options = {"table": 'Weird.Schema.Or"der', "title": "select", "slot": "2024_docs"}
    captured = first_read(database, **options)
    database.execute(f"UPDATE {spelled} SET \"Ü k\" = 1.5000, id = 'k2', \"select\" = '' WHERE id = 'k1'")
    captured.catch_up(database.source(**options))
    assert captured.texts() == table(database, name=spelled)
    assert epochs(captured) == 1
    assert first_read(database, table="a.b").texts() == {}
    database.execute("CREATE SCHEMA a", "CREATE TABLE a.b (id int PRIMARY KEY, body text)")
    with pytest.raises(SourceError, match=r"'a\.b' names 2 tables"):
        database.prepared(table="a.b", slot="third")


def test_types_are_what_lies_under_them(database):
    database.execute(
        "CREATE DOMAIN num AS int CHECK (value > 0)", "CREATE DOMAIN blob AS bytea",
        "CREATE TABLE docs (id char(5) PRIMARY KEY, t char(8), n num, big numeric, js jsonb[], body blob)",
        "INSERT INTO docs VALUES ('k1', 'acme', 7, '1e5000', ARRAY['{\"a\": 1}'::jsonb], '\\x6869')",
    )  # fmt: skip
    captured = first_read(database, tenant_column="t", metadata="n,big,js")
    document = captured.documents["k1"]
    assert isinstance(document, Upsert)
    assert (document.tenant, document.content) == ("acme", b"hi")
    assert document.metadata == {"n": 7, "big": "1" + "0" * 5000, "js": [{"a": 1}]}
    database.execute("UPDATE docs SET n = 8")
    assert captured.catch_up(database.source(tenant_column="t", metadata="n,big,js")) == 1
    assert not captured.commits[-1].snapshot
    assert captured.documents["k1"] == replace(document, metadata={**document.metadata, "n": 8})


def test_bytes_of_no_declared_encoding_spoil_one_document_at_most(database):
    name = f"{database.name}_ascii"
    database.execute(
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    other = Database.__new__(Database)
    other.server, other.name, other.url = database.server, name, database.server.url(name)
    other.connection = other.server.connected(name)
    other.execute("SET client_encoding TO 'UTF8'")
    try:
        other.execute(
            "CREATE TABLE docs (id text PRIMARY KEY, body text)", "INSERT INTO docs VALUES ('a', 'one')"
        )
        other.execute("INSERT INTO docs VALUES (E'\\xff', 'key'), ('b', E'caf\\xe9')")
        captured = first_read(other)
        other.execute(
            "UPDATE docs SET id = E'\\xfe' WHERE body = 'key'",
            "UPDATE docs SET body = E'\\xe9' WHERE id = 'a'",
        )
        captured.catch_up(other.source())
        assert list(captured.flaws().values()) == ["its key is not valid Unicode"]
        contents = {key: d.content for key, d in captured.documents.items() if isinstance(d, Upsert)}
        assert contents == {"a": b"\xe9", "b": b"caf\xe9"}
    finally:
        other.drop()


# Roles.


@contextmanager
def role(database: Database, *settings: str) -> Iterator[str]:
    """A role that captures, with settings of its own; its address."""
    user = f"captures_{database.name}"
    database.execute(f"CREATE ROLE {user} LOGIN REPLICATION", f"GRANT SELECT ON docs TO {user}")
    database.execute(*(f"ALTER ROLE {user} {setting}" for setting in settings))
    try:
        yield database.server.url(database.name, user)
    finally:
        database.execute(f"DROP OWNED BY {user}", f"DROP ROLE {user}")


def test_limits_of_the_role_do_not_keep_a_slot_from_being_made(database, monkeypatch):
    database.execute(DOCS, ROWS, "CREATE PUBLICATION theirs FOR TABLE docs")
    monkeypatch.setattr(slot, "CREATION_SECONDS", 0.5)
    limits = (
        "lock_timeout",
        "statement_timeout",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
    )
    with (
        role(database, *(f"SET {limit} = '50ms'" for limit in limits)) as url,
        database.server.connected(database.name) as other,
    ):
        options = given({"publication": "theirs", "slot": "limited"})
        prepare_source("postgres", url, options, utc_now, Path("unused"))
        source = open_source("postgres", url, options, utc_now, Path("unused"))
        other.execute("BEGIN")
        other.execute("UPDATE docs SET body = 'open' WHERE id = 1")
        with pytest.raises(SourceUnavailable, match=r"open when it began .*pg_prepared_xacts"):
            Captured().catch_up(source)
        other.execute("COMMIT")
        captured = Captured()
        captured.catch_up(source)
        assert captured.texts() == table(database)


def test_rows_that_the_role_may_not_see_are_no_deletions(database):
    database.execute(DOCS, ROWS, "CREATE PUBLICATION theirs FOR TABLE docs")
    database.execute("ALTER TABLE docs ENABLE ROW LEVEL SECURITY", "CREATE POLICY one ON docs USING (id = 1)")
    options = given({"publication": "theirs", "slot": "secured"})
    with (
        role(database) as url,
        pytest.raises(SourceError, match="BYPASSRLS where they have row-level security"),
    ):
        prepare_source("postgres", url, options, utc_now, Path("unused"))
