"""People's decisions, by the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cli.main import main
from registry import sources
from registry.settings import settings
from tests.acceptance.crash import homes, slotted_source
from tests.acceptance.crash.homes import LATER, opened
from tests.acceptance.crash.scenarios.build import commit, published, run_to_the_end, two_generations
from tests.acceptance.crash.scenarios.capture import wiki_of, write_wiki
from tests.acceptance.crash.scenarios.scenario import upon
from tests.support.world import MAX_BYTES, TOPICS


def command(home: Path, *arguments: str) -> int:
    """`holdfast …`, and its exit status."""
    os.environ["HOLDFAST_HOME"] = str(home)  # this process is a child, and ends soon
    settings.cache_clear()
    try:
        main([*arguments, "--json"])
    except SystemExit as ended:
        return int(ended.code or 0)


@upon(published)
def letter_retried(home: Path) -> None:
    """A document could not be parsed; a person wants it tried again, and it still cannot."""
    with opened(home) as world:
        commit(world, 2, {"d10": "too large, whatever it says " * (MAX_BYTES // 20)})
        assert world.run().status == "published"
    assert command(home, "deadletter", "retry", "--tenant", "acme", "--by", "me") == 0


def remove_source(home: Path) -> None:
    slotted_source.install()
    assert command(home, "source", "remove", "docs", "--tenant", "acme") == 0


def source_removed(home: Path) -> Any:
    """Its slot is gone from its server, and nothing of it is found any more."""
    assert (home / "docs.dropped").exists()
    with opened(home, LATER) as world:
        assert world.found(f"what does the {TOPICS[3]} file say") == []
        with world.registry.read() as session:
            assert sources.present(session) == []
        return homes.state(world)


def wiki_written(home: Path) -> None:
    homes.migrated(home)
    with opened(home) as world:
        world.add_tenant()
    write_wiki(home)


def add_wiki(home: Path) -> int:
    options = ("table=pages", "key=id", "body=body", "quiescence=0")
    given = [word for option in options for word in ("--option", option)]
    uri = str(wiki_of(home))
    return command(
        home, "source", "add", "docs", "--tenant", "acme", "--kind", "sqlite", "--uri", uri, *given
    )


def add_wiki_and_run(home: Path) -> None:
    """Added again; where it was added already, that is said."""
    assert add_wiki(home) in (0, 2)
    run_to_the_end(home)


@upon(two_generations)
def rolled_back(home: Path) -> None:
    assert command(home, "rollback", "--tenant", "acme") == 0


def roll_back(home: Path) -> None:
    command(home, "rollback", "--tenant", "acme", "--to", "1")


def is_rolled_back(home: Path) -> None:
    with opened(home) as world:
        live = world.live()
        assert live is not None
        assert live.number == 1
        assert world.run().status == "held"


def resume(home: Path) -> None:
    assert command(home, "resume", "--tenant", "acme") == 0


@upon(published)
def losing_half(home: Path) -> None:
    """Half of the documents were deleted at once: held until somebody says that it was meant."""
    with opened(home) as world:
        commit(world, 2, deletes=[f"d{n}" for n in range(5)])
        world.capture()
        assert world.run().status == "held"


def confirm(home: Path) -> None:
    assert command(home, "deletion", "confirm", "--tenant", "acme", "--by", "me") == 0


def reject(home: Path) -> None:
    assert command(home, "deletion", "reject", "--tenant", "acme", "--by", "me") == 0
