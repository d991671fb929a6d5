from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.folder import content, differences, folder_source, scan
from pipelines.sources.folder.folder_source import FolderSource, folder_root
from pipelines.sources.options import FolderOptions
from pipelines.sources.source import Commit, Delete, Unreadable
from tests.support.captured import Captured, snapshot, utc_now


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "documents"
    path.mkdir()
    return path


def later() -> datetime:
    """A clock so far ahead that no file counts as just written."""
    return utc_now() + timedelta(hours=1)


def opened(
    root: Path, clock: Callable[[], datetime] = utc_now, pause: Callable[[float], None] = lambda _: None
) -> FolderSource:
    return FolderSource(root, FolderOptions(), clock, pause)


def write(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def line(key: object, text: str = "t") -> str:
    return json.dumps({"_id": key, "text": text}) + "\n"


def test_documents_by_suffix_and_place(root):
    for name in ("a.md", "b.TXT", "d/c.rst", "d/e/f.html", "g.htm", "h.pdf", "i.docx"):
        write(root / name)
    for name in ("x.png", ".hidden.md", ".git/a.md", "d/.cache/b.md", "noext"):
        write(root / name)
    (root / "dir.md").mkdir()
    write(root / "c.jsonl", line(1) + line("b"))
    captured = snapshot(opened(root))
    assert list(captured.keys()) == [
        "a.md", "b.TXT", "c.jsonl#1", "c.jsonl#b", "d/c.rst", "d/e/f.html", "g.htm", "h.pdf", "i.docx",
    ]  # fmt: skip
    assert captured.documents["b.TXT"].media_type == "text/plain"
    assert captured.documents["d/c.rst"].uri == (root / "d/c.rst").as_uri()
    assert captured.documents["c.jsonl#b"].uri == (root / "c.jsonl").as_uri() + "#b"
    assert opened(root).probe().documents == 9


def test_touching_moves_nothing(root):
    write(root / "a.md")
    captured = snapshot(opened(root))
    os.utime(root / "a.md", (1, 1))
    assert captured.catch_up(opened(root)) == 0


def test_touched_files_are_hashed_once_more_and_then_remembered(root, monkeypatch):
    write(root / "a.md")
    captured = snapshot(opened(root))  # just written: not trusted yet
    assert captured.catch_up(opened(root)) == 0
    position = captured.cursor.position
    assert captured.catch_up(opened(root, later)) == 1
    assert captured.cursor.position == position
    assert captured.changes[-1] == []
    monkeypatch.setattr(content, "opened", lambda *_: pytest.fail("read again"))
    assert captured.catch_up(opened(root, later)) == 0


def test_only_changed_files_are_read(root, monkeypatch):
    for name in "abc":
        write(root / f"{name}.md", name)
    captured = snapshot(opened(root, later))
    write(root / "b.md", "changed")
    read: list[str] = []
    real = content.opened
    for module in (content, differences):
        monkeypatch.setattr(module, "opened", lambda path, stamp: read.append(path.name) or real(path, stamp))
    assert captured.catch_up(opened(root, later)) == 1
    assert set(read) == {"b.md"}
    assert captured.texts()["b.md"] == "changed"


def test_a_write_within_the_same_tick_is_seen(root):
    path = write(root / "a.md", "one")
    captured = snapshot(opened(root))
    stamp = dict(captured.cursor.state["files"])
    path.write_text("two")
    status = path.stat()
    # As if the clock of the file system had not ticked: the cursor knows exactly the stat that is there now.
    stamp["a.md"] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, stamp["a.md"][4]]
    captured.cursor.state["files"] = stamp
    assert captured.catch_up(opened(root)) == 1
    assert captured.texts() == {"a.md": "two"}


def test_a_state_that_comes_back_has_a_new_position(root):
    path = write(root / "a.md", "one")
    captured = snapshot(opened(root))
    path.write_text("two")
    captured.catch_up(opened(root))
    path.write_text("one")
    captured.catch_up(opened(root))
    first, _, third = (commit.position for commit in captured.commits)
    assert first.partition("-")[2] == third.partition("-")[2]
    assert first != third


def test_times_are_those_of_files_held_to_the_clock(root):
    now = datetime(2026, 1, 2, tzinfo=UTC)
    write(root / "a.md")
    os.utime(root / "a.md", (1_000, 1_000))
    captured = snapshot(opened(root, lambda: now))
    assert captured.commits[0].committed_at == datetime.fromtimestamp(1_000, UTC)
    write(root / "b.md")
    os.utime(root / "b.md", (500, 500))
    captured.catch_up(opened(root, lambda: now))
    assert captured.commits[1].committed_at == datetime.fromtimestamp(1_000, UTC)
    os.utime(root / "b.md", (now.timestamp() + 999, now.timestamp() + 999))
    write(root / "b.md", "changed")
    captured.catch_up(opened(root, lambda: now))
    assert captured.commits[2].committed_at == now
    (root / "b.md").unlink()
    os.utime(root, (2_000_000_000, 2_000_000_000))
    captured.catch_up(opened(root, lambda: datetime.fromtimestamp(2_100_000_000, UTC)))
    assert captured.commits[3].committed_at == datetime.fromtimestamp(2_000_000_000, UTC)


# Writers between the looks


def test_a_writer_between_the_scans_is_waited_for(root):
    path, pauses = write(root / "a.md", "torn"), []
    real = folder_source.scan
    looks = []

    def racing(top: Path) -> scan.Scan:
        looks.append(1)
        if len(looks) == 2:
            path.write_text("whole and sound")
        return real(top)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(folder_source, "scan", racing)
        captured = snapshot(opened(root, pause=pauses.append))
    assert captured.texts() == {"a.md": "whole and sound"}
    assert len(pauses) == 1


def test_a_writer_that_never_rests_makes_it_unavailable(root, monkeypatch):
    real, pauses = folder_source.scan, []

    def racing(top: Path) -> scan.Scan:
        write(root / f"{len(pauses)}-{os.urandom(4).hex()}.md")
        return real(top)

    monkeypatch.setattr(folder_source, "scan", racing)
    with pytest.raises(SourceUnavailable, match="keeps changing"):
        snapshot(opened(root, pause=pauses.append))
    assert len(pauses) == folder_source.ATTEMPTS - 1


def test_a_writer_between_stat_and_reading_is_noticed(root, monkeypatch):
    path = write(root / "a.md", "one")
    real, written = content.opened, []

    def racing(name: Path, stamp: scan.Stamp) -> object:
        if not written:
            written.append(path.write_text("two"))
        return real(name, stamp)

    monkeypatch.setattr(content, "opened", racing)
    assert snapshot(opened(root)).texts() == {"a.md": "two"}


@pytest.mark.parametrize("name", ["a.md", "c.jsonl"])
@pytest.mark.parametrize("how", ["rewrite", "replace", "remove", "other", "same stat"])
def test_a_writer_while_changes_are_read_breaks_the_commit(root, name, how):
    write(root / "a.md", "one")
    write(root / "c.jsonl", line("a", "one") + line("b", "two"))
    path = root / name
    commit = next(opened(root).read(None, Captured()))
    before = path.read_text()
    if how == "rewrite":
        path.write_text(before + "\n")
    elif how == "replace":
        write(root / "new", before).replace(path)
    elif how == "remove":
        path.unlink()
    elif how == "other":
        write(root / "z.md")
    else:
        path.write_text(before.replace("one", "six"))
        assert path.read_text() != before
    with pytest.raises(SourceUnavailable, match="keeps changing"):
        list(commit.changes)


def test_content_is_checked_against_its_hash_not_only_its_stat(root, monkeypatch):
    path = write(root / "a.md", "one")
    commit = next(opened(root).read(None, Captured()))
    stamp = scan.Stamp.of(path.stat())
    path.write_text("six")
    monkeypatch.setattr(scan.Stamp, "of", classmethod(lambda *_: stamp))
    with pytest.raises(SourceUnavailable):
        list(commit.changes)


# Lines


def test_lines_change_one_by_one(root):
    path = write(root / "d/c.jsonl", line("a", "1") + line("b", "2") + line("c", "3"))
    write(root / "d/c.jsonl2/x.md")
    captured = snapshot(opened(root))
    path.write_text(line("c", "3") + line("b", "two") + line("d", "4"))
    captured.catch_up(opened(root))
    assert {change.key for change in captured.changes[-1]} == {"d/c.jsonl#a", "d/c.jsonl#b", "d/c.jsonl#d"}
    path.unlink()
    captured.catch_up(opened(root))
    assert set(captured.documents) == {"d/c.jsonl2/x.md"}
    assert all(isinstance(change, Delete) for change in captured.changes[-1])


def test_reordered_lines_are_a_commit_without_changes(root):
    path = write(root / "c.jsonl", line("a") + line("b"))
    captured = snapshot(opened(root))
    path.write_text(line("b") + line("a"))
    assert captured.catch_up(opened(root)) == 1
    assert captured.changes[-1] == []


def test_duplicates_and_malformed_lines_are_shown_and_heal(root):
    path = write(root / "c.jsonl", line("a", "1") + "{\n" + line("a", "2"))
    captured = snapshot(opened(root))
    assert captured.texts() == {"c.jsonl#a": "1"}
    assert captured.flaws().keys() == {"c.jsonl#@line2", "c.jsonl#a@line3"}
    assert "line 1" in captured.flaws()["c.jsonl#a@line3"]
    path.write_text(line("a", "1") + line("b", "2"))
    captured.catch_up(opened(root))
    assert captured.texts() == {"c.jsonl#a": "1", "c.jsonl#b": "2"}
    assert captured.flaws() == {}


def test_a_large_jsonl_is_streamed(root):
    size, text = 0, "x" * 10_000
    with (root / "c.jsonl").open("w") as file:
        for number in range(3_000):
            size += file.write(line(number, text))
    source, count = opened(root), 0
    tracemalloc.start()
    for change in next(source.read(None, Captured())).changes:
        count += not isinstance(change, Unreadable)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3_000
    assert peak < size / 5


# What cannot be read


def test_links_stay_inside(root, tmp_path):
    secret = write(tmp_path / "secret/secret.md", "secret")
    write(root / "a.md", "inside")
    (root / "d").mkdir()
    (root / "d/link.md").symlink_to("../a.md")
    (root / "out.md").symlink_to(secret)
    (root / "outdir").symlink_to(secret.parent)
    (root / "sneaky.md").symlink_to("d/../../secret/secret.md")
    (root / "dangling.md").symlink_to("nowhere.md")
    (root / "self.md").symlink_to("self.md")
    (root / "d/loop").symlink_to("..")
    (root / "d2").symlink_to("d")
    (root / "picture.png").symlink_to(secret)
    captured = snapshot(opened(root))
    assert captured.texts() == {"a.md": "inside", "d/link.md": "inside", "d2/link.md": "inside"}
    assert captured.flaws().keys() == {"out.md", "outdir/", "sneaky.md", "dangling.md", "self.md"}
    assert "leads out" in captured.flaws()["out.md"]
    (root / "outdir").unlink()
    (root / "out.md").unlink()
    captured.catch_up(opened(root))
    assert captured.flaws().keys() == {"sneaky.md", "dangling.md", "self.md"}


def test_a_file_that_becomes_a_link_out_is_unreadable_not_followed(root, tmp_path):
    secret = write(tmp_path / "secret.md", "secret")
    path = write(root / "a.md", "inside")
    captured = snapshot(opened(root))
    path.unlink()
    path.symlink_to(secret)
    captured.catch_up(opened(root))
    assert captured.flaws().keys() == {"a.md"}
    commit = next(opened(root).read(None, Captured()))
    assert not any(b"secret" in getattr(change, "content", b"") for change in commit.changes)


def test_links_that_multiply_are_refused(root, monkeypatch):
    monkeypatch.setattr(scan, "ENTRY_LIMIT", 1_000)
    for level in range(20):
        (root / f"d{level}").mkdir()
        for name in "ab":
            (root / f"d{level}/{name}").symlink_to(f"../d{level + 1}")
    (root / "d20").mkdir()
    with pytest.raises(SourceError, match="more than 1000 entries"):
        snapshot(opened(root))


def test_a_pipe_is_not_waited_for(root):
    os.mkfifo(root / "pipe.md")
    assert "regular" in snapshot(opened(root)).flaws()["pipe.md"]


def test_large_files_are_unreadable(root, monkeypatch):
    monkeypatch.setattr("pipelines.sources.files.SIZE_LIMIT", 100)
    write(root / "a.md", "x" * 101)
    write(root / "c.jsonl", line("a", "y" * 200))
    captured = snapshot(opened(root))
    assert "limit" in captured.flaws()["a.md"]
    assert set(captured.texts()) == {"c.jsonl#a"}


def test_names_that_are_not_utf8_or_look_like_lines_are_shown(root):
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.md")).write_text("x")
    write(root / "c.jsonl#x.md")
    write(root / "c.jsonl", line("x.md", "line"))
    captured = snapshot(opened(root))
    assert captured.texts() == {"c.jsonl#x.md": "line"}
    assert len(captured.flaws()) == 2
    assert captured.catch_up(opened(root)) == 0


class Denied:
    """Makes opening or listing some paths fail, as permissions do for anyone but root."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: set[str] = set()
        for module, name in ((os, "open"), (os, "scandir")):
            monkeypatch.setattr(module, name, self._guarded(getattr(os, name)))

    def _guarded(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(path: str | Path, *rest: object, **options: object) -> object:
            if str(path) in self.paths:
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *rest, **options)

        return call


@pytest.fixture
def denied(monkeypatch):
    return Denied(monkeypatch)


def test_a_file_without_permission_is_unreadable_until_it_has_it(root, denied):
    write(root / "a.md", "one")
    path = write(root / "c.jsonl", line("a", "1") + line("b", "2"))
    captured = snapshot(opened(root, later))
    whole = captured.documents
    for name in ("a.md", "c.jsonl"):
        denied.paths.add(str(root / name))
        os.utime(root / name)
    captured.catch_up(opened(root, later))
    assert captured.flaws().keys() == {"a.md", "c.jsonl", "c.jsonl#a", "c.jsonl#b"}
    assert captured.catch_up(opened(root, later)) == 0
    denied.paths.clear()
    captured.catch_up(opened(root, later))
    assert captured.documents == whole
    denied.paths.add(str(path))
    os.utime(path)
    captured.catch_up(opened(root, later))
    path.unlink()
    captured.catch_up(opened(root, later))
    assert set(captured.documents) == {"a.md"}


def test_a_directory_without_permission_deletes_nothing(root, denied):
    write(root / "d/a.md", "one")
    write(root / "d/e/c.jsonl", line("a", "1"))
    write(root / "b.md", "two")
    captured = snapshot(opened(root, later))
    whole = captured.documents
    denied.paths.add(str(root / "d"))
    captured.catch_up(opened(root, later))
    assert captured.texts() == {"b.md": "two"}
    assert captured.flaws().keys() >= {"d/", "d/a.md", "d/e/c.jsonl#a"}
    assert not any(isinstance(change, Delete) for change in captured.changes[-1])
    assert captured.catch_up(opened(root, later)) == 0
    (root / "d/a.md").unlink()
    assert captured.catch_up(opened(root, later)) == 0
    denied.paths.clear()
    captured.catch_up(opened(root, later))
    assert captured.documents == {key: value for key, value in whole.items() if key != "d/a.md"}


def test_a_new_epoch_deletes_nothing_that_cannot_be_read(root, denied):
    write(root / "d/c.jsonl", line("a", "1"))
    captured = snapshot(opened(root, later))
    denied.paths.add(str(root / "d"))
    commit = next(opened(root, later).read(None, captured))
    assert commit.snapshot
    changes = list(commit.changes)
    assert all(isinstance(change, Unreadable) for change in changes)
    assert {change.key for change in changes} == {"d/", "d/c.jsonl#a"}


def test_a_root_without_permission_is_unavailable(root, denied):
    write(root / "a.md")
    captured = snapshot(opened(root))
    denied.paths.add(str(root))
    with pytest.raises(SourceUnavailable, match="Permission denied"):
        captured.catch_up(opened(root))


def test_an_empty_folder_in_its_place_is_a_lost_mount(root):
    write(root / "a.md")
    captured = snapshot(opened(root))
    root.rename(root.parent / "elsewhere")
    root.mkdir()
    with pytest.raises(SourceUnavailable, match="is it mounted"):
        captured.catch_up(opened(root))
    write(root / "b.md")
    captured.catch_up(opened(root))
    assert set(captured.documents) == {"b.md"}


def test_emptying_the_folder_itself_is_a_deletion(root):
    write(root / "a.md").unlink()
    write(root / "b.md")
    captured = snapshot(opened(root))
    (root / "b.md").unlink()
    captured.catch_up(opened(root))
    assert captured.documents == {}


def test_a_file_is_no_folder(root):
    with pytest.raises(SourceError, match="not a folder") as caught:
        opened(write(root / "a.md")).probe()
    assert not isinstance(caught.value, SourceUnavailable)


def test_a_cursor_without_an_observation_gives_a_snapshot(root):
    write(root / "a.md")
    captured = snapshot(opened(root))
    cursor = type(captured.cursor)(captured.cursor.position, {})
    commits: list[Commit] = list(opened(root).read(cursor, captured))
    assert commits[0].snapshot
    assert commits[0].position.startswith("2-")


def test_addresses(tmp_path):
    assert folder_root("file:///a%20b/c") == Path("/a b/c")
    assert folder_root(str(tmp_path)) == tmp_path
