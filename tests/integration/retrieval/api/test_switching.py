"""From one generation to the next: preloaded, never backwards, and nothing held for those who left."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry import canaries, publication, tenants
from retrieval.api.serving import RETRY, ServingGenerations
from retrieval.errors import EncoderUnavailable, IndexCorrupt, ModelMismatch
from retrieval.index.store import GenerationRef
from retrieval.search.snapshot import Live
from tests.support.api import Api, error_of
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import World, text_about


def publish_next(world: World, version: int = 1) -> int:
    world.commit({"d0": text_about("harbour", version=version)})
    outcome = world.run()
    assert outcome.status == "published"
    assert outcome.generation is not None
    return outcome.generation


def test_the_first_query_after_a_publication_sees_it(api: Api) -> None:
    api.service.serving._patience = 30.0
    for version in range(1, 4):
        assert api.search("harbour").generation == version
        number = publish_next(api.world, version)
        answer = api.search("what does the harbour file say")
        assert answer.generation == number
        assert any(f"edition {version}" in hit.text for hit in answer.hits)


def test_a_publication_is_loaded_before_anyone_asks(api: Api) -> None:
    api.search("harbour")
    number = publish_next(api.world)
    serving = api.service.serving
    serving.refresh()
    loading = serving._loading.get(api.world.tenant)
    if loading is not None:
        loading.done.result(30)
    served = serving._served[api.world.tenant]
    assert served.live.number == number
    assert served.reader.ref.number == number


class Gate:
    """An encoder that loads when it is told to."""

    def __init__(self, encoder: FakeEncoder) -> None:
        self.encoder = encoder
        self.open = threading.Event()
        self.asked = threading.Event()

    def __call__(self) -> FakeEncoder:
        self.asked.set()
        assert self.open.wait(30)
        return self.encoder


@pytest.fixture
def swapped(api: Api) -> Iterator[Gate]:
    """Generation 2 is live with another model, which this API has not loaded yet."""
    assert api.search("glacier").generation == 1
    gate = Gate(FakeEncoder("other", seed=1))
    other = World(api.world.home, encoder=gate.encoder, clock=api.world.clock)
    other.models["fake"] = lambda: api.world.encoder
    other.tenant = api.world.tenant
    assert other.run().status == "published"
    other.close()
    api.world.models["other"] = gate
    yield gate
    gate.open.set()


def test_the_old_generation_answers_while_the_new_ones_model_is_loaded(api: Api, swapped: Gate) -> None:
    for _ in range(3):
        answer = api.search("what does the glacier file say")
        assert (answer.generation, answer.hits[0].document) == (1, "d1")
    assert swapped.asked.wait(30)
    assert api.search("glacier", mode="lexical").generation == 1
    api.world.commit(deletes=["d1"])
    api.world.capture()
    assert "d1" not in api.found("glacier", k=50), "a deletion does not wait for the model"
    swapped.open.set()
    api.service.serving._loading[api.world.tenant].done.result(30)
    answer = api.search("what does the harbour file say")
    assert (answer.generation, answer.hits[0].document) == (2, "d0")
    assert api.search("harbour", as_of=1).generation == 1, "a retained generation retains its encoder"


def test_others_are_not_kept_waiting_by_a_models_loading(api: Api, swapped: Gate) -> None:
    first = api.world.tenant
    api.search("glacier")
    assert swapped.asked.wait(30)
    api.service.serving._patience = 30.0
    second = api.world.add_tenant("other")
    key = api.new_key(second)
    api.world.add_source("more")
    for version in (1, 2):
        api.world.commit({"m": text_about("granite", version=version)}, source="more")
        outcome = api.world.run()
        assert outcome.status == "published", outcome.reason
        assert api.search("granite", key).generation == version
    api.world.tenant = first


def test_only_the_first_queries_wait_for_a_new_generation(api: Api, swapped: Gate) -> None:
    serving = api.service.serving
    now = [0.0]
    serving._monotonic = lambda: now[0]
    serving._loading.clear()
    serving._patience = 0.2
    assert api.search("glacier").generation == 1
    waits: list[float | None] = []
    future = serving._loading[api.world.tenant].done
    waited = future.result
    future.result = lambda timeout=None: (waits.append(timeout), waited(timeout))[1]  # type: ignore[method-assign]
    now[0] = 0.15
    api.search("glacier")
    now[0] = 10.0
    api.search("glacier")
    assert waits == [pytest.approx(0.05), 0.0]


def test_a_generation_that_cannot_be_loaded_leaves_the_one_before(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    serving = api.service.serving
    serving._patience = 30.0
    now = [0.0]
    serving._monotonic = lambda: now[0]
    assert api.search("harbour").generation == 1
    number = publish_next(api.world)
    folder = api.world.settings.index / api.world.tenant / str(number)
    index = folder / sorted(json.loads((folder / "manifest.json").read_text())["files"])[0]
    good = index.read_bytes()
    index.write_bytes(b"rotten" + good)
    api.world.store._verified.pop(GenerationRef(api.world.tenant, number), None)  # type: ignore[attr-defined]
    for _ in range(5):
        assert api.search("harbour").generation == 1
    assert sum("cannot be loaded" in record.message for record in caplog.records) == 1, (
        "tried once, told once"
    )
    index.write_bytes(good)
    assert api.search("harbour").generation == 1
    now[0] += RETRY
    assert api.search("harbour").generation == number


def test_a_first_generation_that_cannot_be_loaded_is_an_error(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise IndexCorrupt("rotten")

    monkeypatch.setattr(api.world.store, "open", fail)
    error_of(api.post({"query": "glacier"}), 503, "index_corrupt")


def test_a_first_generation_that_takes_too_long_is_an_error(api: Api, swapped: Gate) -> None:
    serving = api.service.serving
    serving._first_patience = 0.01
    serving._drop(api.world.tenant)
    error = error_of(api.post({"query": "glacier"}), 503, "encoder_unavailable")
    assert error["request_id"]
    swapped.open.set()
    serving._first_patience = 30.0
    assert api.search("glacier").generation == 2


def test_a_rollback_is_obeyed_even_while_the_newer_one_is_loading(api: Api, swapped: Gate) -> None:
    assert api.search("glacier").generation == 1
    loading = api.service.serving._loading[api.world.tenant]
    with api.registry.write() as session:
        assert publication.roll_back(session, api.world.tenant, api.world.clock()) == 1
    assert api.search("glacier").generation == 1
    swapped.open.set()
    loading.done.result(30)
    assert api.search("glacier").generation == 1
    assert api.service.serving._served[api.world.tenant].live.number == 1


def test_a_rollback_is_seen_by_the_next_query(api: Api) -> None:
    api.service.serving._patience = 30.0
    api.search("glacier")
    publish_next(api.world)
    assert api.search("glacier").generation == 2
    with api.registry.write() as session:
        publication.roll_back(session, api.world.tenant, api.world.clock())
    assert api.search("glacier").generation == 1
    with api.registry.write() as session:
        publication.resume(session, api.world.tenant, api.world.clock())
    assert api.search("glacier").generation == 1
    assert publish_next(api.world, 9) == 3
    assert api.search("glacier").generation == 3


def test_a_request_that_read_the_pointer_late_cannot_switch_back(api: Api) -> None:
    api.service.serving._patience = 30.0
    serving, tenant = api.service.serving, api.world.tenant
    api.search("glacier")
    before = serving._served[tenant].live
    publish_next(api.world)
    assert api.search("glacier").generation == 2
    assert serving.ready(tenant, before) is None
    assert serving.switched(tenant, before) == 2
    assert serving._served[tenant].live.number == 2


def test_a_served_generation_is_not_removed_and_is_let_go_after_the_switch(api: Api) -> None:
    api.service.serving._patience = 30.0
    tenant, store = api.world.tenant, api.world.store
    api.search("glacier")
    assert not store.remove(GenerationRef(tenant, 1))
    publish_next(api.world)
    assert api.search("glacier").generation == 2
    assert store.remove(GenerationRef(tenant, 1))
    assert not store.remove(GenerationRef(tenant, 2))


@pytest.mark.parametrize("how", ["suspended", "erased"])
def test_nothing_is_held_of_a_tenant_that_left(api: Api, how: str) -> None:
    tenant = api.world.tenant
    api.search("glacier")
    with api.registry.write() as session:
        found = tenants.find(session, tenant)
        if how == "erased":
            tenants.erase(session, found)
        else:
            tenants.suspend(session, found, True)
    api.service.housekeeping.round()
    assert api.service.serving._served == {}
    assert api.world.store.remove(GenerationRef(tenant, 1))


def test_retired_and_removed_between_the_look_and_the_opening(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.service.serving._patience = 30.0
    api.world.set_contract(retained_generations=1)
    api.search("glacier")
    real, moved = api.world.store.open, False

    def open_late(ref: GenerationRef, model: str | None = None) -> object:
        nonlocal moved
        if not moved and threading.current_thread().name.startswith("AnyIO"):
            moved = True
            for version in (1, 2):
                publish_next(api.world, version)
            api.service.serving.switched(api.world.tenant, Live(3, 10**6))
            assert api.world.store.remove(GenerationRef(api.world.tenant, 1))
        return real(ref, model)

    monkeypatch.setattr(api.world.store, "open", open_late)
    assert api.search("glacier").generation == 3


def test_a_model_whose_files_were_replaced_is_loaded_beside_the_old_one(api: Api) -> None:
    """The same name, other weights: the new generation gets its encoder, the retained one keeps its own."""
    api.service.serving._patience = 30.0
    assert api.search("glacier").generation == 1
    replaced = FakeEncoder("fake", seed=5)
    other = World(api.world.home, encoder=replaced, clock=api.world.clock)
    other.tenant = api.world.tenant
    other.set_contract(recall_floor=0, mrr_floor=0, allowed_drop=1)
    with other.registry.write() as session:
        canaries.replace(session, other.tenant, [], other.clock())
    assert other.run().status == "published"
    other.close()
    old = api.world.encoder
    api.world.models["fake"] = lambda: replaced
    assert api.search("what does the glacier file say").generation == 2
    assert api.search("what does the glacier file say", as_of=1).generation == 1
    assert replaced.encoded[-1:] == ["what does the glacier file say"]
    assert old.encoded[-1:] == ["what does the glacier file say"]


def test_a_model_whose_weights_are_gone_is_a_mismatch_found_once(published: World) -> None:
    loads = 0

    def load() -> FakeEncoder:
        nonlocal loads
        loads += 1
        return FakeEncoder("fake", seed=9)

    model_id = published.encoder.model.id
    fresh = World(published.home, clock=published.clock)
    fresh.models["fake"] = load  # type: ignore[assignment]
    for _ in range(3):
        with pytest.raises(ModelMismatch):
            fresh.encoders.of(model_id)
    assert loads == 1
    assert fresh.encoders.named("fake").model.id != model_id
    fresh.close()


def test_closing_lets_go_of_everything(published: World) -> None:
    serving = ServingGenerations(published.registry, published.store, published.encoders)
    assert serving.switched(published.tenant, Live(1, 1)) == 1
    assert not published.store.remove(GenerationRef(published.tenant, 1))
    serving.close()
    assert published.store.remove(GenerationRef(published.tenant, 1))


def test_a_failure_to_load_reaches_everyone_who_waits(published: World, tmp_path: Path) -> None:
    published.models.clear()
    published.encoders._loaded.clear()
    serving = ServingGenerations(published.registry, published.store, published.encoders)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            serving.switched(published.tenant, Live(1, 1))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [type(error) for error in errors] == [KeyError] * 4
    serving.close()


def test_an_encoder_that_is_unavailable_says_so(published: World) -> None:
    def fail() -> FakeEncoder:
        raise EncoderUnavailable("no such model")

    published.models["fake"] = fail
    published.encoders._loaded.clear()
    serving = ServingGenerations(published.registry, published.store, published.encoders)
    with pytest.raises(EncoderUnavailable):
        serving.switched(published.tenant, Live(1, 1))
    serving.close()
