"""Probes, metrics, generations, contract, OpenAPI."""

from __future__ import annotations

import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, select

from registry import builds, contracts, dead_letters, publication, sources, tenants
from registry.schema import Tenant
from retrieval.api.app import create_app
from retrieval.api.schemas import ContractResponse, ErrorResponse, GenerationResponse, SearchRequest
from retrieval.errors import EncoderUnavailable
from retrieval.index.store import GenerationRef
from retrieval.opening import Retrieval
from retrieval.search.encoders import Encoders
from retrieval.search.searcher import Searcher
from tests.support.api import Api, api_over, error_of
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import World, text_about


def until(condition: Any, seconds: float = 20) -> None:
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


# Probes.


def test_the_process_is_alive(shared_api: Api) -> None:
    response = shared_api.get("/healthz", None)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_ready_once_the_model_is_loaded(api: Api) -> None:
    until(lambda: api.get("/readyz", None).status_code == 200)
    assert api.get("/readyz", None).json() == {"status": "ready"}


class SlowModel:
    """Loads when it is told to, or fails."""

    def __init__(self, encoder: FakeEncoder, failure: Exception | None = None) -> None:
        self.encoder = encoder
        self.failure = failure
        self.go = threading.Event()

    def __call__(self, name: str) -> FakeEncoder:
        assert self.go.wait(30)
        if self.failure is not None:
            raise self.failure
        return self.encoder


def client_with(world: World, model: SlowModel) -> TestClient:
    encoders = Encoders(world.registry, model)
    searcher = Searcher(world.registry, world.store, encoders, world.clock)
    app = create_app(
        world.settings.model_copy(update={"embedding_model": "fake"}),
        world.clock,
        Retrieval(world.registry, world.store, encoders, searcher),
    )
    return TestClient(app, raise_server_exceptions=False)


def test_not_ready_while_the_model_is_loaded_and_ready_after(published: World) -> None:
    model = SlowModel(published.encoder)
    with client_with(published, model) as client:
        error = error_of(client.get("/readyz"), 503, "not_ready")
        assert "being loaded" in error["message"]
        assert client.get("/healthz").status_code == 200
        model.go.set()
        until(lambda: client.get("/readyz").status_code == 200)


@pytest.mark.parametrize(
    "failure", [EncoderUnavailable("/a/folder"), RuntimeError("/a/folder"), MemoryError()]
)
def test_not_ready_where_the_model_cannot_be_loaded(published: World, failure: Exception) -> None:
    model = SlowModel(published.encoder, failure)
    model.go.set()
    with client_with(published, model) as client:
        until(lambda: "cannot be loaded" in client.get("/readyz").text)
        assert "/a/folder" not in error_of(client.get("/readyz"), 503, "not_ready")["message"]


def test_probes_answer_while_every_search_waits_for_the_model(published: World) -> None:
    model = SlowModel(published.encoder)
    with client_with(published, model) as client, api_over(published) as api:
        headers = {"Authorization": f"Bearer {api.key}"}
        answers: list[int] = []

        def ask() -> None:
            response = client.post("/v1/search", json={"query": "glacier"}, headers=headers)
            answers.append(response.status_code)

        threads = [threading.Thread(target=ask) for _ in range(60)]
        for thread in threads:
            thread.start()
        service = client.app.state.service  # type: ignore[attr-defined]
        until(lambda: service.searching.borrowed_tokens == service.searching.total_tokens)
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        assert client.get("/metrics").status_code == 200
        assert client.get("/v1/contract", headers=headers).status_code == 200, (
            "no connection is held meanwhile"
        )
        model.go.set()
        for thread in threads:
            thread.join()
        assert answers == [200] * 60


def ready(api: Api) -> None:
    until(lambda: api.get("/readyz").status_code == 200)


def test_not_ready_without_the_registrys_file(api: Api) -> None:
    ready(api)
    path = Path(str(api.registry.url.database))
    away = path.with_suffix(".away")
    path.rename(away)
    error = error_of(api.get("/readyz"), 503, "not_ready")
    assert "registry" in error["message"]
    assert str(path) not in error["message"]
    path.write_bytes(b"this is not a database at all")
    error_of(api.get("/readyz"), 503, "not_ready")
    shutil.move(away, path)
    ready(api)


def test_not_ready_where_a_statement_fails(api: Api) -> None:
    ready(api)
    with api.registry.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE tenant RENAME TO gone")
    error = error_of(api.get("/readyz"), 503, "not_ready")
    assert "SELECT" not in error["message"]
    error_of(api.get("/v1/contract"), 503, "registry_unavailable")
    error_of(api.get("/metrics"), 503, "registry_unavailable")
    error_of(api.post({"query": "glacier"}), 503, "registry_unavailable")
    with api.registry.write() as session:
        session.connection().exec_driver_sql("ALTER TABLE gone RENAME TO tenant")
    ready(api)
    assert api.search("glacier").hits


def test_one_broken_index_is_that_tenants_trouble(api: Api) -> None:
    ready(api)
    first = api.world.tenant
    second = api.world.add_tenant("aaa")
    api.world.add_source("more")
    api.world.commit({"m1": text_about("granite")}, source="more")
    assert api.world.run().status == "published"
    key = api.new_key(second)
    shutil.rmtree(api.world.settings.index / second)
    api.world.store._verified.pop(GenerationRef(second, 1), None)  # type: ignore[attr-defined]
    ready(api)
    error_of(api.post({"query": "granite"}, key), 503, "index_unavailable")
    assert api.search("glacier").hits
    api.world.store._verified.pop(GenerationRef(first, 1), None)  # type: ignore[attr-defined]
    api.service.serving.close()
    shutil.rmtree(api.world.settings.index / first)
    error = error_of(api.get("/readyz"), 503, "not_ready")
    assert "index" in error["message"]


def test_ready_without_any_tenant(empty_world: World) -> None:
    with api_over_empty(empty_world) as client:
        until(lambda: client.get("/readyz").status_code == 200)


def api_over_empty(world: World) -> TestClient:
    model = SlowModel(world.encoder)
    model.go.set()
    return client_with(world, model)


# Metrics.


def samples(api: Api) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = api.get("/metrics", None)
    assert response.status_code == 200
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def test_metrics_say_what_the_registry_says(api: Api) -> None:
    tenant = ("tenant", api.world.tenant)
    api.world.clock.advance(60)
    found = samples(api)
    assert found["holdfast_live_generation", (tenant,)] == 1
    assert found["holdfast_documents", (tenant,)] == 10
    assert found["holdfast_chunks", (tenant,)] == api.world.live().chunks  # type: ignore[union-attr]
    assert found["holdfast_quarantined_documents", (tenant,)] == 0
    assert found["holdfast_generation_age_seconds", (tenant,)] == 60
    assert found["holdfast_canary_recall", (tenant,)] == 1.0
    assert found["holdfast_ingestion_held", (tenant,)] == 0
    assert found["holdfast_held_commits", (tenant,)] == 0
    assert found["holdfast_source_up", (("source", "docs"), tenant)] == 1
    assert found["holdfast_source_age_seconds", (("source", "docs"), tenant)] == 60
    assert found["holdfast_alerts_undelivered", ()] == 0


def test_metrics_change_with_what_happens(api: Api) -> None:
    tenant = ("tenant", api.world.tenant)
    api.world.commit({"d0": text_about("harbour", version=1)})
    assert api.world.run().status == "published"
    with api.registry.write() as session:
        publication.roll_back(session, api.world.tenant, api.world.clock())
    api.world.commit(deletes=["d1", "d2", "d3", "d4"])
    api.world.capture()
    api.world.script().fail("the disk is gone")
    api.world.capture()
    found = samples(api)
    assert found["holdfast_live_generation", (tenant,)] == 1
    assert found["holdfast_ingestion_held", (tenant,)] == 1
    assert found["holdfast_held_commits", (tenant,)] == 1
    assert found["holdfast_source_up", (("source", "docs"), tenant)] == 0
    assert found["holdfast_alerts_undelivered", ()] == len(api.world.alerts()) > 0


def test_recall_is_the_live_generations_not_a_refused_candidates(api: Api) -> None:
    api.world.ask_about({"nothing of the kind": ["d9"], "what does the harbour file say": ["d5"]})
    api.world.set_contract(recall_floor=1.0, k=1)
    api.world.commit({"d0": text_about("harbour", version=1)})
    assert api.world.run().status == "rejected"
    assert samples(api)["holdfast_canary_recall", (("tenant", api.world.tenant),)] == 1.0


def test_searches_are_counted_by_tenant_mode_and_outcome(api: Api) -> None:
    def count(mode: str, outcome: str) -> float:
        labels = (("mode", mode), ("outcome", outcome), ("tenant", api.world.tenant))
        return samples(api).get(("holdfast_searches_total", labels), 0)

    api.search("what does the glacier file say")
    api.search("what does the glacier file say", mode="dense")
    api.search("xylophone umbrella")
    api.post({"query": "glacier", "as_of": 99})
    api.post({"query": "glacier"}, None)
    api.world.set_contract(on_floor_unmet="refuse")
    api.post({"query": "xylophone umbrella"})
    assert count("hybrid", "answered") == 1
    assert count("dense", "answered") == 1
    assert count("hybrid", "flagged") == 1
    assert count("hybrid", "refused") == 1
    assert count("hybrid", "rejected") == 1
    found = samples(api)
    tenant = ("tenant", api.world.tenant)
    assert found["holdfast_searches_below_floor_total", (tenant,)] == 2
    assert found["holdfast_search_seconds_count", (("stage", "total"),)] == 3
    assert found["holdfast_http_requests_total", (("route", "/v1/search"), ("status", "401"))] == 1
    assert found["holdfast_http_requests_total", (("route", "/v1/search"), ("status", "200"))] == 3


def test_what_a_client_makes_up_is_no_label(api: Api) -> None:
    found = []
    for n in range(20):
        api.get(f"/made/up/{n}")
        api.post({"query": f"made up {n}", "filter": {f"made{n}": "up"}})
        found.append(samples(api))
    assert set(found[-1]) == set(found[1])
    assert "made" not in str(found[-1])


def test_two_sources_of_one_name_are_two_series(api: Api) -> None:
    first, second = api.world.tenant, api.world.add_tenant("other")
    with api.registry.write() as session:
        for tenant, name in ((second, "docs"), (None, "shared")):
            sources.add(session, name=name, tenant_id=tenant, kind="folder", uri="/x", owner="", options={},
                        consistency="observed", now=api.world.clock())  # fmt: skip
    found = {key[1] for key in samples(api) if key[0] == "holdfast_source_up"}
    assert found == {
        (("source", "docs"), ("tenant", first)),
        (("source", "docs"), ("tenant", second)),
        (("source", "shared"), ("tenant", "")),
    }


def test_a_scrape_of_many_tenants_takes_few_statements(api: Api) -> None:
    def statements() -> int:
        count = 0

        def counted(*_: object) -> None:
            nonlocal count
            count += 1

        event.listen(api.registry.engine, "before_cursor_execute", counted)
        try:
            samples(api)
        finally:
            event.remove(api.registry.engine, "before_cursor_execute", counted)
        return count

    before = statements()
    with api.registry.write() as session:
        for n in range(200):
            tenants.create(session, f"tenant-{n}", api.world.clock())
    assert statements() == before <= 12
    started = time.perf_counter()
    found = samples(api)
    assert time.perf_counter() - started < 2
    assert sum(key[0] == "holdfast_ingestion_held" for key in found) == 201


def test_a_suspended_tenant_is_in_no_gauge(api: Api) -> None:
    api.world.commit(unreadable={"locked": "permission denied"})
    api.world.run()
    with api.registry.write() as session:
        builds.begin(session, api.world.tenant, "run", "update", "", api.world.clock())
    api.suspend()
    assert not [
        key for key in samples(api) if ("tenant", api.world.tenant) in key[1] and "source_" not in key[0]
    ]


def test_dead_letters_are_counted_by_source_and_state(api: Api) -> None:
    def count(state: str) -> float:
        labels = (("source", "docs"), ("state", state), ("tenant", api.world.tenant))
        return samples(api).get(("holdfast_dead_letters", labels), 0)

    api.world.commit(unreadable={f"locked{n}": "permission denied" for n in range(3)})
    api.world.run()
    assert count("waiting") == 3
    with api.registry.write() as session:
        dead_letters.drop(session, api.world.tenant, "ann", api.world.clock(), ["locked0"])
    assert (count("waiting"), count("dropped")) == (2, 1)


def test_a_build_under_way_is_seen_with_what_is_left(api: Api) -> None:
    world, tenant = api.world, ("tenant", api.world.tenant)
    world.use_encoder(FakeEncoder("other"))
    found: list[dict[Any, float]] = []
    encode = world.encoder.encode

    def watched(texts: Any) -> Any:
        world.clock.advance(2)
        found.append(samples(api))
        return encode(texts)

    world.encoder.encode = watched  # type: ignore[method-assign]
    outcome = world.build("swap")
    labels = (("kind", "reindex"), ("stage", "embeddings"), tenant)
    second = found[1]
    assert second["holdfast_build_running", labels] == 1
    assert second["holdfast_build_done", labels] == 8
    assert second["holdfast_build_left", labels] == outcome.embedded - 8
    assert second["holdfast_build_rate", labels] == 4.0
    assert second["holdfast_build_eta_seconds", labels] == (outcome.embedded - 8) / 4
    assert not [key for key in samples(api) if key[0].startswith("holdfast_build")]


def test_every_metric_has_a_help_text(shared_api: Api) -> None:
    text = shared_api.get("/metrics").text
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        assert family.name.startswith("holdfast_")


# Generations and contract.


def test_generations_are_listed_newest_first(api: Api) -> None:
    api.world.set_contract(retained_generations=1)
    for version in (1, 2):
        api.world.commit({"d0": text_about("harbour", version=version)})
        assert api.world.run().status == "published"
    response = api.get("/v1/generations")
    assert response.status_code == 200
    found = [GenerationResponse.model_validate(entry) for entry in response.json()]
    assert [(g.generation, g.status) for g in found] == [(3, "live"), (2, "retained"), (1, "retired")]
    assert [g.sources for g in found] == [{"docs": f"c000{n}"} for n in (3, 2, 1)]
    assert all(g.documents == 10 and g.quarantined == 0 and g.quiescent for g in found)
    assert all(g.model == api.world.encoder.model.id and g.chunks > 0 for g in found)
    assert all(g.published_at is not None for g in found)


def test_generations_are_the_tenants_own(api: Api) -> None:
    other = api.world.add_tenant("other")
    assert api.get("/v1/generations", api.new_key(other)).json() == []
    assert len(api.get("/v1/generations").json()) == 1


def test_the_contract_in_force(api: Api) -> None:
    before = api.get("/v1/contract").json()
    assert (before["version"], before["k"], before["on_floor_unmet"]) == (1, 10, "flag")
    api.world.set_contract(k=7, owner="o@example.org")
    after = api.get("/v1/contract").json()
    assert (after["version"], after["k"], after["owner"]) == (2, 7, "o@example.org")
    assert after["hash"] != before["hash"]
    ContractResponse.model_validate(after)
    with api.registry.read() as session:
        assert contracts.current(session, api.world.tenant).hash == after["hash"]


# What is noted of a query.


def test_a_search_writes_nothing_itself_and_its_time_is_noted(api: Api) -> None:
    def noted() -> object:
        with api.registry.read() as session:
            return session.scalar(select(Tenant.last_query_at).where(Tenant.id == api.world.tenant))

    with api.registry.write() as session:  # the write lock is taken
        session.execute(select(Tenant))
        assert api.search("glacier").hits
    api.service.usage.flush()
    first = api.world.clock()
    assert noted() == first
    api.world.clock.advance(60)
    api.search("glacier")
    api.service.usage.flush()
    assert noted() == first, "not more often than every ten minutes"
    api.world.clock.advance(600)
    api.search("glacier")
    api.service.usage.flush()
    assert noted() == api.world.clock()


# OpenAPI.


def test_the_documented_schema_is_what_is_checked(shared_api: Api) -> None:
    document = shared_api.get("/openapi.json", None).json()
    search = document["paths"]["/v1/search"]["post"]
    schema = search["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == set(SearchRequest.model_fields)
    assert "tenant" not in schema["properties"]
    assert schema["additionalProperties"] is False
    assert search["security"] == [{"HTTPBearer": []}]
    assert search["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "SearchResponse"
    )


def test_every_route_documents_its_failures_in_the_one_shape(shared_api: Api) -> None:
    document = shared_api.get("/openapi.json", None).json()
    paths = document["paths"]
    assert set(paths) == {"/v1/search", "/v1/generations", "/v1/contract", "/healthz", "/readyz", "/metrics"}
    for path, methods in paths.items():
        for method in methods.values():
            assert method["summary"]
            assert "HTTPValidationError" not in str(method)
            for status, response in method["responses"].items():
                if not status.startswith("2"):
                    reference = response["content"]["application/json"]["schema"]["$ref"]
                    assert reference == "#/components/schemas/ErrorResponse", (path, status)
    assert set(paths["/v1/search"]["post"]["responses"]) == {
        "200", "401", "403", "404", "410", "413", "422", "500", "503",
    }  # fmt: skip
    assert ErrorResponse.__name__ in document["components"]["schemas"]


def test_every_reference_of_the_document_leads_somewhere(shared_api: Api) -> None:
    document = shared_api.get("/openapi.json", None).json()
    schemas = document["components"]["schemas"]

    def check(part: Any) -> None:
        if isinstance(part, dict):
            if "$ref" in part:
                assert part["$ref"].removeprefix("#/components/schemas/") in schemas
            for inner in part.values():
                check(inner)
        elif isinstance(part, list):
            for inner in part:
                check(inner)

    check(document)
    assert document["openapi"].startswith("3.1")


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_documentation_loads_nothing_from_elsewhere(shared_api: Api, page: str) -> None:
    told = shared_api.get(page, None)
    assert told.status_code == 200
    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", told.text)
    assert loaded
    for part in loaded:
        assert part.startswith("/"), f"{part} is another host's"
        assert shared_api.get(part, None).status_code == 200
