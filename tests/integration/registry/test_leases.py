"""Leases: one holder at a time, tokens that only grow, and the dead make way at once."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from registry import leases
from registry.clock import utc_now
from registry.database import Registry
from registry.errors import LeaseHeld, LeaseLost
from registry.leases import Holder
from tests.support.racing import acquire
from tests.support.registry_rows import START

ROOT = Path(__file__).parents[3]
ELSEWHERE = replace(Holder.current("elsewhere"), host="another.host")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_the_holder_keeps_its_token_and_others_wait(registry: Registry) -> None:
    me, other = Holder.current("me"), Holder.current("other")
    with registry.write() as session:
        assert leases.acquire(session, "l", me, 30, at(0)) == 1
        assert leases.acquire(session, "l", me, 30, at(10)) == 1
    with registry.write() as session, pytest.raises(LeaseHeld, match="l is held by me") as held:
        leases.acquire(session, "l", other, 30, at(39))
    assert held.value.holder == "me"
    with registry.write() as session:
        assert leases.acquire(session, "l", other, 30, at(40)) == 2
        assert leases.acquire(session, "another", me, 30, at(40)) == 1


def test_what_was_taken_over_cannot_be_kept_or_given_back(registry: Registry) -> None:
    with registry.write() as session:
        old = leases.acquire(session, "l", ELSEWHERE, 30, at(0))
        new = leases.acquire(session, "l", Holder.current("me"), 30, at(31))
    with registry.write() as session, pytest.raises(LeaseLost):
        leases.renew(session, "l", old, 30, at(32))
    with registry.write() as session:
        leases.release(session, "l", old)
        leases.release_holder(session, "l", ELSEWHERE)
        assert not leases.is_current(session, "l", old)
        assert leases.is_current(session, "l", new)
        with pytest.raises(LeaseHeld):
            leases.acquire(session, "l", ELSEWHERE, 30, at(33))


def test_a_renewed_lease_lasts(registry: Registry) -> None:
    with registry.write() as session:
        token = leases.acquire(session, "l", ELSEWHERE, 30, at(0))
        leases.renew(session, "l", token, 30, at(29))
        with pytest.raises(LeaseHeld):
            leases.acquire(session, "l", Holder.current("me"), 30, at(58))
        with pytest.raises(LeaseLost):
            leases.renew(session, "never taken", 1, 30, at(0))


@pytest.mark.parametrize("by", ["token", "holder"])
def test_what_is_given_back_is_free_with_a_greater_token(registry: Registry, by: str) -> None:
    with registry.write() as session:
        token = leases.acquire(session, "l", ELSEWHERE, 30, at(0))
        if by == "token":
            leases.release(session, "l", token)
        else:
            leases.release_holder(session, "l", ELSEWHERE)
        assert leases.is_current(session, "l", token)
        assert leases.acquire(session, "l", Holder.current("me"), 30, at(1)) == token + 1


def test_a_barred_lease_is_nobodys(registry: Registry) -> None:
    with registry.write() as session:
        token = leases.acquire(session, "l", ELSEWHERE, 30, at(0))
        for name in ("l", "never taken"):
            leases.bar(session, name)
            with pytest.raises(LeaseHeld):
                leases.acquire(session, name, Holder.current("me"), 30, at(1e10))
        assert not leases.is_current(session, "l", token)


actions = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "renew", "release", "wait"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 40),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions)
def test_tokens_only_grow_and_only_the_newest_is_current(
    registry: Registry, history: list[tuple[str, str, int]]
) -> None:
    now, owner, expires, newest = 0, "", -1, 0
    tokens: dict[str, int] = {}
    with Session(registry.engine) as session:
        for action, name, seconds in history:
            holder, token = replace(ELSEWHERE, name=name), tokens.get(name, -1)
            if action == "wait":
                now += seconds
            elif action == "release":
                leases.release(session, "l", token)
                expires = -1 if token == newest else expires
            elif action == "renew" and token == newest:
                leases.renew(session, "l", token, 30, at(now))
                expires = now + 30
            elif action == "renew":
                with pytest.raises(LeaseLost):
                    leases.renew(session, "l", token, 30, at(now))
            elif expires > now and owner != name:
                with pytest.raises(LeaseHeld):
                    leases.acquire(session, "l", holder, 30, at(now))
            else:
                kept = owner == name and expires >= 0
                newest = newest if kept else newest + 1
                assert leases.acquire(session, "l", holder, 30, at(now)) == newest
                tokens[name], owner, expires = newest, name, now + 30
            assert [n for n, t in tokens.items() if leases.is_current(session, "l", t)] == (
                [owner] if owner else []
            )
        session.rollback()


def test_a_killed_process_makes_way_at_once(registry: Registry, registry_url: str) -> None:
    code = f"from tests.support.racing import hold; hold({registry_url!r}, 'l')"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        me = Holder.current("me")
        with registry.write() as session, pytest.raises(LeaseHeld, match=str(process.pid)):
            leases.acquire(session, "l", me, 30, utc_now())
        process.kill()
        process.wait()
        with registry.write() as session:
            assert leases.acquire(session, "l", me, 30, utc_now()) == 2


def test_of_two_processes_one_wins(registry_url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(acquire, [(registry_url, "warm-up", name) for name in "ab"], chunksize=1)
        for race in range(10):
            calls = [(registry_url, f"race-{race}", name) for name in "ab"]
            assert sorted(pool.starmap(acquire, calls, chunksize=1), key=str) == [1, None]


def test_of_two_threads_one_wins_a_free_lease_and_a_lapsed_one(registry: Registry) -> None:
    barrier, won = threading.Barrier(2), []

    def race(name: str, round_: int) -> None:
        barrier.wait()
        try:
            with registry.write() as session:
                won.append(leases.acquire(session, "l", Holder.current(name), 30, at(100 * round_)))
        except LeaseHeld:
            won.append(None)

    for round_ in range(10):
        threads = [threading.Thread(target=race, args=(f"{name}{round_}", round_)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won[-2:], key=str) == [round_ + 1, None]
