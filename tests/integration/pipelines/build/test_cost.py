"""Only changed chunks cost anything: the parser and the encoder are watched, not the counters."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pipelines.build.document_preparer import DocumentPreparer
from pipelines.build.prepared import PreparedDocument
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import TOPICS, World, text_about


@dataclass(frozen=True)
class Watched(DocumentPreparer):
    """A preparer that notes what it was given. `version` stands for another parser."""

    parsed: list[str] = field(default_factory=list)
    version: str = ""

    def configuration(self, model_id: str) -> Any:
        known = DocumentPreparer.configuration(self, model_id)
        return replace(known, parser=known.parser + self.version)

    def prepare(self, content: bytes, media_type: str, title: str) -> PreparedDocument:
        self.parsed.append(content.decode())
        return DocumentPreparer.prepare(self, content, media_type, title)


class Bill:
    """What a run parsed and embedded, as the parser and the encoder saw it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.watch("")

    def watch(self, version: str) -> None:
        p = self.world.ingestion.preparer
        self.preparer = Watched(
            p.chunker, p.analyzer, p.tokenizer, p.max_tokens, p.max_bytes, version=version
        )
        self.world.ingestion = replace(self.world.ingestion, preparer=self.preparer)

    def of_run(self) -> tuple[list[str], list[str]]:
        """(contents parsed, texts embedded) of one run's build, before its gate asks anything."""
        self.preparer.parsed.clear()
        self.world.encoder.encoded.clear()
        self.world.capture()
        outcome = self.world.build()
        parsed, embedded = list(self.preparer.parsed), list(self.world.encoder.encoded)
        assert outcome.embedded == len(embedded)
        assert outcome.work.parsed == len(parsed)
        run = f"run-{self.world.runs}"
        if outcome.status == "published":
            assert outcome.generation is not None
            assert not [
                v for v in self.world.ingestion.judge(self.world.tenant, outcome.generation) if v.holds_back
            ]
            self.world.ingestion.publish(self.world.tenant, outcome.generation)
        self.world.ingestion.release(self.world.tenant, run)
        return parsed, embedded


@pytest.fixture
def bill(published: World) -> Bill:
    return Bill(published)


def all_texts(world: World) -> set[str]:
    return {text for chunks in world.texts().values() for text in chunks}


def test_exactly_the_texts_never_seen_are_embedded_and_once(bill: Bill) -> None:
    world = bill.world
    seen = all_texts(world)
    longer = f"{text_about('glacier')} A last sentence about moraines and séracs that nobody wrote before."
    twin = text_about("thunder")
    world.commit({"d1": longer, "new": twin, "twin": twin})
    parsed, embedded = bill.of_run()
    now = all_texts(world)
    assert sorted(embedded) == sorted(now - seen), "other texts were embedded than those never seen"
    assert len(embedded) == len(set(embedded))
    assert set(world.texts()["d1"]) & seen, "the example changed every chunk of its document"
    assert sorted(parsed) == sorted([longer, twin]), "a content was parsed that was known, or twice"


def test_unchanged_documents_are_never_parsed_again(bill: Bill) -> None:
    assert bill.of_run() == ([], [])
    bill.world.commit({"d0": text_about(TOPICS[0])}, deletes=["d5"])  # d0 as it is
    assert bill.of_run() == ([], [])
    assert len(bill.world.documents()) == 9


def test_a_rename_and_a_return_cost_nothing(bill: Bill) -> None:
    world = bill.world
    world.commit({"moved": text_about(TOPICS[3])}, deletes=["d3"])
    assert bill.of_run() == ([], [])
    assert world.found(f"what does the {TOPICS[3]} file say")[0] == "moved"
    world.commit(deletes=["d4"])
    assert bill.of_run() == ([], [])
    world.commit({"d4": text_about(TOPICS[4])})
    assert bill.of_run() == ([], [])
    assert world.found(f"what does the {TOPICS[4]} file say")[0] == "d4"


def test_what_cannot_be_parsed_is_tried_once(bill: Bill) -> None:
    bill.world.commit({"broken": {"content": "torn", "media_type": "application/pdf"}})
    assert bill.of_run() == (["torn"], [])
    bill.world.commit({"d0": text_about(TOPICS[0], version=1)})
    parsed, _ = bill.of_run()
    assert parsed == [text_about(TOPICS[0], version=1)]


def test_another_parser_parses_all_and_embeds_what_came_out_differently(bill: Bill) -> None:
    bill.watch("-next")
    parsed, embedded = bill.of_run()
    assert sorted(parsed) == sorted(text_about(topic) for topic in TOPICS[:10])
    assert embedded == []
    live = bill.world.live()
    assert live is not None
    assert live.number == 2, "another parser is another generation"


def test_another_model_embeds_every_text_once_and_parses_none(bill: Bill) -> None:
    world = bill.world
    texts = all_texts(world)
    world.use_encoder(FakeEncoder("other", seed=7))
    parsed, embedded = bill.of_run()
    assert parsed == []
    assert sorted(embedded) == sorted(texts)


def test_a_tenant_pays_for_itself(bill: Bill) -> None:
    world = bill.world
    first = world.tenant
    second = world.add_tenant("second")
    world.add_source("other")
    world.commit({"d0": text_about(TOPICS[0])}, source="other")
    world.tenant = second
    parsed, embedded = bill.of_run()
    assert (len(parsed), len(embedded)) == (1, len(all_texts(world))), (
        "a cache was shared with another tenant"
    )
    world.tenant = first
    assert bill.of_run() == ([], [])
