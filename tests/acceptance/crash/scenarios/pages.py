"""The pages of real sources, and what an index of them must say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.acceptance.crash import homes
from tests.acceptance.crash.homes import LATER, opened
from tests.support.world import TOPICS, text_about


def tree(numbers: Any, edited: Any = ()) -> dict[bytes, Any]:
    return {f"d{n}.md".encode(): page(n, 2 if n in edited else 1).encode() for n in numbers}


def page(number: int, version: int = 1) -> str:
    return f"# {TOPICS[number]}\n\n{text_about(TOPICS[number], version=version)}\n"


def write_pages(place: Path, numbers: Any, version: int = 1) -> None:
    for number in numbers:
        (place / f"d{number}.md").write_text(page(number, version), encoding="utf-8")


def run_real(home: Path) -> None:
    with opened(home) as world:
        captured = world.capture()
        assert not [one.error for one in captured if one.error], captured
        world.run()


def texts_of_source(home: Path) -> Any:
    """What the index says, by document: what the source says decides whether that is right."""
    with opened(home, LATER) as world:
        assert homes.untidy(world) == []
        texts = {key.removesuffix(".md"): " ".join(found) for key, found in world.texts().items()}
        right = {f"d{n}": page(n, 2 if "edition 2" in texts.get(f"d{n}", "") else 1) for n in range(10)}
        for key, found in texts.items():
            assert found.split()[-5:] == right[key].split()[-5:]
        assert "d7" not in texts
        assert "edition 2" in texts["d0"]
        known = homes.state(world)
        # When a folder was looked at, and so what its commits are called, is another time after a kill.
        for name in ("digest", "points", "commits", "positions"):
            known.pop(name)
        return known | {"texts": texts}
