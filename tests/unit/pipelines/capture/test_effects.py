from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.capture.effects import KeyChange, LiveDocuments

Effect = tuple[set[str], set[str]]


def delete(key: str, content: str = "", *, moved: bool = False) -> KeyChange:
    return KeyChange("delete", key, moved, content or f"={key}")


def upsert(key: str, content: str = "") -> KeyChange:
    return KeyChange("upsert", key, False, content or f"={key}")


def move(old: str, new: str, content: str = "") -> list[KeyChange]:
    content = content or f"={old}"
    return [delete(old, content, moved=True), upsert(new, content)]


def replay(live: str, *commits: list[KeyChange]) -> list[Effect]:
    documents = LiveDocuments(set(live))
    effects = (documents.apply(commit) for commit in commits)
    return [(set(deleted), set(restored)) for deleted, restored in effects]


def test_a_deletion_and_a_return() -> None:
    assert replay("ab", [delete("a")], [upsert("a")]) == [({"a"}, set()), (set(), {"a"})]


def test_documents_that_are_not_live_do_not_count() -> None:
    assert replay("a", [upsert("x")], [delete("x")]) == [(set(), set())] * 2


def test_an_edit_is_neither() -> None:
    assert replay("a", [upsert("a", "other")]) == [(set(), set())]


def test_a_rename_is_neither() -> None:
    assert replay("a", move("a", "x")) == [(set(), set())]


def test_a_renamed_document_is_deleted_under_its_new_name() -> None:
    assert replay("a", move("a", "x"), move("x", "y"), [delete("y")])[-1] == ({"a"}, set())


def test_renaming_everything_and_then_deleting_it_is_a_deletion_of_everything() -> None:
    renamed = [change for key in "abcd" for change in move(key, f"{key}2")]
    assert replay("abcd", renamed, [delete(f"{key}2") for key in "abcd"])[-1] == (set("abcd"), set())


def test_a_renamed_document_comes_back_under_its_new_name() -> None:
    assert replay("a", move("a", "x"), [delete("x")], [upsert("x")])[-1] == (set(), {"a"})


def test_the_old_name_used_again_is_another_document() -> None:
    assert replay("a", move("a", "x"), [upsert("a", "new")], [delete("a", "new")])[-1] == (set(), set())


def test_a_copy_left_behind_keeps_the_document() -> None:
    two_copies = [delete("a", moved=True), upsert("x", "=a"), upsert("y", "=a")]
    assert replay("a", two_copies, [delete("x", "=a")], [delete("y", "=a")]) == [
        (set(), set()), (set(), set()), ({"a"}, set()),
    ]  # fmt: skip


def test_two_documents_that_became_one_go_together() -> None:
    merged = [delete("a", "same", moved=True), delete("b", "same", moved=True), upsert("x", "same")]
    assert replay("ab", merged, [delete("x", "same")])[-1] == ({"a", "b"}, set())


def test_moving_onto_a_live_key_keeps_both() -> None:
    onto = [delete("a", "same", moved=True), upsert("b", "same")]
    assert replay("ab", onto, [delete("b", "same")]) == [(set(), set()), ({"a", "b"}, set())]


KEYS = st.sampled_from("abcdef")


@given(st.lists(st.tuples(st.sets(KEYS), st.sets(KEYS)), max_size=8))
def test_without_renames_it_is_the_difference_of_what_is_there(
    commits: list[tuple[set[str], set[str]]],
) -> None:
    live = set("abcd")
    documents, there = LiveDocuments(live), set(live)
    for deletes, upserts in commits:
        deletes = (deletes - upserts) & there
        after = (there - deletes) | upserts
        effect = documents.apply([delete(k) for k in sorted(deletes)] + [upsert(k) for k in sorted(upserts)])
        assert effect == ((there - after) & live, (after - there) & live)
        there = after


@given(st.lists(st.tuples(KEYS, KEYS), max_size=10))
def test_renames_alone_never_delete(renames: list[tuple[str, str]]) -> None:
    documents = LiveDocuments(set("abc"))
    for old, new in renames:
        if old != new:
            assert documents.apply(move(old, new, "shared"))[0] == frozenset()
