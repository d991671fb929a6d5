"""Renames followed to their end, against a model that walks forward in time."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from registry.moves import Arrival, Deletion, ended

KEYS = "abcde"


def deletion(key: str, seq: int, moved: bool = False) -> Deletion:
    return Deletion(1, key, seq, moved, f"{key}{seq}" if moved else "")


def arrivals(*moves: tuple[str, int, str]) -> dict[Arrival, list[str]]:
    found: dict[Arrival, list[str]] = {}
    for old, seq, new in moves:
        found.setdefault((1, seq, f"{old}{seq}"), []).append(new)
    return found


def test_a_plain_deletion_ends_a_document() -> None:
    assert ended([deletion("a", 1)], {}) == {(1, "a")}


def test_a_rename_does_not() -> None:
    assert ended([deletion("a", 1, moved=True)], arrivals(("a", 1, "b"))) == set()


def test_a_rename_and_then_a_deletion_does() -> None:
    log = [deletion("a", 1, moved=True), deletion("b", 2)]
    assert ended(log, arrivals(("a", 1, "b"))) == {(1, "a"), (1, "b")}


def test_a_chain_of_renames_stands_until_its_last_key_goes() -> None:
    log = [deletion("a", 1, moved=True), deletion("b", 2, moved=True)]
    moves = arrivals(("a", 1, "b"), ("b", 2, "c"))
    assert ended(log, moves) == set()
    assert ended([*log, deletion("c", 3)], moves) == {(1, "a"), (1, "b"), (1, "c")}


def test_a_content_that_went_to_two_keys_stands_while_one_does() -> None:
    log = [deletion("a", 1, moved=True), deletion("b", 2)]
    moves = arrivals(("a", 1, "b"), ("a", 1, "c"))
    assert ended(log, moves) == {(1, "b")}
    assert ended([*log, deletion("c", 3)], moves) == {(1, "a"), (1, "b"), (1, "c")}


def test_of_two_that_moved_one_ends_with_each_key_that_goes() -> None:
    both = [Deletion(1, key, 1, True, "same") for key in "ab"]
    arrived: dict[Arrival, list[str]] = {(1, 1, "same"): ["c", "d"]}
    assert ended(both, arrived) == set()
    assert ended([*both, deletion("c", 2)], arrived) == {(1, "b"), (1, "c")}
    assert len(ended([*both, deletion("c", 2), deletion("d", 3)], arrived)) == 4


def test_of_two_that_moved_to_one_key_one_ends() -> None:
    both = [Deletion(1, key, 1, True, "same") for key in "ab"]
    assert ended(both, {(1, 1, "same"): ["c"]}) == {(1, "b")}


def test_an_earlier_deletion_of_the_new_key_is_another_documents() -> None:
    log = [deletion("b", 1), deletion("a", 2, moved=True)]
    assert ended(log, arrivals(("a", 2, "b"))) == {(1, "b")}


def test_sources_do_not_meet() -> None:
    log = [deletion("a", 1, moved=True), Deletion(2, "b", 2, False, "")]
    assert ended(log, arrivals(("a", 1, "b"))) == {(2, "b")}


def test_a_long_chain_is_no_deep_recursion() -> None:
    log = [Deletion(1, f"k{i}", i, True, f"c{i}") for i in range(5000)]
    moves = {(1, i, f"c{i}"): [f"k{i + 1}"] for i in range(5000)}
    assert ended(log, moves) == set()
    assert len(ended([*log, Deletion(1, "k5000", 5000, False, "")], moves)) == 5001


@dataclass
class Forward:
    """Who follows whom: a renamed document goes wherever its new key goes."""

    hidden: set[str] = field(default_factory=set)
    followers: dict[str, set[str]] = field(default_factory=dict)

    def delete(self, key: str) -> None:
        self.hidden |= {key} | self.followers.pop(key, set())

    def move(self, old: str, new: str) -> None:
        self.followers.setdefault(new, set()).update({old} | self.followers.pop(old, set()))


steps = st.lists(
    st.one_of(st.tuples(st.sampled_from(KEYS)), st.permutations(KEYS).map(lambda p: tuple(p[:2]))),
    max_size=12,
)


@given(steps)
def test_following_forward_and_looking_back_agree(history: list[tuple[str, ...]]) -> None:
    model, log, moves = Forward(), [], []
    for seq, step in enumerate(history, start=1):
        log.append(deletion(step[0], seq, moved=len(step) == 2))
        if len(step) == 2:
            moves.append((step[0], seq, step[1]))
            model.move(*step)
        else:
            model.delete(*step)
    assert ended(log, arrivals(*moves)) == {(1, key) for key in model.hidden}
