"""Dead letters: recorded with what a person needs, tried again when asked for, left out when told to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.build.prepared import PreparedDocument
from pipelines.capture.health import in_quarantine, quarantine
from pipelines.errors import ParseError
from pipelines.ingestion.due import due_tenants
from registry import dead_letters, tenants
from registry.dead_letters import Letter
from registry.errors import NotFound, RegistryError
from registry.schema import ParsedDocument
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, red, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]

BAD = "!! "


class Fussy:
    """Prepares as before, but not what begins with BAD; counts what it was asked to parse."""

    def __init__(self, world: World) -> None:
        self.preparer = world.ingestion.preparer
        self.parsed: list[bytes] = []
        self.mended = False

    def prepare(self, content: bytes, media_type: str, title: str) -> PreparedDocument:
        self.parsed.append(content)
        if content.decode().startswith(BAD) and not self.mended:
            raise ParseError("it begins badly")
        return self.preparer.prepare(content, media_type, title)

    def configuration(self, model_id: str) -> Any:
        return self.preparer.configuration(model_id)


@pytest.fixture
def fussy(published: World) -> Fussy:
    made = Fussy(published)
    published.ingestion = replace(published.ingestion, preparer=made)  # type: ignore[arg-type]
    return made


def letters(world: World) -> dict[str, Letter]:
    with world.reading() as session:
        return {letter.document: letter for letter in dead_letters.listed(session, world.tenant)}


def decide(world: World, what: str, *keys: str) -> list[Letter]:
    with world.registry.write() as session:
        decision = getattr(dead_letters, what)
        return list(decision(session, world.tenant, "ann", world.clock(), keys))


def test_a_letter_says_what_a_person_needs(published: World, fussy: Fussy) -> None:
    position = published.commit({"bad": BAD + "x"}, unreadable={"locked": "permission denied"})
    seen = published.clock()
    outcome = published.run()
    assert outcome.status == "published"
    assert outcome.documents.quarantined == 2
    assert outcome.work.failures == {"docs": 2}
    found = letters(published)
    bad = found["bad"]
    assert (bad.source, bad.position, bad.state, bad.error) == (
        "docs",
        position,
        "waiting",
        "it begins badly",
    )
    assert (bad.attempts, bad.first_seen, bad.last_seen, bad.unread) == (1, seen, seen, False)
    assert (found["locked"].error, found["locked"].unread) == ("permission denied", True)
    published.commit({"d10": text_about(TOPICS[10])})
    published.run()
    assert letters(published)["bad"] == bad, "it is remembered, not tried at every run"
    assert fussy.parsed.count((BAD + "x").encode()) == 1


def test_a_retry_parses_it_again_and_attempts_grow(published: World, fussy: Fussy) -> None:
    published.commit({"bad": BAD + "x"})
    published.run()
    assert published.run().status == "unchanged"
    (asked,) = decide(published, "retry")
    assert asked.document == "bad"
    assert letters(published)["bad"].state == "retrying"
    published.clock.advance(60)
    parsed = len(fussy.parsed)
    assert published.run().status == "unchanged", "a vain attempt is no new generation"
    assert fussy.parsed[parsed:] == [(BAD + "x").encode()]
    bad = letters(published)["bad"]
    assert (bad.state, bad.attempts, bad.last_seen) == ("waiting", 2, published.clock())
    assert bad.first_seen < bad.last_seen
    assert published.run().status == "unchanged"
    with published.reading() as session:
        assert session.query(ParsedDocument).filter_by(forgotten=True).count() == 0


def test_a_retry_that_succeeds_publishes_the_document(published: World, fussy: Fussy) -> None:
    published.commit({"bad": BAD + text_about("volcano")})
    published.run()
    fussy.mended = True
    assert published.run().status == "unchanged"
    assert published.found("volcano file")[0] != "bad"
    decide(published, "retry", "bad")
    with published.reading():
        due = due_tenants(published.registry, published.ingestion.configuration, published.clock)
    assert [d.tenant_id for d in due] == [published.tenant], "the daemon takes it up by itself"
    assert published.run().status == "published"
    assert published.found("volcano file")[0] == "bad"
    assert letters(published) == {}
    assert published.run().status == "unchanged"


def test_a_mended_document_that_the_gate_refused_is_published_once_it_may(
    published: World, fussy: Fussy
) -> None:
    published.commit({"bad": BAD + text_about("volcano")})
    published.run()
    fussy.mended = True
    decide(published, "retry", "bad")
    published.set_contract(recall_floor=1.0, mrr_floor=1.0)
    published.ask_about({"what does the glacier file say": ["d0"]})
    rejected = published.run()
    assert rejected.status == "rejected"
    assert "canary_recall" in red(rejected.checks)
    again = published.run()
    assert (again.status, again.generation) == ("rejected", rejected.generation)
    published.ask_about({"what does the glacier file say": ["d1"]})
    assert published.run().status == "published"
    assert published.found("volcano file")[0] == "bad"


def test_a_retry_that_was_killed_is_tried_by_the_next_run(
    published: World, fussy: Fussy, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.commit({"bad": BAD + text_about("volcano")})
    published.run()
    fussy.mended = True
    decide(published, "retry", "bad")

    def killed(texts: Any) -> Any:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(published.encoder, "encode", killed)
        with pytest.raises(MemoryError):
            published.run()
    parsed = len(fussy.parsed)
    assert published.run().status == "published"
    assert len(fussy.parsed) == parsed, "what was parsed before the kill is not parsed again"
    assert published.found("volcano file")[0] == "bad"


def test_a_retry_asked_for_during_a_build_is_left_for_the_next(published: World, fussy: Fussy) -> None:
    published.commit({"bad": BAD + "x"})
    published.run()
    published.commit({"d10": text_about(TOPICS[10])})

    encode = published.encoder.encode

    def meanwhile(texts: Any) -> Any:
        published.encoder.encode = encode  # type: ignore[method-assign]
        decide(published, "retry", "bad")
        return encode(texts)

    published.encoder.encode = meanwhile  # type: ignore[method-assign]
    assert published.run().status == "published"
    assert letters(published)["bad"].state == "retrying"
    published.run()
    assert (letters(published)["bad"].state, letters(published)["bad"].attempts) == ("waiting", 2)


def test_what_is_dropped_stays_out_and_no_longer_counts(published: World, fussy: Fussy) -> None:
    published.commit({f"bad{n}": f"{BAD}{n}" for n in range(3)})
    published.run()
    with published.reading() as session:
        assert in_quarantine(session, published.tenant) == {"docs": 3 / 13}
    decide(published, "drop", "bad0", "bad1")
    with published.reading() as session:
        assert in_quarantine(session, published.tenant) == {}
        (found,) = quarantine(session, published.tenant)
        assert (found.documents, found.failed, found.dropped) == (13, 1, 2)
    dropped = letters(published)["bad0"]
    assert (dropped.state, dropped.decided_by, dropped.error) == ("dropped", "ann", "it begins badly")
    assert published.run().status == "unchanged", "dropping changes nothing that is served"
    fussy.mended = True
    published.use_encoder(FakeEncoder("other"))
    outcome = published.run()
    assert outcome.status == "published"
    assert published.documents()["bad0"] == "quarantined", "not even a new configuration tries it"
    assert letters(published)["bad0"].state == "dropped"
    assert outcome.documents.quarantined == 1


def test_a_new_version_of_a_dropped_document_is_tried_afresh(published: World, fussy: Fussy) -> None:
    published.commit({"good later": BAD + "x", "bad again": BAD + "y"})
    published.run()
    decide(published, "drop", "good later", "bad again")
    published.commit({"good later": text_about("volcano"), "bad again": BAD + "z"})
    assert published.run().status == "published"
    assert published.found("volcano file")[0] == "good later"
    found = letters(published)
    assert set(found) == {"bad again"}
    assert (found["bad again"].state, found["bad again"].attempts) == ("waiting", 1)


def test_a_dropped_document_can_be_taken_back_by_name_only(published: World, fussy: Fussy) -> None:
    published.commit({"bad": BAD + text_about("volcano")})
    published.run()
    decide(published, "drop", "bad")
    fussy.mended = True
    assert decide(published, "retry") == []
    decide(published, "retry", "bad")
    published.run()
    assert published.found("volcano file")[0] == "bad"


def test_the_last_good_version_of_a_dropped_one_is_served_as_stale(published: World, fussy: Fussy) -> None:
    published.commit({"d3": BAD + "ruined"})
    published.run()
    decide(published, "drop", "d3")
    published.commit({"d10": text_about(TOPICS[10])})
    published.run()
    assert published.documents()["d3"] == "stale"
    hit = published.search(f"{TOPICS[3]} file").hits[0]
    assert (hit.document, hit.stale) == ("d3", True)


def test_a_deleted_document_is_no_letter(published: World, fussy: Fussy) -> None:
    published.commit({"bad": BAD + "x", "worse": BAD + "y"})
    published.run()
    decide(published, "drop", "worse")
    published.commit(deletes=["bad", "worse"])
    published.run()
    assert letters(published) == {}


def test_a_rejected_deletion_is_not_quarantine(published: World) -> None:
    from registry import deletions

    published.commit(deletes=["d0", "d1", "d2", "d3"])
    published.capture()
    with published.registry.write() as session:
        deletions.decide(session, published.tenant, "rejected", "ann", published.clock())
    assert published.run().status == "published"
    assert published.documents()["d0"] == "stale"
    with published.reading() as session:
        assert in_quarantine(session, published.tenant) == {}
    assert letters(published) == {}


def test_what_is_no_letter_cannot_be_decided_about(published: World, fussy: Fussy) -> None:
    published.commit({"bad": BAD + "x"}, unreadable={"locked": "permission denied"})
    published.run()
    for decision in ("retry", "drop"):
        with pytest.raises(NotFound, match="deadletter list"):
            decide(published, decision, "d0")
    with pytest.raises(RegistryError, match="mend it there"):
        decide(published, "retry", "locked")
    assert [letter.document for letter in decide(published, "retry")] == ["bad"]
    decide(published, "drop", "locked")
    assert letters(published)["locked"].state == "dropped"


def test_another_configuration_tries_everything_and_goes_on_counting(published: World, fussy: Fussy) -> None:
    published.commit({"bad": BAD + "x"})
    published.run()
    preparer = replace(fussy.preparer, max_tokens=fussy.preparer.max_tokens + 1)
    fussy.preparer = preparer
    assert published.run().status == "published"
    assert letters(published)["bad"].attempts == 2


def test_letters_are_of_one_tenant(published: World, fussy: Fussy) -> None:
    published.commit({"bad": BAD + "x"})
    published.run()
    with published.registry.write() as session:
        other = tenants.create(session, "other", published.clock()).id
    with published.registry.write() as session:
        assert dead_letters.listed(session, other) == []
        assert dead_letters.retry(session, other, "ann", published.clock()) == []
        with pytest.raises(NotFound):
            dead_letters.drop(session, other, "ann", published.clock(), ["bad"])
    assert letters(published)["bad"].state == "waiting"
