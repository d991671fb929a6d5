"""The same answers from a registry in PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from registry import publication
from tests.support import scripted_source
from tests.support.api import api_over, error_of
from tests.support.world import TOPICS, World, text_about


def test_a_search_from_key_to_rollback(postgres_url: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    world = World(home, registry_url=postgres_url)
    try:
        world.add_tenant()
        world.add_source()
        world.commit({f"d{n}": text_about(topic) for n, topic in enumerate(TOPICS[:10])})
        assert world.run().status == "published"
        with api_over(world) as api:
            api.service.serving._patience = 30.0
            assert api.found("what does the glacier file say")[0] == "d1"
            world.commit(deletes=["d1"])
            world.capture()
            answer = api.search("glacier", k=50)
            assert (answer.generation, answer.hidden_since) == (1, 1)
            assert "d1" not in {hit.document for hit in answer.hits}
            assert world.run().status == "published"
            assert api.search("harbour").generation == 2
            assert api.search("harbour", as_of=1).hidden_since == 1
            with world.registry.write() as session:
                publication.roll_back(session, world.tenant, world.clock())
            assert api.search("harbour").generation == 1
            error_of(api.post({"query": "a", "as_of": 2**31 - 1}), 410, "generation_not_served")
            assert [entry["generation"] for entry in api.get("/v1/generations").json()] == [2, 1]
            assert f'holdfast_documents{{tenant="{world.tenant}"}} 10.0' in api.get("/metrics").text
            api.service.housekeeping.round()
            api.revoke(api.key)
            error_of(api.post({"query": "harbour"}), 401, "key_revoked")
    finally:
        world.close()
        scripted_source.uninstall()
