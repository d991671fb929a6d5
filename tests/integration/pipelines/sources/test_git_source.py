from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import SourceError, SourceUnavailable
from pipelines.sources.files import is_document, is_hidden
from pipelines.sources.git.location import repository_name
from pipelines.sources.git.repository import message
from pipelines.sources.kinds import open_source
from pipelines.sources.source import Source, Unreadable, Upsert
from tests.support.captured import Captured, snapshot, utc_now
from tests.support.git_repository import QUIET, File, GitRepository


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return GitRepository(tmp_path / "documents.git")


def opened(repository: GitRepository | str | Path, **options: str) -> Source:
    uri = repository.path if isinstance(repository, GitRepository) else repository
    return open_source("git", str(uri), options, utc_now, Path(str(uri)).parent / "cache")


def lines(**texts: str) -> bytes:
    return b"\n".join(json.dumps({"_id": key, "text": text}).encode() for key, text in texts.items())


def blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def assert_equals_tree(captured: Captured, repository: GitRepository, commit: str) -> None:
    """Every plain document with the bytes that `git ls-tree -r` names, every line of every .jsonl."""
    wanted: dict[str, str] = {}
    for raw, blob in repository.tree(commit).items():
        path = raw.decode()
        if not is_document(path) or is_hidden(path):
            continue
        if path.endswith(".jsonl"):
            for line in repository.git("cat-file", "blob", blob).splitlines():
                wanted[f"{path}#{json.loads(line)['_id']}"] = blob_id(json.loads(line)["text"].encode())
        else:
            wanted[path] = blob
    assert {key: blob_id(text.encode()) for key, text in captured.texts().items()} == wanted
    assert captured.flaws() == {}


# A generated history: each step sets, moves or removes files, merges a side branch, or rewrites.
PATHS = st.sampled_from([b"a.md", b"b.md", b"d/a.md", b"d/e/c.rst", b"x.png", b".hidden/a.md"])
TEXTS = st.sampled_from([b"one", b"two", b"three"])
JSONL = st.dictionaries(st.sampled_from(["p", "q", "r"]), st.sampled_from(["1", "2"]), max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), PATHS, TEXTS),
        st.tuples(st.just("lines"), st.sampled_from([b"c.jsonl", b"d/c.jsonl"]), JSONL),
        st.tuples(st.just("remove"), PATHS, st.none()),
        st.tuples(st.just("rename"), PATHS, PATHS),
        st.tuples(st.just("merge"), PATHS, TEXTS),
        st.tuples(st.just("return"), st.integers(0, 5), st.none()),
        st.tuples(st.just("touch"), st.none(), st.none()),
        st.tuples(st.just("rewrite"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("read"), st.none(), st.none()),
    ),
    min_size=1,
    max_size=10,
)


class History:
    """Applies steps; remembers the tree at each commit on the line."""

    def __init__(self, repository: GitRepository) -> None:
        self.repository = repository
        self.line: list[tuple[str, dict[bytes, File]]] = []
        self._commit({b"README": b"-"})

    def _commit(self, files: dict[bytes, File], *side: str) -> None:
        parents = (self.line[-1][0],) if self.line else ()
        self.line.append((self.repository.commit(files, parents + side), files))

    def step(self, action: str, one: object, other: object) -> None:
        tip, files = self.line[-1]
        files = dict(files)
        if action == "set":
            files[one] = other
        elif action == "lines":
            files[one] = lines(**other)
        elif action == "remove":
            files.pop(one, None)
        elif action == "rename" and one in files:
            files[other] = files.pop(one)
        elif action == "return":
            files = dict(self.line[min(one, len(self.line) - 1)][1])
        elif action == "merge":
            side = self.repository.commit({**files, one: other, b"side.md": b"s"}, (tip,), branch="side")
            files |= {one: other, b"side.md": b"s"}
            return self._commit(files, side)
        elif action == "rewrite":
            del self.line[min(one, len(self.line) - 1) + 1 :]
            if other:
                self.repository.git("update-ref", "refs/heads/main", self.line[-1][0])
                return None
            files = {**self.line[-1][1], b"new.md": b"history"}
        return self._commit(files)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_every_step_equals_the_tree_of_its_commit(tmp_path_factory, steps):
    repository = GitRepository(tmp_path_factory.mktemp("history") / "documents.git")
    history, captured = History(repository), Captured()
    for step in [*steps, ("read", None, None)]:
        if step[0] != "read":
            history.step(*step)
            continue
        known = captured.cursor and captured.cursor.position
        on_line = [commit for commit, _ in history.line]
        before = len(captured.commits)
        for commit in opened(repository).read(captured.cursor, captured):
            captured.apply(commit)
            assert_equals_tree(captured, repository, commit.position)
        assert captured.cursor.position == on_line[-1]
        # A snapshot exactly where the known commit has left the first-parent line.
        taken = captured.commits[before:]
        assert [commit.snapshot for commit in taken] == ([False] * len(taken) if known in on_line else [True])


def test_each_commit_that_touches_documents_is_one_and_the_rest_fold(repository):
    tip = repository.commit({b"a.md": b"1"})
    captured = snapshot(opened(repository))
    ids = []
    for files in (
        {b"a.md": b"2"}, {b"a.md": b"2", b"x.png": b"p"}, {b"a.md": b"3", b"b.md": b"1"},
        {b"a.md": b"3", b"b.md": b"1"}, {b"a.md": b"3", b"b.md": b"1", b"x.png": b"q"},
    ):  # fmt: skip
        tip = repository.commit(files, (tip,))
        ids.append(tip)
    assert captured.catch_up(opened(repository)) == 3
    assert [commit.position for commit in captured.commits[1:]] == [ids[0], ids[2], ids[4]]
    assert [len(changes) for changes in captured.changes[1:]] == [1, 2, 0]
    assert captured.catch_up(opened(repository)) == 0


def test_a_merge_is_one_commit_of_all_that_it_brought(repository):
    base = repository.commit({b"a.md": b"1"})
    captured = snapshot(opened(repository))
    side = repository.commit({b"a.md": b"1", b"b.md": b"x"}, (base,), branch="side")
    side = repository.commit({b"a.md": b"1", b"b.md": b"y"}, (side,), branch="side")
    merge = repository.commit({b"a.md": b"1", b"b.md": b"y"}, (base, side))
    assert captured.catch_up(opened(repository)) == 1
    assert captured.cursor.position == merge
    assert captured.texts() == {"a.md": "1", "b.md": "y"}


def test_a_cursor_that_is_an_ancestor_but_not_a_first_parent_gives_a_snapshot(repository):
    base = repository.commit({b"a.md": b"1"})
    side = repository.commit({b"a.md": b"side"}, (base,))
    captured = snapshot(opened(repository))
    # Someone merged the other way round: what was captured is now the second parent.
    other = repository.commit({b"a.md": b"other"}, (base,))
    repository.commit({b"a.md": b"other"}, (other, side))
    assert captured.catch_up(opened(repository)) == 1
    assert captured.commits[-1].snapshot
    assert captured.texts() == {"a.md": "other"}


def test_a_rewritten_history_whose_old_commit_was_collected(repository):
    repository.commit({b"a.md": b"1", b"gone.md": b"x"})
    captured = snapshot(opened(repository))
    repository.commit({b"a.md": b"1"})
    repository.git("reflog", "expire", "--expire=now", "--all")
    repository.git("gc", "--quiet", "--prune=now")
    assert captured.catch_up(opened(repository)) == 1
    assert captured.commits[-1].snapshot
    assert captured.texts() == {"a.md": "1"}


def test_lines_of_a_jsonl_change_one_by_one(repository):
    tip = repository.commit({b"c.jsonl": lines(p="1", q="2", r="3")})
    captured = snapshot(opened(repository))
    tip = repository.commit({b"c.jsonl": lines(p="1", q="two", s="4")}, (tip,))
    captured.catch_up(opened(repository))
    assert {change.key for change in captured.changes[-1]} == {"c.jsonl#q", "c.jsonl#r", "c.jsonl#s"}
    repository.commit({}, (tip,))
    captured.catch_up(opened(repository))
    assert captured.documents == {}


def test_what_is_no_regular_file(repository):
    tip = repository.commit({b"a.md": b"1", b"b.md": b"2", b"c.jsonl": lines(p="1")})
    captured = snapshot(opened(repository))
    files = {b"a.md": ("120000", b"b.md"), b"b.md": ("100755", b"2"), b"l": ("120000", b"b.md")}
    tip = repository.commit({**files, b"c.jsonl": ("120000", b"a")}, (tip,))
    captured.catch_up(opened(repository))
    assert captured.texts() == {"b.md": "2"}
    assert captured.flaws().keys() == {"a.md", "c.jsonl"}
    assert {change.key for change in captured.changes[-1]} == {"a.md", "c.jsonl", "c.jsonl#p"}
    tip = repository.commit({**files, b"c.jsonl": lines(p="2")}, (tip,))
    captured.catch_up(opened(repository))
    assert captured.texts() == {"b.md": "2", "c.jsonl#p": "2"}
    # A submodule takes the path of a document: the document is gone.
    index = f"160000 {tip}\tb.md\n".encode()
    repository.git("update-index", "--index-info", data=index)
    tree = repository.git("write-tree")
    commit = repository.git(
        "-c", "user.name=t", "-c", "user.email=t@x", "commit-tree", tree, "-p", tip, "-m", "x"
    )
    repository.git("update-ref", "refs/heads/main", commit)
    captured.catch_up(opened(repository))
    assert captured.documents == snapshot(opened(repository)).documents == {}


def test_a_path_that_is_not_utf8_or_looks_like_a_line_is_shown(repository):
    tip = repository.commit({b"caf\xe9.md": b"1", b"c.jsonl#x.md": b"2", b"c.jsonl": lines(**{"x.md": "3"})})
    captured = snapshot(opened(repository))
    assert captured.texts() == {"c.jsonl#x.md": "3"}
    assert len(captured.flaws()) == 2
    assert any("caf" in key for key in captured.flaws())
    repository.commit({}, (tip,))
    captured.catch_up(opened(repository))
    assert captured.documents == {}


def test_large_files_and_lfs_pointers_are_unreadable(repository, monkeypatch):
    monkeypatch.setattr("pipelines.sources.files.SIZE_LIMIT", 100)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    repository.commit({b"a.md": b"x" * 101, b"b.pdf": pointer, b"c.jsonl": lines(p="y" * 200)})
    captured = snapshot(opened(repository))
    assert "limit" in captured.flaws()["a.md"]
    assert "LFS" in captured.flaws()["b.pdf"]
    assert captured.texts() == {"c.jsonl#p": "y" * 200}


def test_path_and_branch(repository):
    tip = repository.commit({b"d/a.md": b"1", b"da.md": b"2", b"d/.h/x.md": b"3"}, branch="docs")
    repository.commit({b"other.md": b"4"})
    source = opened(repository, branch="docs", path="d/")
    assert snapshot(source).texts() == {"d/a.md": "1"}
    captured = snapshot(source)
    repository.commit({b"d/a.md": b"1", b"da.md": b"9", b"d/.h/x.md": b"3"}, (tip,), branch="docs")
    assert captured.catch_up(source) == 1
    assert captured.changes[-1] == []
    assert source.probe().documents == 1
    with pytest.raises(SourceError, match="nothing at path 'missing'"):
        opened(repository, path="missing").probe()
    assert snapshot(opened(repository, branch="docs", path="d/.h")).texts() == {"d/.h/x.md": "3"}


def test_a_missing_branch_is_unavailable_and_names_those_there_are(repository):
    repository.commit({b"a.md": b"1"}, branch="one")
    repository.commit({b"a.md": b"1"}, branch="two")
    for source in (opened(repository), opened(repository, branch="three")):
        with pytest.raises(SourceUnavailable, match="one, two"):
            source.probe()


def test_a_head_without_a_branch_falls_back_to_the_only_one(repository):
    repository.commit({b"a.md": b"1"}, branch="only")
    assert snapshot(opened(repository)).texts() == {"a.md": "1"}


def test_a_deleted_branch_is_no_deletion_of_documents(repository):
    repository.commit({b"a.md": b"1"})
    captured = snapshot(opened(repository, branch="main"))
    repository.git("update-ref", "-d", "refs/heads/main")
    with pytest.raises(SourceUnavailable):
        captured.catch_up(opened(repository, branch="main"))
    assert captured.texts() == {"a.md": "1"}


@pytest.mark.parametrize("damage", ["missing", "corrupted"])
@pytest.mark.parametrize("which", ["blob", "tree"])
def test_a_damaged_object_is_unavailable(repository, damage, which):
    first = repository.commit({b"a.md": b"1", b"z.md": b"zebra"})
    captured = snapshot(opened(repository))
    tip = repository.commit({b"a.md": b"2", b"z.md": b"giraffe"}, (first,))
    last = repository.commit({b"a.md": b"3", b"z.md": b"giraffe"}, (tip,))
    name = (
        repository.tree(tip)[b"z.md"] if which == "blob" else repository.git("rev-parse", f"{last}^{{tree}}")
    )
    pack = next(iter((repository.path / "objects/pack").glob("*.pack")), None)
    if pack is not None:
        moved = repository.path.parent / "moved"
        shutil.move(repository.path / "objects/pack", moved)
        for one in moved.glob("*.pack"):
            repository.git("unpack-objects", "-q", data=one.read_bytes())
    loose = repository.path / "objects" / name[:2] / name[2:]
    loose.chmod(0o644)
    if damage == "missing":
        loose.unlink()
    else:
        loose.write_bytes(loose.read_bytes()[:-8] + b"damaged!")
    with pytest.raises(SourceUnavailable, match="git cannot read"):
        captured.catch_up(opened(repository))
    assert captured.texts()["z.md"] in ("zebra", "giraffe")
    assert captured.cursor.position in (first, tip)
    with pytest.raises(SourceUnavailable, match="git cannot read"):
        snapshot(opened(repository))


def test_a_directory_inside_a_repository_is_not_that_repository(tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path / "work")], check=True, env=QUIET)
    (tmp_path / "work/docs").mkdir()
    with pytest.raises(SourceUnavailable, match="not a git repository"):
        opened(tmp_path / "work/docs").probe()


def test_a_work_tree_is_read_from_its_history_only(tmp_path, repository):
    repository.commit({b"a.md": b"committed"})
    work = tmp_path / "work"
    subprocess.run(["git", "clone", "-q", str(repository.path), str(work)], check=True, env=QUIET)
    (work / "a.md").write_text("edited")
    (work / "b.md").write_text("untracked")
    assert snapshot(opened(work)).texts() == {"a.md": "committed"}
    assert opened(work).probe().documents == 1


def test_configuration_and_variables_around_us_do_not_matter(repository, monkeypatch, tmp_path):
    first = repository.commit({b"a.md": b"1"})
    captured = snapshot(opened(repository))
    repository.git("config", "diff.renames", "copies")
    repository.git("config", "core.quotePath", "true")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", "/nonexistent")
    other = repository.commit({b"\xc3\xa4.md": b"1"}, (first,))
    replacement = repository.commit({b"replaced.md": b"x"}, (first,), branch="side")
    repository.git("replace", other, replacement)
    captured.catch_up(opened(repository))
    assert captured.texts() == {"ä.md": "1"}


def test_committer_times_are_held_to_the_clock_and_to_each_other(repository):
    tips: tuple[str, ...] = ()
    for at, text in ((1_000, b"1"), (5_000, b"2"), (2_000, b"3"), (10**10, b"4"), (3_000, b"5")):
        repository.time = at - 60
        tips = (repository.commit({b"a.md": text}, tips),)
        if text == b"1":
            captured = snapshot(opened(repository))
    captured.catch_up(opened(repository))
    times = [commit.committed_at for commit in captured.commits]
    assert times[:3] == [datetime.fromtimestamp(at, UTC) for at in (1_000, 5_000, 5_000)]
    assert times[3] == times[4] <= utc_now()


def test_uris_do_not_change_when_the_content_does_not(repository):
    tip = repository.commit({b"d/a b.md": b"1"})
    captured = snapshot(opened(repository))
    repository.commit({b"d/a b.md": b"1", b"b.md": b"x"}, (tip,))
    captured.catch_up(opened(repository))
    assert captured.documents["d/a b.md"].uri == "documents/d/a%20b.md"
    assert snapshot(opened(repository)).documents == captured.documents


def test_changes_read_too_late_are_refused(repository):
    repository.commit({b"a.md": b"1"})
    commits = list(opened(repository).read(None, Captured()))
    with pytest.raises(SourceError, match="must be read before the next"):
        list(commits[0].changes)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/a/docs.git", "docs"), ("/a/docs/.git", "docs"), ("git@host:team/docs.git", "docs"),
        ("https://u:p@host/team/docs/", "docs"), ("/a/peps.bundle", "peps"), (".", "."),
    ],
)  # fmt: skip
def test_repository_names(uri, name):
    assert repository_name(uri) == name


def test_credentials_are_not_told():
    said = message(b"fatal: unable to access 'https://user:secret@host/x.git/': no")
    assert "secret" not in said
    assert "https://host/x.git" in said


def test_mirrors_follow_additions_rewrites_and_outages(tmp_path, repository):
    """A bundle is fetched as a remote URL would be."""
    bundle = tmp_path / "remote.bundle"

    def publish() -> None:
        repository.git("bundle", "create", "--quiet", str(bundle), "main")

    tip = repository.commit({b"a.md": b"1"})
    publish()
    captured = snapshot(opened(bundle))
    repository.commit({b"a.md": b"2"}, (tip,))
    publish()
    assert captured.catch_up(opened(bundle)) == 1
    assert not captured.commits[-1].snapshot
    repository.commit({b"b.md": b"3"})
    publish()
    assert captured.catch_up(opened(bundle)) == 1
    assert captured.commits[-1].snapshot
    assert captured.texts() == {"b.md": "3"}
    bundle.unlink()
    with pytest.raises(SourceUnavailable):
        captured.catch_up(opened(bundle))
    bundle.write_bytes(b"not a bundle")
    with pytest.raises(SourceUnavailable, match="git cannot read"):
        captured.catch_up(opened(bundle))
    assert captured.texts() == {"b.md": "3"}


def test_an_unreachable_remote_is_unavailable(tmp_path):
    source = open_source("git", "http://u:secret@127.0.0.1:9/x.git", {}, utc_now, tmp_path / "cache")
    with pytest.raises(SourceUnavailable) as caught:
        source.probe()
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(
    "HOLDFAST_DATASETS" not in os.environ, reason="HOLDFAST_DATASETS does not name the data sets"
)
def test_the_history_of_the_peps(tmp_path, record_property):
    bundle, bare = Path(os.environ["HOLDFAST_DATASETS"]) / "peps.bundle", tmp_path / "peps.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(bundle), str(bare)], check=True, env=QUIET)
    root = subprocess.run(
        ["git", f"--git-dir={bare}", "rev-list", "--max-parents=0", "main"],
        capture_output=True, check=True, env=QUIET,
    ).stdout.decode().strip()  # fmt: skip
    fresh, followed = snapshot(opened(bare)), Captured()
    source = opened(bare, branch="main")
    subprocess.run(["git", f"--git-dir={bare}", "branch", "start", root], check=True, env=QUIET)
    followed.catch_up(opened(bare, branch="start"))
    started = time.perf_counter()
    count = followed.catch_up(source)
    seconds = time.perf_counter() - started
    record_property("commits", count)
    record_property("seconds", round(seconds, 2))
    print(f"{count} commits, {sum(map(len, followed.changes))} changes in {seconds:.2f} s")
    assert {key: (v.content if isinstance(v, Upsert) else v) for key, v in followed.documents.items()} == {
        key: (v.content if isinstance(v, Upsert) else v) for key, v in fresh.documents.items()
    }
    assert not any(isinstance(document, Unreadable) for document in fresh.documents.values())
    assert source.probe().documents == len(fresh.documents)
    assert seconds < 20
