"""Open shards: bounded, opened once, closed after their last query and never during one."""

from __future__ import annotations

import random
import threading

import pytest

from retrieval.index.edge.open_shards import OpenShards


class Shard:
    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name, self.closed = log, name, False
        log.append(f"open {name}")

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        self.log.append(f"close {self.name}")


@pytest.fixture
def log() -> list[str]:
    return []


def test_a_shard_is_opened_once_and_kept(log: list[str]) -> None:
    shards = OpenShards(2)
    for _ in range(3):
        with shards.use("a", lambda: Shard(log, "a")):
            pass
    assert log == ["open a"]


def test_the_least_recently_used_is_closed(log: list[str]) -> None:
    shards = OpenShards(2)
    for name in ("a", "b", "a", "c"):
        with shards.use(name, lambda name=name: Shard(log, name)):
            pass
    assert log == ["open a", "open b", "close b", "open c"]
    assert shards.open_keys() == ["a", "c"]


def test_a_shard_in_use_closes_after_its_last_query(log: list[str]) -> None:
    shards = OpenShards(1)
    with shards.use("a", lambda: Shard(log, "a")) as first:
        with shards.use("a", lambda: Shard(log, "a")) as second, shards.use("b", lambda: Shard(log, "b")):
            assert not first.closed
        assert second is first
        assert not first.closed
    assert first.closed
    shards.close()
    assert log == ["open a", "open b", "close a", "close b"]


def test_a_discarded_shard_is_opened_anew(log: list[str]) -> None:
    shards = OpenShards(2)
    with shards.use("a", lambda: Shard(log, "a")) as old:
        shards.discard("a")
        assert not old.closed
        with shards.use("a", lambda: Shard(log, "a")) as new:
            assert new is not old
    shards.discard("never opened")
    assert log == ["open a", "open a", "close a"]


def test_a_failed_opening_is_tried_again(log: list[str]) -> None:
    shards = OpenShards(2)

    def fail() -> Shard:
        raise OSError("no")

    with pytest.raises(OSError, match="no"), shards.use("a", fail):
        pass
    with shards.use("a", lambda: Shard(log, "a")):
        pass
    shards.close()
    assert log == ["open a", "close a"]


def test_at_least_one_must_fit() -> None:
    with pytest.raises(ValueError, match="at least one"):
        OpenShards(0)


def test_many_threads_never_see_a_closed_shard(log: list[str]) -> None:
    shards = OpenShards(3)
    wrong: list[BaseException] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(400):
                name = rng.choice("abcdefg")
                with shards.use(name, lambda name=name: Shard(log, name)) as shard:
                    assert shard.name == name
                    assert not shard.closed
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    shards.close()
    assert sum(line.startswith("open") for line in log) == sum(line.startswith("close") for line in log)
