from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipelines.pin.quiet_point import Choice, CommitTime, choose

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def commits(*seconds: float) -> list[CommitTime]:
    return [CommitTime(seq, at(second)) for seq, second in enumerate(seconds, start=1)]


def naive(
    times: list[int], now: int, quiescence: int, max_staleness: int, barrier: int | None, excluded: set[int]
) -> Choice | None:
    """The design, sentence by sentence, over plain seconds."""

    def may(seq: int) -> bool:
        return (barrier is None or seq < barrier) and seq not in excluded

    def quiet(seq: int) -> bool:
        follower = times[seq] if seq < len(times) else now
        return follower - times[seq - 1] >= quiescence

    allowed = [seq for seq in range(1, len(times) + 1) if may(seq)]
    quiet_ones = [seq for seq in allowed if quiet(seq)]
    if quiet_ones:
        return Choice(max(quiet_ones), True)
    if allowed and now - times[0] > max_staleness:
        return Choice(max(allowed), False)
    return None


histories = st.lists(st.integers(0, 40), max_size=8).map(sorted)


@given(
    times=histories,
    later=st.integers(-3, 60),
    quiescence=st.integers(0, 15),
    max_staleness=st.integers(0, 60),
    barrier=st.none() | st.integers(1, 9),
    excluded=st.sets(st.integers(1, 8), max_size=4),
)
def test_chooses_what_the_design_says(
    times: list[int], later: int, quiescence: int, max_staleness: int, barrier: int | None, excluded: set[int]
) -> None:
    now = (times[-1] if times else 0) + later
    chosen = choose(commits(*times), at(now), quiescence, max_staleness, barrier, frozenset(excluded))
    assert chosen == naive(times, now, quiescence, max_staleness, barrier, excluded)


@given(times=histories, later=st.integers(0, 60), quiescence=st.integers(0, 15), barrier=st.integers(1, 9))
def test_never_reaches_the_barrier_and_never_invents(
    times: list[int], later: int, quiescence: int, barrier: int
) -> None:
    now = at((times[-1] if times else 0) + later)
    chosen = choose(commits(*times), now, quiescence, 0, barrier)
    assert chosen is None or 1 <= chosen.seq < barrier
    assert chosen is None or chosen.seq <= len(times)


def test_nothing_to_pin() -> None:
    assert choose([], at(0), 0, 0) is None


def test_a_writer_that_never_pauses_is_pinned_when_the_oldest_gets_too_old() -> None:
    steady = [float(second) for second in range(0, 301, 2)]
    young = [time for time in steady if time <= 60]
    assert choose(commits(*young), at(61), 5, 60) == Choice(31, False), "the oldest is 61 s old"
    assert choose(commits(*young), at(60), 5, 60) is None, "at most, not more than: still waiting"
    assert choose(commits(*steady), at(300.5), 5, 300) == Choice(151, False)


def test_an_older_pause_is_better_than_waiting() -> None:
    assert choose(commits(0, 1, 20, 21), at(22), 5, 300) == Choice(2, True)


def test_the_newest_pause_wins_over_staleness() -> None:
    assert choose(commits(0, 100, 101), at(1000), 5, 10) == Choice(3, True)


def test_a_window_of_nothing_takes_the_newest_at_once() -> None:
    assert choose(commits(0, 0, 0), at(0), 0, 300) == Choice(3, True)


def test_a_commit_of_the_future_is_not_quiet() -> None:
    assert choose(commits(10), at(0), 0, 300) is None


def test_the_window_is_reached_exactly() -> None:
    assert choose(commits(0), at(5), 5, 300) == Choice(1, True)
    assert choose(commits(0), at(4.999), 5, 300) is None


def test_a_barrier_at_the_first_commit_leaves_nothing_however_old() -> None:
    assert choose(commits(0, 1), at(10_000), 0, 0, barrier=1) is None


def test_a_commit_before_the_barrier_is_only_as_quiet_as_the_log_says() -> None:
    """The held commit follows at once: the state before it was not at rest, though it is the last allowed."""
    assert choose(commits(0, 1), at(100), 5, 300, barrier=2) is None
    assert choose(commits(0, 10), at(100), 5, 300, barrier=2) == Choice(1, True)


def test_an_excluded_commit_still_follows_the_one_before() -> None:
    assert choose(commits(0, 1, 100), at(101), 5, 1000, excluded={2}) is None
    assert choose(commits(0, 1, 100), at(200), 5, 1000, excluded={2}) == Choice(3, True)
