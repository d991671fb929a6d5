"""A tenant cannot be reached from another, and does not even shift another's scores."""

from __future__ import annotations

import re
from typing import Any

from registry import keys
from tests.support.api import Api, error_of
from tests.support.world import TOPICS, text_about

QUERIES = ("what does the glacier file say", "harbour3 matters", "the file says", "granite falcon")


def scores(api: Api, key: str) -> list[Any]:
    found = []
    for query in QUERIES:
        for mode in ("hybrid", "dense", "lexical"):
            hits = api.search(query, key, mode=mode, k=50).hits
            found.append(
                [(h.chunk_id, h.score.hex(), h.dense_score, h.lexical_score, h.document) for h in hits]
            )
    return found


def add_tenant(api: Api, name: str, documents: dict[str, str]) -> str:
    """Another tenant with documents of its own; a key of it. The world's tenant stays who it was."""
    first = api.world.tenant
    tenant = api.world.add_tenant(name)
    api.world.add_source(f"{name}-docs")
    api.world.commit(documents, source=f"{name}-docs")
    assert api.world.run().status == "published"
    api.world.tenant = first
    return api.new_key(tenant)


def test_scores_are_the_same_to_the_bit_whether_or_not_another_tenant_exists(api: Api) -> None:
    before = scores(api, api.key)
    add_tenant(api, "other", {f"d{n}": text_about("glacier", version=n) for n in range(12)})
    assert scores(api, api.key) == before


def test_two_tenants_with_the_same_documents_get_the_same_scores(api: Api) -> None:
    same = {f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])}
    other = add_tenant(api, "other", same)

    def without_ids(found: list[Any]) -> list[list[Any]]:
        return [sorted(hit[1:] for hit in hits) for hits in found]

    assert without_ids(scores(api, other)) == without_ids(scores(api, api.key))


def test_each_key_finds_its_own_tenants_documents_only(api: Api) -> None:
    other = add_tenant(api, "other", {"d1": text_about("glacier", version=77), "x": text_about("zephyr")})
    mine = api.search("what does the glacier file say", k=50)
    theirs = api.search("what does the glacier file say", other, k=50)
    assert (mine.tenant, theirs.tenant) == ("acme", "other")
    assert "edition 77" not in " ".join(hit.text for hit in mine.hits)
    assert {hit.document for hit in theirs.hits} <= {"d1", "x"}
    assert not {hit.chunk_id for hit in mine.hits} & {hit.chunk_id for hit in theirs.hits}
    for filter_ in (
        {"source": "docs"},
        {"document": "d5"},
        {"tenant": "acme"},
        {"tenant_id": api.world.tenant},
    ):
        assert api.search("glacier", other, filter=filter_).hits == []


def test_as_of_is_the_tenants_own_number(api: Api) -> None:
    other = add_tenant(api, "other", {"x": text_about("zephyr")})
    api.world.commit({"d0": text_about("harbour", version=1)})
    assert api.world.run().status == "published"
    assert api.search("harbour", as_of=2).generation == 2
    error_of(api.post({"query": "harbour", "as_of": 2}, other), 410, "generation_not_served")


def test_a_deletion_is_the_tenants_own(api: Api) -> None:
    other = add_tenant(api, "other", {"d1": text_about("glacier")})
    api.world.commit(deletes=["d1"])
    api.world.capture()
    assert api.search("glacier").hidden_since == 1
    answer = api.search("glacier", other)
    assert (answer.hidden_since, answer.hits[0].document) == (0, "d1")


def test_one_tenants_contract_suspension_and_keys_touch_no_other(api: Api) -> None:
    other = add_tenant(api, "other", {"x": text_about("zephyr")})
    api.world.set_contract(on_floor_unmet="refuse", result_floor_cosine=1.0)
    error_of(api.post({"query": "zephyr"}), 422, "result_floor_unmet")
    assert api.search("zephyr", other).floor.cosine_floor == 0.25
    api.suspend()
    error_of(api.post({"query": "zephyr"}), 403, "key_suspended")
    assert api.search("zephyr", other).hits
    assert api.get("/v1/contract", other).json()["on_floor_unmet"] == "flag"


def test_a_secret_of_one_key_is_no_good_with_the_id_of_another(api: Api) -> None:
    other = add_tenant(api, "other", {"x": text_about("zephyr")})
    _, mine, _ = api.key.split("_")
    _, _, secret = other.split("_")
    error_of(api.post({"query": "zephyr"}, f"hf_{mine}_{secret}"), 401, "key_unknown")
    assert keys.KEY.fullmatch(f"hf_{mine}_{secret}")


def test_metrics_name_each_tenant_by_its_id(api: Api) -> None:
    other = add_tenant(api, "other", {"x": text_about("zephyr")})
    api.search("glacier")
    api.search("zephyr", other)
    text = api.get("/metrics", None).text
    for key in (api.key, other):
        with api.registry.read() as session:
            tenant = keys.authenticate(session, key, api.world.clock())
        assert f'holdfast_searches_total{{mode="hybrid",outcome="answered",tenant="{tenant.id}"}} 1.0' in text
    for secret in ("glacier", "zephyr", "d1", api.key, other):
        # A whole word: an identifier's random part may well hold a "d1".
        assert not re.search(rf"\b{re.escape(secret)}\b", text)
