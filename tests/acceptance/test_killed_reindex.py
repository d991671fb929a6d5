"""A reindex under another model, killed by SIGKILL again and again: at most the batch in flight is embedded twice.

What came of it is what a build from nothing in a new home makes of the same pin.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from registry import builds, generations
from registry.crash_points import VARIABLE
from tests.acceptance.crash.fresh import FreshBuilds, served_generation
from tests.support.command_line import ROOT
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]

BATCH = 16
RUN = """
import sys
from datetime import timedelta
from pathlib import Path
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import START, SetClock, World

home, tenant, journal, hours = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
world = World(home, clock=SetClock(START + timedelta(hours=hours)), embedding_batch=16)
world.tenant = tenant
world.use_encoder(FakeEncoder("other", journal=journal))
world.build(f"run-{hours}")
"""
KILLS = ("embed:before-commit#3", "embed:after-commit#4", "begin:after-commit", "stage:before-seal")


def run(world: World, journal: Path, hours: int, crash_at: str = "") -> int:
    arguments = [sys.executable, "-c", RUN, str(world.home), world.tenant, str(journal), str(hours)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: crash_at}
    return subprocess.run(arguments, env=environment, cwd=ROOT, check=False, timeout=120).returncode


@pytest.mark.timeout(300)
def test_a_reindex_goes_on_from_each_kill(published: World, tmp_path: Path) -> None:
    published.commit({f"e{n}": text_about(f"extra{n}") for n in range(80)})
    assert published.run().status == "published"
    texts = {text for chunks in published.texts().values() for text in chunks}
    journal = tmp_path / "journal"
    for hours, point in enumerate(KILLS, start=1):
        assert run(published, journal, hours, point) == -signal.SIGKILL, point
        with published.reading() as session:
            (build,) = builds.under_way(session, published.clock())
        assert (build.kind, build.running) == ("reindex", False)
        assert published.found("glacier file")[0] == "d1", "what is live goes on serving"
    assert run(published, journal, 9) == 0
    encoded = Counter(journal.read_text().split())
    assert len(encoded) == len(texts)
    assert sum(encoded.values()) - len(encoded) == BATCH, "one kill had a batch in flight"
    with published.reading() as session:
        built = max(generations.of_tenant(session, published.tenant, ["candidate"]), key=lambda g: g.number)
    published.clock.advance(36_000)
    published.use_encoder(FakeEncoder("other"))
    outcome = published.ingestion.build(published.tenant, "anew", anew=True)
    with published.reading() as session:
        anew = generations.get(session, published.tenant, outcome.generation or 0)
    assert (outcome.embedded, anew.digest) == (0, built.digest)
    found = served_generation(published, published.home, "acme", built)
    assert {chunk.text for chunk in found.chunks.values()} == texts
    FreshBuilds(tmp_path).compare(published.home, [found], model="other")
