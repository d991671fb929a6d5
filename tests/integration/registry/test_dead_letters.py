"""Dead letters in the registry, on every database that Holdfast runs on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import dead_letters, generations, sources
from registry.database import Registry
from registry.dead_letters import Failed
from registry.errors import NotFound, RegistryError
from registry.schema import Change, ParsedDocument, Source
from tests.support.registry_rows import START, add_source, add_tenant, begin_generation, write_commit

LATER = START + timedelta(hours=1)


def failed(session: Session, tenant: str, source: Source, key: str, *, parsed: bool = True) -> Failed:
    """A version that could not be parsed (or read), with its remembered failure."""
    change = session.scalars(
        select(Change).where(Change.source_id == source.id, Change.key == key).order_by(Change.seq.desc())
    ).first()
    assert change is not None
    if not parsed:
        return Failed(change.id, source.id, key, "unreadable")
    row = ParsedDocument(tenant_id=tenant, input_sha256=f"{source.id}/{key}", build="b", error="bad")
    session.add(row)
    session.flush()
    return Failed(change.id, source.id, key, "bad", row.id)


def again(failure: Failed, attempts: int) -> Failed:
    return Failed(failure.change_id, failure.source_id, failure.key, "worse", failure.parsed_id, attempts)


def states(session: Session, tenant: str) -> dict[str, str]:
    return {letter.document: letter.state for letter in dead_letters.listed(session, tenant)}


def test_a_letter_s_life(registry: Registry) -> None:
    with registry.write() as session:
        tenant = add_tenant(session)
        source = add_source(session, tenant)
        write_commit(session, source, tenant, upserts={"a": "a", "b": "b", "c": "c"})
        a, b = failed(session, tenant, source, "a"), failed(session, tenant, source, "b")
        c = failed(session, tenant, source, "c", parsed=False)
        dead_letters.record(session, tenant, [a, b, c], set(), START)
    with registry.write() as session:
        (letter, *_) = dead_letters.listed(session, tenant)
        assert (letter.document, letter.source, letter.position, letter.attempts) == ("a", "docs", "p1", 1)
        assert [x.document for x in dead_letters.retry(session, tenant, "ann", START)] == ["a", "b"]
        assert states(session, tenant) == {"a": "retrying", "b": "retrying", "c": "waiting"}
        assert dead_letters.decisions(session, tenant) == [f"{a.change_id}:1", f"{b.change_id}:1"]
        with pytest.raises(RegistryError, match="mend it there"):
            dead_letters.retry(session, tenant, "ann", START, ["c"])
        with pytest.raises(NotFound):
            dead_letters.drop(session, tenant, "ann", START, ["d"])
        dead_letters.drop(session, tenant, "ann", START, ["c"])
        assert dead_letters.dropped(session, tenant) == {c.change_id: "unreadable"}
    with registry.write() as session:
        for row in session.scalars(select(ParsedDocument).where(ParsedDocument.id == b.parsed_id)):
            row.forgotten, row.attempts = False, 2
        session.flush()
        dead_letters.record(session, tenant, [again(a, 1), again(b, 2)], set(), LATER)
        assert states(session, tenant) == {"a": "retrying", "b": "waiting", "c": "dropped"}
        by_key = {letter.document: letter for letter in dead_letters.listed(session, tenant)}
        assert (by_key["b"].attempts, by_key["b"].error, by_key["b"].last_seen) == (2, "worse", LATER)
        assert by_key["b"].first_seen == START
        assert dead_letters.counts(session) == {
            (tenant, "docs", "retrying"): 1, (tenant, "docs", "waiting"): 1, (tenant, "docs", "dropped"): 1
        }  # fmt: skip
        dead_letters.record(session, tenant, [], {a.change_id}, LATER)
        assert states(session, tenant) == {"c": "dropped"}, "what is mended or gone is no letter"
        write_commit(session, source, tenant, upserts={"c": "c2"})
        assert states(session, tenant) == {}, "another version is another letter"
        assert dead_letters.decisions(session, tenant) == [f"{a.change_id}:1", f"{c.change_id}:dropped"]


def test_what_is_to_be_tried_again_is_pending_where_it_is_served(registry: Registry) -> None:
    with registry.write() as session:
        tenant = add_tenant(session)
        source = add_source(session, tenant)
        write_commit(session, source, tenant, upserts={"a": "a", "b": "b"})
        a, b = failed(session, tenant, source, "a"), failed(session, tenant, source, "b")
        live = begin_generation(session, tenant).number
        for failure, error in ((a, "bad"), (b, "")):
            row = {"tenant_id": tenant, "generation": live, "source_id": source.id, "key": failure.key,
                   "state": "quarantined", "change_id": None, "wanted_id": failure.change_id,
                   "parsed_id": None, "chunks": 0, "error": error}  # fmt: skip
            generations.add_documents(session, [row])
        dead_letters.record(session, tenant, [a, b], set(), START)
        assert not dead_letters.pending(session, tenant, live)
        dead_letters.retry(session, tenant, "ann", START, ["b"])
        assert not dead_letters.pending(session, tenant, live), "its failure is not what is served"
        dead_letters.retry(session, tenant, "ann", START, ["a"])
        assert dead_letters.pending(session, tenant, live)
        assert not dead_letters.pending(session, tenant, live + 1)


def test_one_key_of_two_sources_must_be_told_apart(registry: Registry) -> None:
    with registry.write() as session:
        tenant = add_tenant(session)
        one, two = add_source(session, tenant, "one"), add_source(session, tenant, "two")
        for source in (one, two):
            write_commit(session, source, tenant, upserts={"a": "a"})
        letters = [failed(session, tenant, source, "a") for source in (one, two)]
        dead_letters.record(session, tenant, letters, set(), START)
        with pytest.raises(RegistryError, match="--source"):
            dead_letters.drop(session, tenant, "ann", START, ["a"])
        (dropped,) = dead_letters.drop(session, tenant, "ann", START, ["a"], "two")
        assert dropped.source == "two"
        assert [x.state for x in dead_letters.listed(session, tenant)] == ["waiting", "dropped"]
        sources.remove(session, one, LATER)
        assert [x.source for x in dead_letters.listed(session, tenant)] == ["two"]
