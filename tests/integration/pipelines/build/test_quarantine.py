"""A document that cannot be read: its last good version stays, marked and dated, until it is deleted."""

from __future__ import annotations

from typing import Any

from tests.support.world import World, text_about

# What breaks a document: its bytes, its type, or the source itself.
BREAKING: list[dict[str, Any]] = [
    {"upserts": {"d1": {"content": "%PDF-1.7 torn off", "media_type": "application/pdf"}}},
    {"upserts": {"d1": {"content": "whatever", "media_type": "application/x-unknown"}}},
    {"upserts": {"d1": " \n "}},
    {"unreadable": {"d1": "permission denied"}},
]


def states(world: World, key: str = "d1") -> tuple[str, str, int]:
    """(state, error, chunks) of a document in the live generation."""
    from registry import generations

    live = world.live()
    assert live is not None
    with world.reading() as session:
        (row,) = [r for r in generations.documents(session, world.tenant, live.number) if r.key == key]
        return row.state, row.error, row.chunks


def hits(world: World, key: str = "d1") -> list[tuple[bool, str]]:
    """(stale, position) of a document's hits."""
    return sorted(
        {
            (h.stale, h.position)
            for h in world.search("what does the glacier file say", k=50).hits
            if h.document == key
        }
    )


def test_the_last_good_version_stays_until_its_document_is_deleted(published: World) -> None:
    world = published
    good = world.texts()["d1"]
    assert states(world)[:2] == ("live", "")
    born = world.commit({"d1": text_about("glacier", version=1)})
    assert world.run().documents.changed == 1
    assert hits(world) == [(False, born)]

    world.commit(**BREAKING[0])
    outcome = world.run()
    assert outcome.status == "published"
    assert (outcome.documents.stale, outcome.documents.quarantined, outcome.documents.deleted) == (1, 1, 0)
    assert outcome.work.failures == {"docs": 1}
    assert outcome.documents.live == 10
    state, error, chunks = states(world)
    assert (state, bool(error), chunks) == ("stale", True, len(good))
    assert hits(world) == [(True, born)], "a stale hit is marked, with the position of its own version"
    assert "edition 1" in world.texts()["d1"][0]

    world.commit({"d2": text_about("violin", version=9)})
    assert world.run().documents.stale == 1, "a later generation forgot that it is stale"
    assert hits(world) == [(True, born)]

    world.commit(deletes=["d1"])
    world.capture()
    assert hits(world) == [], "a stale document outlived its deletion"
    assert world.run().documents.deleted == 1
    assert "d1" not in world.texts()
    assert "d1" not in world.documents()


def test_a_mended_document_is_live_again(published: World) -> None:
    published.commit(**BREAKING[0])
    assert published.run().documents.stale == 1
    mended = published.commit({"d1": text_about("glacier", version=2)})
    outcome = published.run()
    assert (outcome.documents.stale, outcome.documents.quarantined, outcome.documents.changed) == (0, 0, 1)
    assert hits(published) == [(False, mended)]


def test_a_document_that_was_never_good_has_no_chunk_and_is_listed(published: World) -> None:
    published.commit({"new": {"content": "", "media_type": "text/plain"}})
    outcome = published.run()
    assert outcome.status == "published"
    assert (outcome.documents.live, outcome.documents.quarantined, outcome.documents.stale) == (10, 1, 0)
    assert published.documents()["new"] == "quarantined"
    assert "new" not in published.texts()
    published.commit({"new": text_about("zephyr")})
    assert published.run().documents.live == 11
    assert published.documents()["new"] == "live"


def test_what_was_deleted_does_not_come_back_behind_a_broken_namesake(published: World) -> None:
    published.commit(deletes=["d1"])
    published.commit(**BREAKING[0])
    outcome = published.run()
    assert outcome.status == "published"
    assert published.documents()["d1"] == "quarantined"
    assert hits(published) == []
    assert "d1" not in published.texts()


def test_a_document_that_breaks_twice_keeps_its_last_good_version(published: World) -> None:
    before = published.texts()["d1"]
    for breaking in BREAKING[1:]:
        published.commit(**breaking)
        assert published.run().documents.stale == 1
        assert published.texts()["d1"] == before
        assert hits(published) == [(True, "c0001")]


def test_a_rejected_deletion_keeps_its_document_stale_and_counts_no_failure(published: World) -> None:
    from registry import deletions

    published.commit(deletes=["d1", "d2", "d3"])
    published.capture()
    assert published.build().status == "held"
    published.ingestion.release(published.tenant, "run-2")
    with published.registry.write() as session:
        deletions.decide(session, published.tenant, "rejected", "me", published.clock())
    outcome = published.run()
    assert (outcome.status, outcome.documents.stale, outcome.documents.quarantined) == ("published", 3, 0)
    assert outcome.work.failures == {}
    assert hits(published) == [(True, "c0001")]
    published.commit({"d1": text_about("glacier", version=3)})
    assert published.run().documents.stale == 2
    assert published.documents()["d1"] == "live"
