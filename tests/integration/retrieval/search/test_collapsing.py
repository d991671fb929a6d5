"""As many documents as were asked for, however many chunks some of them have, on a real index."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from registry import tenants
from registry.schema import Source
from retrieval.index.edge.reader import EdgeReader
from retrieval.search.query import MODES, Answer
from tests.support import scripted_source
from tests.support.world import (
    START,
    TOPICS,
    SetClock,
    World,
    text_about,
)

QUERY = "what does the harbour file say"
SMALL = [f"d{n}" for n in range(10)]


def tome(name: str, sentences: int = 350) -> str:
    """Far more chunks than there are candidates, and each closer to the query than any other document."""
    return " ".join(f"What does the harbour file say of {name}{n}." for n in range(sentences))


@pytest.fixture(scope="module")
def shelved_home(migrated_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tomes among ten short documents, to be copied; each side puts ten candidates forward."""
    home = tmp_path_factory.mktemp("shelved") / "home"
    shutil.copytree(migrated_home, home)
    world = World(home)
    world.add_tenant()
    world.add_source()
    world.set_contract(candidates=10)
    world.commit({key: text_about(topic) for key, topic in zip(SMALL, TOPICS, strict=False)})
    world.commit({"tome": tome("tide"), "tome2": tome("mole")})
    assert world.run().status == "published"
    assert min(len(world.texts()[name]) for name in ("tome", "tome2")) > 50
    world.close()
    return home


@pytest.fixture
def shelved(shelved_home: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copytree(shelved_home, tmp_path / "home")
    world = opened(tmp_path / "home")
    with world.registry.write() as session:
        session.execute(update(Source).values(uri=str(world.home / "docs.script")))
    yield world
    world.close()
    scripted_source.uninstall()


@pytest.fixture(scope="module")
def shared(shelved_home: Path) -> Iterator[World]:
    """Not to be changed."""
    world = opened(shelved_home)
    yield world
    world.close()


def opened(home: Path) -> World:
    world = World(home, clock=SetClock(START + timedelta(hours=1)))
    with world.reading() as session:
        world.tenant = tenants.find(session, "acme").id
    return world


def asked(world: World, k: int, **more: Any) -> Answer:
    return world.search(QUERY, k, collapse="document", **more)


def documents(answer: Answer) -> list[str]:
    return [hit.document for hit in answer.hits]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k", [1, 2, 3, 7, 12])
def test_there_are_as_many_documents_as_were_asked_for(shared: World, mode: Any, k: int) -> None:
    answer = asked(shared, k, mode=mode)
    found = documents(answer)
    assert len(found) == len(set(found)) == k
    assert {"tome", "tome2"} & set(found[:2])
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)


@pytest.mark.parametrize("mode", ["dense", "lexical"])
def test_a_side_s_documents_are_those_of_one_list_of_everything(shelved: World, mode: Any) -> None:
    narrow = asked(shelved, 12, mode=mode)
    shelved.set_contract(candidates=2000)
    wide = asked(shelved, 12, mode=mode)
    assert [(hit.chunk_id, hit.score) for hit in narrow.hits] == [(h.chunk_id, h.score) for h in wide.hits]
    assert narrow.floor.best_cosine == wide.floor.best_cosine


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("fusion", ["dbsf", "rrf"])
def test_there_is_an_end_where_no_other_document_is_left(
    shelved: World, fusion: str, weights: tuple[float, float]
) -> None:
    shelved.set_contract(fusion=fusion, dense_weight=weights[0], lexical_weight=weights[1])
    for mode in MODES:
        answer = asked(shelved, 50, mode=mode)
        assert sorted(documents(answer)) == sorted([*SMALL, "tome", "tome2"])
        assert (answer.floor.lexical_hits or 0) <= chunks(shelved)


def chunks(world: World) -> int:
    live = world.live()
    assert live is not None
    return live.chunks


def test_what_is_hidden_or_filtered_out_stays_out_of_every_round(shelved: World) -> None:
    shelved.commit(deletes=["d3", "tome2"])
    shelved.capture()
    kept = {*SMALL, "tome"} - {"d3"}
    answer = asked(shelved, 50)
    assert (set(documents(answer)), answer.hidden_since) == (kept, 2)
    some: dict[str, Any] = {"document": ["tome", "d1", "d3", "d4"]}
    assert set(documents(asked(shelved, 50, filter=some))) == {"tome", "d1", "d4"}
    assert documents(asked(shelved, 50, filter={"source": "elsewhere"})) == []


def test_another_tenant_s_tomes_change_nothing(shelved: World) -> None:
    before = [asked(shelved, k) for k in (3, 12)]
    acme = shelved.tenant
    shelved.add_tenant("other")
    shelved.add_source("elsewhere")
    shelved.commit({f"x{n}": tome(f"x{n}", 200) for n in range(3)}, source="elsewhere")
    assert shelved.run().status == "published"
    shelved.tenant = acme
    assert [answer.hits for answer in before] == [asked(shelved, k).hits for k in (3, 12)]


def test_the_rounds_are_few_and_the_query_is_encoded_once(
    shared: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    dense = EdgeReader.dense

    def counted(self: EdgeReader, vector: Any, limit: int, *more: Any) -> Any:
        limits.append(limit)
        return dense(self, vector, limit, *more)

    monkeypatch.setattr(EdgeReader, "dense", counted)
    encoded = len(shared.encoder.encoded)
    assert len(documents(asked(shared, 12))) == 12
    assert len(shared.encoder.encoded) == encoded + 1
    assert limits[:2] == [48, 192]
    assert len(limits) <= 3
    limits.clear()
    shared.search(QUERY, 12)
    assert limits == [12], "chunks need no second round"


def test_a_corpus_that_fits_the_candidates_is_asked_once(
    published: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    both = EdgeReader.both
    monkeypatch.setattr(
        EdgeReader, "both", lambda self, *arguments: calls.append(1) or both(self, *arguments)
    )
    assert set(documents(asked(published, 50))) == set(SMALL)
    assert calls == [1]
