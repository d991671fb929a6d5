"""The capturer's loop: a source that hangs keeps no other from being looked at, and an error of ours ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from pipelines.capture.capturer import Captured
from pipelines.capture.continuous import ContinuousCapture
from tests.support.scripted_source import ScriptedSource
from tests.support.world import World, empty_world, migrated_home, world

__all__ = ["empty_world", "migrated_home", "world"]


class Loop:
    """The loop in a thread of its own, and what it said."""

    def __init__(self, world: World) -> None:
        self.stop = threading.Event()
        self.heard = threading.Condition()
        self.said: list[Captured] = []
        self.error: BaseException | None = None
        self._capture = ContinuousCapture(world.ingestion.capturer, 0.005, self._hear)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _hear(self, captured: Captured) -> None:
        with self.heard:
            self.said.append(captured)
            self.heard.notify_all()

    def _run(self) -> None:
        try:
            self._capture.run(self.stop)
        except BaseException as error:
            self.error = error

    def wait_for(self, source: str, commits: int) -> None:
        def there() -> bool:
            return sum(one.commits for one in self.said if one.source == source) >= commits

        with self.heard:
            assert self.heard.wait_for(there, 30), f"{source} was not looked at"

    def end(self) -> None:
        self.stop.set()
        self.thread.join()


@pytest.fixture
def hanging(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A source `slow` that hangs in its reads until the event is set."""
    world.add_source("slow")
    released = threading.Event()
    read = ScriptedSource.read

    def hang(self: ScriptedSource, *arguments: object) -> object:
        if "slow" in str(self._script.path):
            released.wait(60)
        return read(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ScriptedSource, "read", hang)
    yield released
    released.set()


def test_a_source_that_hangs_keeps_no_other_waiting(world: World, hanging: threading.Event) -> None:
    loop = Loop(world)
    try:
        for number in range(3):
            world.commit({f"d{number}": "text"})
            loop.wait_for("docs", number + 1)
        world.commit({"late": "text"}, source="slow")
        assert not [one for one in loop.said if one.source == "slow"]
        hanging.set()
        loop.wait_for("slow", 1)
    finally:
        hanging.set()
        loop.end()
    assert loop.error is None


def test_what_is_no_source_s_fault_ends_the_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the registry is gone")

    monkeypatch.setattr(type(world.ingestion.capturer), "catch_up", broken)
    loop = Loop(world)
    loop.thread.join(30)
    assert not loop.thread.is_alive()
    assert str(loop.error) == "the registry is gone"
