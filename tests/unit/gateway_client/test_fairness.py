"""Lanes and tenants: who is next."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_client.fairness import Head, Room, guaranteed, next_head, next_lane, on_arrival, suggested_wait
from gateway_client.lanes import Lane

rooms = st.builds(
    Room,
    window=st.integers(1, 50),
    interactive=st.integers(0, 50),
    batch=st.integers(0, 50),
    headroom=st.integers(0, 49),
    batch_minimum=st.integers(0, 50),
)


@given(rooms, st.booleans(), st.booleans(), st.booleans())
def test_nobody_beyond_the_window_and_only_who_waits(
    room: Room, interactive: bool, batch: bool, overdue: bool
) -> None:
    lane = next_lane(room, interactive, batch, overdue and batch)
    if room.free <= 0:
        assert lane is None
    if lane is Lane.INTERACTIVE:
        assert interactive
    if lane is Lane.BATCH:
        assert batch


@given(rooms, st.booleans(), st.booleans())
def test_batch_never_enters_the_headroom_but_for_its_minimum(
    room: Room, interactive: bool, overdue: bool
) -> None:
    if next_lane(room, interactive, True, overdue) is Lane.BATCH:
        assert room.batch < room.window - room.headroom or room.batch < guaranteed(room)


@given(rooms, st.booleans())
def test_interactive_goes_before_batch_that_has_its_minimum_and_is_not_late(room: Room, batch: bool) -> None:
    if room.free > 0 and room.batch >= guaranteed(room):
        assert next_lane(room, True, batch, overdue=False) is Lane.INTERACTIVE


def test_batch_has_its_minimum_first_and_goes_first_when_overdue() -> None:
    room = Room(window=10, interactive=0, batch=1, headroom=2, batch_minimum=2)
    assert next_lane(room, True, True, overdue=False) is Lane.BATCH
    room = Room(window=10, interactive=0, batch=2, headroom=2, batch_minimum=2)
    assert next_lane(room, True, True, overdue=False) is Lane.INTERACTIVE
    assert next_lane(room, True, True, overdue=True) is Lane.BATCH
    full = Room(window=10, interactive=0, batch=8, headroom=2, batch_minimum=2)
    assert next_lane(full, False, True, overdue=True) is None, "late or not, the headroom is not batch's"


def test_a_small_window_is_not_all_batchs() -> None:
    assert guaranteed(Room(window=4, interactive=0, batch=0, headroom=1, batch_minimum=9)) == 2
    assert guaranteed(Room(window=1, interactive=0, batch=0, headroom=0, batch_minimum=9)) == 1


@given(st.lists(st.floats(0, 1e9), min_size=1), st.none() | st.floats(0, 1e9), st.floats(0, 1e9))
def test_idle_time_banks_no_credit(others: list[float], own: float | None, virtual: float) -> None:
    level = on_arrival(own, others, virtual)
    assert level >= min(others)
    assert own is None or level >= own


def test_the_tenant_that_had_least_is_next_and_ties_go_by_age() -> None:
    heads = [Head("a", 5.0, 2, 0.0), Head("b", 3.0, 9, 0.0), Head("c", 3.0, 4, 0.0)]
    found = next_head(heads)
    assert found is not None
    assert found.tenant == "c"
    assert next_head([]) is None


def simulate(
    sizes: dict[str, int], joins: dict[str, int], rounds: int, draw: random.Random
) -> dict[str, int]:
    """Tokens served to tenants that are always backlogged from the round on in which they join."""
    served: dict[str, float] = {}
    had = dict.fromkeys(sizes, 0)
    virtual = 0.0
    for number in range(rounds):
        for tenant, at in joins.items():
            if at == number:
                served[tenant] = on_arrival(None, served.values(), virtual)
        head = next_head(Head(t, s, 0, 0.0) for t, s in served.items())
        assert head is not None
        used = draw.randint(1, sizes[head.tenant])
        virtual = max(virtual, served[head.tenant])
        served[head.tenant] += used
        had[head.tenant] += used
    return had


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_ten_tenants_of_unequal_sizes_get_equal_tokens(seed: int) -> None:
    draw = random.Random(seed)
    sizes = {f"t{number}": draw.randint(10, 400) for number in range(10)}
    joins = dict.fromkeys(sizes, 0)
    had = list(simulate(sizes, joins, 3000, draw).values())
    assert sum(had) ** 2 / (len(had) * sum(x * x for x in had)) > 0.99


def test_a_late_tenant_shares_from_then_on_and_catches_nothing_up() -> None:
    draw = random.Random(1)
    sizes = {"early": 100, "late": 100}
    had = simulate(sizes, {"early": 0, "late": 1000}, 2000, draw)
    assert 2.7 < had["early"] / had["late"] < 3.3


def test_a_wait_is_suggested_by_the_queue() -> None:
    assert suggested_wait(100, 10, 2.0) == 20.0
    assert suggested_wait(0, 10, 0.0) == 0.1
