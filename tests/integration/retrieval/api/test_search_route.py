"""POST /v1/search: what it answers."""

from __future__ import annotations

import json

import pytest

from tests.support.api import Api, error_of
from tests.support.world import TOPICS, text_about


def test_an_answer_has_what_the_design_promises(shared_api: Api) -> None:
    answer = shared_api.search("what does the glacier file say", k=3)
    assert answer.tenant == "acme"
    assert answer.generation == 1
    assert answer.sources == {"docs": "c0001"}
    assert answer.quiescent
    assert answer.hidden_since == 0
    assert answer.floor.met
    assert answer.floor.action == "none"
    assert set(answer.timings) == {"registry_ms", "encode_ms", "index_ms", "fetch_ms", "total_ms"}
    best = answer.hits[0]
    assert (best.document, best.source, best.uri, best.stale) == ("d1", "docs", "test:d1", False)
    assert "glacier" in best.text
    assert len(answer.hits) <= 3


def test_the_age_is_since_publication(api: Api) -> None:
    before = api.search("glacier").age_seconds
    api.world.clock.advance(3600)
    assert api.search("glacier").age_seconds == before + 3600


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_each_mode_ranks_by_its_own_side(shared_api: Api, mode: str) -> None:
    answer = shared_api.search("glacier1 matters", mode=mode)
    assert answer.hits[0].document == "d1"
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    if mode == "dense":
        assert all(hit.lexical_score is None and hit.score == hit.dense_score for hit in answer.hits)
        assert answer.floor.lexical_hits is None
    elif mode == "lexical":
        assert all(hit.dense_score is None and hit.score == hit.lexical_score for hit in answer.hits)
        assert answer.floor.best_cosine is None
        assert answer.timings["encode_ms"] == 0
    else:
        assert any(hit.dense_score is not None and hit.lexical_score is not None for hit in answer.hits)


def test_lexical_mode_asks_no_model(shared_api: Api) -> None:
    before = len(shared_api.world.encoder.encoded)
    shared_api.search("glacier", mode="lexical")
    assert len(shared_api.world.encoder.encoded) == before


def test_k_is_how_many(shared_api: Api) -> None:
    assert [len(shared_api.search("the file says", k=k).hits) for k in (1, 2, 7)] == [1, 2, 7]


def test_k_may_be_more_than_there_is(shared_api: Api) -> None:
    hits = shared_api.search("the file says", k=1000).hits
    assert len({hit.chunk_id for hit in hits}) == len(hits) == shared_api.world.live().chunks  # type: ignore[union-attr]


def test_collapsing_keeps_the_best_chunk_of_each_document(shared_api: Api) -> None:
    plain = shared_api.search("the harbour file says", k=1000).hits
    assert len(plain) > 10
    collapsed = shared_api.search("the harbour file says", k=10, collapse="document").hits
    best = {}
    for hit in plain:
        best.setdefault(hit.document, hit)
    assert [hit.chunk_id for hit in collapsed] == [hit.chunk_id for hit in list(best.values())[:10]]
    assert len({hit.document for hit in collapsed}) == 10


def test_collapsing_goes_deep_enough(api: Api) -> None:
    """One document with far more chunks than k must not crowd the others out."""
    api.world.commit({"long": " ".join(f"The harbour note {n} says harbour{n}." for n in range(150))})
    assert api.world.run().status == "published"
    found = api.found("harbour note", k=5)
    assert found[0] == "long"
    assert len(found) == len(set(found)) == 5


def test_filters_on_metadata_source_and_document(api: Api) -> None:
    content = {n: text_about(topic, version=1) for n, topic in enumerate(TOPICS[:4])}
    api.world.commit(
        {
            f"d{n}": {"content": text, "metadata": {"year": 2020 + n, "lang": "en" if n % 2 else "de"}}
            for n, text in content.items()
        }
    )
    assert api.world.run().status == "published"

    def keys(**conditions: object) -> set[str]:
        return set(api.found("the file says", k=20, filter=conditions))

    assert keys(lang="de") == {"d0", "d2"}
    assert keys(lang=["de", "en"]) == {"d0", "d1", "d2", "d3"}
    assert keys(year={"gte": 2021, "lt": 2023}) == {"d1", "d2"}
    assert keys(year=2021) == {"d1"}
    assert keys(year=2021, lang="de") == set()
    assert keys(document=["d1", "d7"]) == {"d1", "d7"}
    assert keys(document="d7") == {"d7"}
    assert len(keys(source="docs")) == 10
    assert keys(source="elsewhere") == set()
    assert keys(source=[]) == set()
    assert keys(nothing="there") == set()


def test_nothing_left_by_a_filter_is_an_answer_below_the_floor(shared_api: Api) -> None:
    answer = shared_api.search("glacier", filter={"document": "no such"})
    assert answer.hits == []
    assert not answer.floor.met
    assert answer.floor.action == "flagged"


QUERIES = {
    "japanese": "氷河のファイルには何が書いてありますか",
    "arabic": "ماذا يقول الملف عن النهر",
    "emoji": "🧊🏔️ \U0001f469\u200d\U0001f469\u200d\U0001f467",
    "nul within": "glacier\x00file",
    "nul alone": "\x00",
    "zero width": "\u200b",
    "right to left override": "İß\u202eglacier",
    "last code point": "\U0010ffff",
    "longest": "a" * 8192,
    "no word": "¿" * 500,
    "sql": "' OR 1=1 --",
    "json": '{"query": 1}',
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_any_text_can_be_asked(shared_api: Api, query: str) -> None:
    for mode in ("hybrid", "dense", "lexical"):
        answer = shared_api.search(query, mode=mode)
        assert answer.generation == 1
        if not answer.hits:
            assert not answer.floor.met


def test_text_in_any_script_comes_back_as_it_is(api: Api) -> None:
    text = "氷河の報告書 🧊 النهر \u2028 naïve \U0010ffff"
    api.world.commit({"d氷": {"content": text, "title": "見出し", "metadata": {"言語": "日本語"}}})
    assert api.world.run().status == "published"
    hit = api.search("氷河の報告書", filter={"言語": "日本語"}).hits[0]
    assert (hit.document, hit.title, hit.metadata) == ("d氷", "見出し", {"言語": "日本語"})
    assert "🧊 النهر" in hit.text


def test_the_floor_flags(shared_api: Api) -> None:
    answer = shared_api.search("xylophone umbrella")
    assert not answer.floor.met
    assert answer.floor.action == "flagged"
    assert answer.floor.lexical_hits == 0


def test_the_floor_refuses_where_the_contract_says_so(api: Api) -> None:
    api.world.set_contract(on_floor_unmet="refuse")
    assert api.search("what does the glacier file say").floor.met
    error = error_of(api.post({"query": "xylophone umbrella"}), 422, "result_floor_unmet")
    floor = error["floor"]
    assert floor["met"] is False
    assert floor["action"] == "refused"
    assert floor["lexical_hits"] == 0
    assert floor["lexical_floor"] == 1
    assert floor["cosine_floor"] == 0.25
    assert "hits" not in json.dumps(error["floor"]).replace("lexical_hits", "")


def test_each_part_of_the_floor_counts(api: Api) -> None:
    api.world.set_contract(result_floor_cosine=1.0)
    assert not api.search("glacier").floor.met
    api.world.set_contract(result_floor_cosine=-1.0, result_floor_lexical=1000)
    assert not api.search("glacier").floor.met
    assert api.search("glacier", mode="dense").floor.met
    api.world.set_contract(result_floor_lexical=0)
    assert api.search("xylophone umbrella").floor.met


def test_a_changed_contract_counts_from_the_next_query_on(api: Api) -> None:
    assert api.search("glacier").floor.cosine_floor == 0.25
    api.world.set_contract(result_floor_cosine=0.5)
    assert api.search("glacier").floor.cosine_floor == 0.5
    api.world.set_contract(result_floor_cosine=0.25)
    assert api.search("glacier").floor.cosine_floor == 0.25


def test_fusion_and_weights_are_the_contracts(api: Api) -> None:
    api.world.set_contract(dense_weight=0.0)
    lexical = [hit.chunk_id for hit in api.search("glacier1 matters", mode="lexical", k=3).hits]
    assert [hit.chunk_id for hit in api.search("glacier1 matters", k=3).hits] == lexical
    api.world.set_contract(dense_weight=1.0, fusion="rrf")
    assert api.search("glacier1 matters").hits[0].score == pytest.approx(2 / 60)


def test_a_stale_document_is_marked(api: Api) -> None:
    api.world.set_contract(quarantine_share=1.0)
    api.world.commit({"d1": {"content": "", "media_type": "application/pdf"}})
    assert api.world.run().status == "published"
    hit = next(hit for hit in api.search("what does the glacier file say").hits if hit.document == "d1")
    assert hit.stale
    assert hit.position == "c0001"
