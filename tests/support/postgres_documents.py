"""Tables of documents in PostgreSQL, and their sections: how they are made, first read, and read directly."""

from __future__ import annotations

from tests.support.captured import Captured
from tests.support.logical_postgres import Database

DOCS = "CREATE TABLE docs (id int PRIMARY KEY, slug text NOT NULL, title text, body text)"
ROWS = "INSERT INTO docs VALUES (1, 'a', 't', 'one'), (2, 'b', 'u', 'two'), (3, 'c', 'v', 'three')"
PARTS = "CREATE TABLE parts (id serial PRIMARY KEY, page int, place int, text text)"
SECTIONS = {"child_table": "parts", "child_parent": "page", "child_order": "place", "child_body": "text"}


def first_read(database: Database, **options: str) -> Captured:
    captured = Captured()
    captured.catch_up(database.prepared(**options))
    return captured


def table(database: Database, columns: str = "id, body", name: str = "docs") -> dict[str, str]:
    return {str(key): text or "" for key, text in database.query(f"SELECT {columns} FROM {name}")}


def epochs(captured: Captured) -> int:
    return sum(commit.snapshot for commit in captured.commits)
