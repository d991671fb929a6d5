"""Sparse files: the copy reads the same, takes no more room, and the digest sees every byte."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.index.edge.files import (
    allocated_bytes,
    copy_tree,
    digest_file,
    digest_tree,
    remove_tree,
    sync_tree,
)

MEBIBYTE = 1 << 20


def sparse(path: Path, size: int, writes: list[tuple[int, bytes]]) -> Path:
    with path.open("wb") as file:
        os.ftruncate(file.fileno(), size)
        for offset, content in writes:
            file.seek(offset)
            file.write(content)
    return path


def test_a_copy_keeps_content_and_holes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    sparse(source / "deep" / "a", 32 * MEBIBYTE, [(5000, b"x" * 5000), (20 * MEBIBYTE + 1, b"y")])
    sparse(source / "b", 3 * MEBIBYTE + 17, [(3 * MEBIBYTE + 16, b"z")])
    sparse(source / "empty", 0, [])
    copy_tree(source, tmp_path / "copy")
    assert digest_tree(tmp_path / "copy") == digest_tree(source)
    for name in ("deep/a", "b", "empty"):
        assert (tmp_path / "copy" / name).read_bytes() == (source / name).read_bytes()
    assert allocated_bytes(tmp_path / "copy") <= allocated_bytes(source) < MEBIBYTE
    sync_tree(tmp_path / "copy")


def test_the_digest_does_not_depend_on_holes(tmp_path: Path) -> None:
    original = sparse(tmp_path / "sparse", 2 * MEBIBYTE, [(MEBIBYTE, b"data")])
    full = tmp_path / "full"
    shutil.copyfile(original, full)
    full.write_bytes(full.read_bytes())
    assert full.stat().st_blocks > original.stat().st_blocks
    assert digest_file(full) == digest_file(original)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20_000), st.data())
def test_any_changed_byte_changes_the_digest(tmp_path_factory, size: int, data) -> None:
    path = tmp_path_factory.mktemp("digest") / "file"
    sparse(path, size, [(data.draw(st.integers(0, size - 1)), b"\x01")])
    before = digest_file(path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, size - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert digest_file(path) != before


@pytest.mark.parametrize("size", [4095, 4097, 8192])
def test_length_counts_even_where_all_is_zero(tmp_path: Path, size: int) -> None:
    one = sparse(tmp_path / "one", size, [])
    two = sparse(tmp_path / "two", size + 1, [])
    assert digest_file(one) != digest_file(two)


def test_ignored_names_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"")
    (tmp_path / "kept").write_bytes(b"1")
    assert list(digest_tree(tmp_path, frozenset({"lock"}))) == ["kept"]


def test_what_an_engine_was_killed_over_counts_for_nothing(tmp_path: Path) -> None:
    """It writes its settings at every load, in a folder beside them."""
    (tmp_path / "shard").mkdir()
    (tmp_path / "shard" / "data").write_bytes(b"data")
    before = digest_tree(tmp_path)
    left = tmp_path / "shard" / ".atomicwrite2SI1Ga"
    left.mkdir()
    (left / "tmpfile.tmp").write_bytes(b"half of its sett")
    assert digest_tree(tmp_path) == before == {"shard/data": digest_file(tmp_path / "shard" / "data")}


def test_a_tree_that_somebody_else_removes_as_well_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "stage"
    (root / "deep").mkdir(parents=True)
    remove, raised = shutil.rmtree, [FileNotFoundError(2, "gone"), OSError(errno.ENOTEMPTY, "not empty")]

    def racing(path: Path) -> None:
        if raised:
            raise raised.pop()
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", racing)
    remove_tree(root)
    assert not root.exists()
    assert raised == []


def test_what_an_engine_is_writing_is_not_copied(tmp_path: Path) -> None:
    """Other processes open the base while it is copied: what is there for a moment may be gone when it is read."""
    held = tmp_path / "shard" / "segments" / "one"
    held.mkdir(parents=True)
    (held / "data").write_bytes(b"data")
    passing = tmp_path / "shard" / ".atomicwrite2SI1Ga"
    passing.mkdir()
    (passing / "tmpfile.tmp").symlink_to(tmp_path / "gone")
    copy_tree(tmp_path / "shard", tmp_path / "copy")
    assert digest_tree(tmp_path / "copy") == {"segments/one/data": digest_file(held / "data")}


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        copy_tree(tmp_path / "nothing", tmp_path / "copy")
