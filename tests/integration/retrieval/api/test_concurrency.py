"""Many threads, several tenants, publications, deletions and rollbacks in between."""

from __future__ import annotations

import random
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry import publication
from tests.support import scripted_source
from tests.support.api import Api, api_over
from tests.support.world import World, text_about

TENANTS = ("acme", "beta", "gamma", "delta")
THREADS = 16
PAUSE = 0.05  # leaves the publications some of two cores


@pytest.fixture
def crowded(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    """Four tenants in a process that keeps three generations open at most."""
    home = tmp_path / "home"
    shutil.copytree(migrated_home, home)
    opened = World(home, open_generations=3)
    yield opened
    opened.close()
    scripted_source.uninstall()


class Crowd:
    """Threads that ask, and what they were told."""

    def __init__(self, api: Api, keys: dict[str, str]) -> None:
        self.api = api
        self.keys = keys
        self.stop = threading.Event()
        self.flaws: list[str] = []
        self.answers = 0
        self.generations: dict[str, list[int]] = defaultdict(list)
        self.threads = [threading.Thread(target=self._ask, args=(seed,)) for seed in range(THREADS)]

    def _ask(self, seed: int) -> None:
        chance = random.Random(seed)
        newest: dict[str, int] = defaultdict(int)
        while not self.stop.is_set():
            tenant = chance.choice(TENANTS)
            body = {
                "query": f"the {chance.choice(TENANTS)} report",
                "mode": chance.choice(["hybrid", "dense", "lexical"]),
                "collapse": chance.choice([None, "document"]),
                "k": chance.choice([1, 10, 100]),
            }
            response = self.api.post(body, self.keys[tenant])
            self.answers += 1
            if response.status_code != 200:
                self.flaws.append(f"{tenant}: {response.text}")
                continue
            found = response.json()
            if found["tenant"] != tenant or any(tenant not in hit["document"] for hit in found["hits"]):
                self.flaws.append(f"{tenant} was given {response.text}")
            if found["generation"] < newest[tenant]:
                self.flaws.append(f"{tenant} went from {newest[tenant]} back to {found['generation']}")
            newest[tenant] = found["generation"]
            self.stop.wait(PAUSE)

    def __enter__(self) -> Crowd:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)


def opened(api: Api) -> dict[str, str]:
    """Four published tenants; a key of each."""
    found = {}
    for name in TENANTS:
        tenant = api.world.tenant if name == "acme" else api.world.add_tenant(name)
        api.world.tenant = tenant
        api.world.add_source(f"{name}-docs")
        documents = {f"{name}{n}": text_about(f"{name}", version=n) for n in range(4)}
        api.world.commit(documents, source=f"{name}-docs")
        assert api.world.run(tenant).status == "published"
        found[name] = api.new_key(tenant)
    return found


def tenant_ids(api: Api) -> dict[str, str]:
    from registry import tenants

    with api.registry.read() as session:
        return {name: tenants.find(session, name).id for name in TENANTS}


def test_sixteen_threads_four_tenants_and_publications_in_between(crowded: World) -> None:
    crowded.add_tenant("acme")
    with api_over(crowded) as api:
        keys = opened(api)
        ids = tenant_ids(api)
        with Crowd(api, keys) as crowd:
            for name in TENANTS:
                crowded.commit({f"{name}0": text_about(name, version=10)}, source=f"{name}-docs")
                outcome = crowded.run(ids[name])
                assert outcome.status == "published", outcome.reason
                api.service.housekeeping.round()
        assert crowd.flaws == []
        assert crowd.answers > 50
        api.service.serving._patience = 30.0
        for name, key in keys.items():
            assert api.search("report", key).generation == 2, name


def test_the_generation_goes_back_with_a_rollback_and_no_further(crowded: World) -> None:
    crowded.add_tenant("acme")
    with api_over(crowded) as api:
        keys = opened(api)
        crowded.tenant = tenant_ids(api)["acme"]
        crowded.commit({"acme0": text_about("acme", version=9)}, source="acme-docs")
        assert crowded.run().status == "published"
        api.service.serving._patience = 30.0
        assert api.search("report", keys["acme"]).generation == 2
        with crowded.registry.write() as session:
            publication.roll_back(session, crowded.tenant, crowded.clock())
        seen: list[int] = []
        threads = [
            threading.Thread(target=lambda: seen.append(api.search("report", keys["acme"]).generation))
            for _ in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert seen == [1] * THREADS


def test_deletions_are_seen_by_every_thread_from_their_capture_on(crowded: World) -> None:
    crowded.add_tenant("acme")
    with api_over(crowded) as api:
        keys = opened(api)
        crowded.tenant = tenant_ids(api)["acme"]
        gone: set[str] = set()
        flaws: list[str] = []
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                before = set(gone)
                found = set(api.found("the acme report", keys["acme"], k=50))
                if found & before:
                    flaws.append(f"{found & before} is back")

        crowded.set_contract(mass_deletion_share=1.0)
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for n in range(3):
            crowded.commit(deletes=[f"acme{n}"], source="acme-docs")
            crowded.capture()
            gone.add(f"acme{n}")
            if n == 1:
                assert crowded.run().status == "published"
        stop.set()
        for thread in threads:
            thread.join(60)
        assert flaws == []
        assert api.found("the acme report", keys["acme"], k=50) == ["acme3"]
