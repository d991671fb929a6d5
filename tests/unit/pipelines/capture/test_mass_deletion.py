from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.capture.effects import CommitEffect
from pipelines.capture.mass_deletion import offending

HOLDS = ("", "held", "confirmed", "rejected", "restored")
KEYS = st.sampled_from("abcdefghij")


def effect(seq: int, deleted: str = "", restored: str = "", hold: str = "") -> CommitEffect:
    return CommitEffect(seq, hold, frozenset(deleted), frozenset(restored))


@st.composite
def effects(draw: st.DrawFn, holds: tuple[str, ...] = HOLDS) -> list[CommitEffect]:
    """Histories as they can happen: what is deleted was there, what is restored was not."""
    absent: set[str] = set()
    found = []
    for seq in range(1, draw(st.integers(0, 7)) + 1):
        deleted = draw(st.frozensets(KEYS, max_size=5)) - absent
        restored = frozenset(draw(st.sets(KEYS, max_size=5)) & absent)
        absent = (absent | deleted) - restored
        found.append(CommitEffect(seq, draw(st.sampled_from(holds)), frozenset(deleted), restored))
    return found


def settled(history: list[CommitEffect], held: list[int]) -> list[CommitEffect]:
    return [CommitEffect(e.seq, "held" if e.seq in held else e.hold, e.deleted, e.restored) for e in history]


@given(effects(), st.integers(0, 30), st.floats(0, 1))
def test_only_undecided_commits_that_delete_are_held_in_their_order(
    history: list[CommitEffect], live: int, share: float
) -> None:
    held = offending(history, live, share)
    by_seq = {e.seq: e for e in history}
    assert held == sorted(set(held))
    assert all(by_seq[seq].hold == "" and by_seq[seq].deleted for seq in held)


@given(effects(), st.integers(0, 30), st.floats(0, 1))
def test_holding_is_settled_at_once(history: list[CommitEffect], live: int, share: float) -> None:
    """What was held is not asked for again, and does not make others offend that did not."""
    held = offending(history, live, share)
    assert offending(settled(history, held), live, share) == []


@given(effects(holds=("",)), st.integers(0, 30), st.floats(0, 1))
def test_what_is_let_through_never_adds_up_to_a_mass(
    history: list[CommitEffect], live: int, share: float
) -> None:
    held = offending(history, live, share)
    gone: set[str] = set()
    for e in history:
        gone -= e.restored
        if e.seq not in held:
            gone |= e.deleted
            assert len(gone) <= max(share * live, 1) or not e.deleted


@given(effects(holds=("",)), st.integers(0, 30), st.floats(0, 1))
def test_capturing_in_pieces_decides_as_capturing_at_once(
    history: list[CommitEffect], live: int, share: float
) -> None:
    step_by_step: list[int] = []
    for end in range(1, len(history) + 1):
        step_by_step += offending(settled(history[:end], step_by_step), live, share)
    assert step_by_step == offending(history, live, share)


@given(st.integers(0, 30), st.floats(0, 1), st.sampled_from("abc"))
def test_one_document_is_never_a_mass(live: int, share: float, key: str) -> None:
    assert offending([effect(1, key)], live, share) == []


def test_the_share_must_be_exceeded() -> None:
    assert offending([effect(1, "ab")], 10, 0.2) == []
    assert offending([effect(1, "abc")], 10, 0.2) == [1]


def test_deletions_add_up_over_commits() -> None:
    assert offending([effect(1, "a"), effect(2, "b"), effect(3, "c")], 10, 0.2) == [3]


def test_what_came_back_does_not_count() -> None:
    assert offending([effect(1, "ab"), effect(2, "", "a"), effect(3, "c")], 10, 0.2) == []


def test_a_swap_in_one_commit_counts_its_net() -> None:
    assert offending([effect(1, "ab"), effect(2, "c", "a")], 10, 0.2) == []


def test_a_single_deletion_after_an_accident_goes_through() -> None:
    assert offending([effect(1, "abcde", hold="held"), effect(2, "f")], 10, 0.2) == []
    assert offending([effect(1, "abcde"), effect(2, "f")], 10, 0.2) == [1]


def test_decided_commits_do_not_count() -> None:
    for hold in ("held", "confirmed", "rejected", "restored"):
        assert offending([effect(1, "abcde", hold=hold), effect(2, "fg")], 10, 0.2) == [], hold
        assert offending([effect(1, "abcde", hold=hold), effect(2, "fgh")], 10, 0.2) == [2], hold


def test_a_share_of_one_never_holds() -> None:
    assert offending([effect(1, "abcdefghij")], 10, 1.0) == []


def test_an_empty_generation_has_nothing_to_lose() -> None:
    assert offending([effect(1, "")], 0, 0.2) == []
