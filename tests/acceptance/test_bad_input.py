"""Bad input, through the real command line: each is named by its own error, and all the rest is published."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.build.document_preparer import DocumentPreparer
from pipelines.capture.health import source_health
from pipelines.errors import IngestBusy
from pipelines.sources.folder import folder_source
from registry.clock import utc_now
from retrieval.documents import listed
from retrieval.errors import GenerationNotServed
from tests.support.acme_home import Home
from tests.support.api import api_over, error_of
from tests.support.command_line import Ended
from tests.support.datasets import FULL
from tests.support.fake_encoder import FakeEncoder
from tests.support.git_repository import GitRepository
from tests.support.real_sources import add_source, opened_world, published
from tests.support.world import SetClock, World

GOOD = {
    "bread.md": "# Bread\n\nKnead the sourdough for ten minutes and let it rise overnight.\n",
    "bicycle.txt": "Oil the bicycle chain every two hundred kilometres.\n",
    "volcano.rst": "Volcano\n=======\n\nBasaltic lava flows quickly because it holds little silica.\n",
    "glacier.html": "<h1>Glacier</h1><p>Meltwater under the ice makes the glacier slide faster.</p>",
    "folder.md/inside.md": "A directory that is named like a document may hold one about submarines.\n",
}
LINES = (
    '{"_id": "first", "title": "Harbour", "text": "The harbour freezes in a cold winter."}',
    '{"_id": "broken", "text": "this line ends too early',
    '{"_id": "twice", "text": "The orchard bears apples."}',
    '{"_id": "twice", "text": "The same name again, about pears."}',
    '{"_id": "textless", "title": "nothing else"}',
    '["not", "an", "object"]',
    '{"text": "nobody knows my name"}',
    '{"_id": "last", "text": "The lighthouse is lit at dusk."}',
)
# Key to what its error must say.
BAD = {
    "rows.jsonl#broken": ("line 2", "is not JSON"),
    "rows.jsonl#twice@line4": ("line 4", "repeats the _id of line 3", "the first one counts"),
    "rows.jsonl#textless": ("line 5", "has no text"),
    "rows.jsonl#@line6": ("line 6", "is not a JSON object"),
    "rows.jsonl#@line7": ("line 7", "has no _id"),
    "empty.md": ("is empty",),
    "blank.txt": ("is empty",),
    "binary.md": ("is binary, not text", "NUL"),
    "photo.md": ("is not UTF-8 text", "save it as UTF-8"),
    "latin1.txt": ("is not UTF-8 text", "byte offset 6", "save it as UTF-8"),
    "huge.txt": ("52,428,800 bytes", "limit of 1,048,576"),
    "enormous.txt": (f"{70 * 2**20} bytes", "the limit is"),
    "dangling.md": ("cannot be read", "No such file"),
    "loop.md": ("cannot be read", "symbolic links"),
    "pipe.md": ("not a regular file",),
    "outside.md": ("the link leads out of the folder",),
    "elsewhere/": ("the link leads out of the folder",),
    "broken.pdf": ("is a corrupt PDF, or none",),
    "broken.docx": ("is a corrupt DOCX, or none",),
    "deep.md": ("is nested too deeply",),
    "endless.rst": ("was given up after 5 s of parsing", "split it", "HOLDFAST_PARSE_SECONDS"),
}


def endless_table() -> str:
    """A table of half a megabyte. docutils looks at every cell for every other one: it takes minutes."""
    rule, row = "+" + "--+" * 800, "|" + "a |" * 800
    return f"{rule}\n" + f"{row}\n{rule}\n" * 120


def fill(folder: Path, outside: Path) -> None:
    """The good documents, and one of everything that is wrong. Root cannot read these either."""
    for name, text in GOOD.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "rows.jsonl").write_text("\n".join(LINES))
    (folder / "empty.md").write_bytes(b"")
    (folder / "blank.txt").write_text(" \n\t\n")
    (folder / "binary.md").write_bytes(b"\x7fELF\x02\x01\x01\x00\x00\x00")
    (folder / "photo.md").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(1, 256)))
    (folder / "latin1.txt").write_bytes("Die Br\u00fccke \u00fcber den Flu\u00df.".encode("latin-1"))
    (folder / "huge.txt").write_bytes(b"lots of text. \n" * (50 * 2**20 // 15) + b"x" * (50 * 2**20 % 15))
    with (folder / "enormous.txt").open("wb") as file:
        file.truncate(70 * 2**20)
    (folder / "dangling.md").symlink_to("nowhere.md")
    (folder / "loop.md").symlink_to("loop.md")
    os.mkfifo(folder / "pipe.md")
    outside.mkdir()
    (outside / "secret.md").write_text("a secret outside of the folder")
    (folder / "outside.md").symlink_to(outside / "secret.md")
    (folder / "elsewhere").symlink_to(outside)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing of the kind")
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 nothing of the kind")
    (folder / "deep.md").write_bytes(b"> " * 100_000 + b"x\n")
    (folder / "endless.rst").write_text(endless_table())
    (folder / "ignored.png").write_bytes(b"\x89PNG")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A tenant over that folder, ingested by the command line with the real model: up to 1 MB and 5 s a document."""
    root = tmp_path_factory.mktemp("zoo")
    folder = root / "documents"
    folder.mkdir()
    fill(folder, root / "outside")
    home = Home(root / "home", folder, {})
    for arguments in (
        ["init"],
        ["tenant", "create", "acme", "--owner", "o@acme.example"],
        [
            "source",
            "add",
            "docs",
            "--tenant",
            "acme",
            "--kind",
            "folder",
            "--uri",
            str(folder),
            "-o",
            "quiescence=0",
        ],
    ):
        ended = home(*arguments, "--json")
        assert ended.status == 0, ended
    ended = ingest(home)
    assert (ended.status, document(ended).get("status")) == (0, "published"), ended
    return replace(home, outcome=document(ended))


def ingest(home: Home) -> Ended:
    limits = {"HOLDFAST_MAX_DOCUMENT_MB": "1", "HOLDFAST_PARSE_SECONDS": "5"}
    return home("ingest", "--tenant", "acme", "--json", **limits)


def document(ended: Ended) -> Any:
    assert ended.document is not None, ended
    return ended.document


@pytest.fixture(scope="module")
def zoo_documents(zoo: Home) -> dict[str, dict[str, Any]]:
    return {row["document"]: row for row in document(zoo("document", "list", "--tenant", "acme", "--json"))}


@pytest.mark.parametrize("key", BAD)
def test_each_bad_document_is_quarantined_with_an_error_that_says_why(
    zoo_documents: dict[str, dict[str, Any]], key: str
) -> None:
    row = zoo_documents[key]
    assert (row["state"], row["chunks"]) == ("quarantined", 0)
    for part in BAD[key]:
        assert part in row["error"], row["error"]


def test_all_other_documents_are_published(zoo: Home, zoo_documents: dict[str, dict[str, Any]]) -> None:
    lines = {f"rows.jsonl#{name}" for name in ("first", "twice", "last")}
    good = {key for key, row in zoo_documents.items() if row["state"] == "live"}
    assert good == GOOD.keys() | lines
    assert zoo_documents.keys() == good | BAD.keys()
    assert zoo.outcome["documents"]["live"] == len(good)
    assert zoo.outcome["documents"]["quarantined"] == len(BAD)
    assert zoo.outcome["work"]["failures"] == {"docs": len(BAD)}
    found = document(zoo("search", "apples of the orchard", "--tenant", "acme", "--k", "100", "--json"))
    assert found["hits"][0]["document"] == "rows.jsonl#twice"
    assert {hit["document"] for hit in found["hits"]} == good
    assert "secret" not in json.dumps(found)
    assert "pears" not in json.dumps(found)


def test_the_persons_table_names_the_errors_too(zoo: Home) -> None:
    ended = zoo("document", "list", "--tenant", "acme")
    said = " ".join((ended.stdout + ended.stderr).split())
    assert ended.status == 0
    assert "latin1.txt: is not UTF-8 text" in said
    assert f"{len(BAD)} quarantined" in said


def test_doctor_is_red_about_so_many_in_quarantine(zoo: Home) -> None:
    ended = zoo("doctor", "--json")
    assert ended.status == 1
    assert "in quarantine" in json.dumps(document(ended))


def test_a_second_run_tries_none_of_them_again(zoo: Home) -> None:
    ended = ingest(zoo)
    assert (ended.status, document(ended)["status"], document(ended)["embedded"]) == (0, "unchanged", 0)


def test_a_folder_that_vanished_turns_the_run_and_its_check_red(zoo: Home) -> None:
    """Exit status 1, the reason on stderr, `source_healthy` failed in Dagster; everything is served as before."""
    aside = zoo.folder.with_name("aside")
    zoo.folder.rename(aside)
    try:
        ended = ingest(zoo)
        rows = document(zoo("document", "list", "--tenant", "acme", "--json"))
    finally:
        aside.rename(zoo.folder)
    assert (ended.status, document(ended)["status"], document(ended)["documents"]["deleted"]) == (
        1,
        "unchanged",
        0,
    )
    assert "cannot be read: No such file" in ended.stderr
    assert sum(row["state"] == "live" for row in rows) == zoo.outcome["documents"]["live"]
    assert newest_check(zoo, "source_healthy") == "FAILED"
    assert newest_check(zoo, "deletions_expected") == "SUCCEEDED"
    assert ingest(zoo).status == 0
    assert newest_check(zoo, "source_healthy") == "FAILED", "most of these documents are in quarantine"
    assert zoo("contract", "set", "--tenant", "acme", "quarantine_share=1.0").status == 0
    ended = ingest(zoo)
    assert (ended.status, newest_check(zoo, "source_healthy")) == (0, "SUCCEEDED")


def newest_check(home: Home, name: str) -> str:
    """The newest execution of a check on `captured_changes`, as Dagster's own storage has it."""
    with sqlite3.connect(home.path / "dagster" / "history" / "runs" / "index.db") as connection:
        query = "SELECT execution_status FROM asset_check_executions WHERE check_name = ? ORDER BY id DESC LIMIT 1"
        found = connection.execute(query, [name]).fetchone()
    connection.close()
    return str(found[0])


# One process from here on: a fake encoder, real sources.


class Folder:
    """A tenant over a folder of five documents, published."""

    def __init__(self, world: World, root: Path) -> None:
        self.world, self.root = world, root
        world.add_tenant()
        for name in ("one", "two", "three", "four", "five"):
            self.write(f"{name}.md", f"# {name}\n\nThis file is number {name} and says everywhere.")
        add_source(world, "folder", root)
        published(world)

    def write(self, name: str, text: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    def capture(self) -> str:
        """Looks at the source; gives its error."""
        self.world.clock.advance(60)
        [captured] = self.world.capture()
        return captured.error

    def found(self) -> set[str]:
        return set(self.world.found("everywhere", k=100, mode="lexical"))

    def states(self) -> dict[str, str]:
        with self.world.reading() as session:
            return {row.document: row.state for row in listed(session, self.world.tenant)}

    def errors(self) -> dict[str, str]:
        with self.world.reading() as session:
            return {row.document: row.error for row in listed(session, self.world.tenant) if row.error}

    def healthy(self) -> dict[str, bool]:
        with self.world.reading() as session:
            health = source_health(session, self.world.tenant, self.world.clock())
        return {source.name: source.healthy for source in health}


ALL = {"one.md", "two.md", "three.md", "four.md", "five.md"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened_world(tmp_path / "home") as world:
        yield world


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Folder:
    return Folder(world, tmp_path / "documents")


@pytest.mark.parametrize("how", ["gone", "emptied mount", "a file in its place", "a dangling link"])
def test_a_folder_that_vanished_is_an_error_and_never_a_deletion(folder: Folder, how: str) -> None:
    aside = folder.root.with_name("aside")
    folder.root.rename(aside)
    messages = {
        "gone": "cannot be read: No such file", "emptied mount": "is it mounted?",
        "a file in its place": "is not a folder", "a dangling link": "cannot be read: No such file",
    }  # fmt: skip
    if how == "emptied mount":
        folder.root.mkdir()
    elif how == "a file in its place":
        folder.root.write_text("not a folder")
    elif how == "a dangling link":
        folder.root.symlink_to("nowhere")
    for _ in range(3):
        assert messages[how] in folder.capture()
        outcome = folder.world.run()
        assert (outcome.status, outcome.documents.deleted) == ("unchanged", 0)
    assert folder.found() == ALL
    assert set(folder.states().values()) == {"live"}
    assert folder.healthy() == {"docs": False}
    if how == "emptied mount":
        folder.root.rmdir()
    elif folder.root.is_symlink() or folder.root.exists():
        folder.root.unlink()
    aside.rename(folder.root)
    assert folder.capture() == ""
    assert folder.healthy() == {"docs": True}
    assert folder.world.run().status == "unchanged"
    assert folder.found() == ALL


def test_a_source_that_is_down_lets_the_others_move_on(folder: Folder, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "six.md").write_text("number six says everywhere too")
    add_source(folder.world, "folder", other, name="more")
    folder.root.rename(folder.root.with_name("aside"))
    outcome = folder.world.run()
    assert outcome.status == "published"
    assert folder.found() == ALL | {"six.md"}
    assert folder.healthy() == {"docs": False, "more": True}


def test_a_repository_that_vanished_or_lost_its_branch_deletes_nothing(world: World, tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "repository.git")
    repository.commit({name.encode(): f"{name} says everywhere".encode() for name in sorted(ALL)})
    world.add_tenant()
    add_source(world, "git", repository.path, branch="main")
    published(world)
    aside = repository.path.with_name("aside.git")
    repository.path.rename(aside)
    assert "there is no repository at" in world.capture()[0].error
    aside.rename(repository.path)
    repository.git("branch", "-m", "main", "trunk")
    assert "there is no branch 'main'" in world.capture()[0].error
    repository.git("branch", "-m", "trunk", "main")
    shutil.rmtree(repository.path / "objects")
    (repository.path / "objects").mkdir()
    assert world.capture()[0].error
    assert world.run().status == "unchanged"
    assert set(world.found("everywhere", k=100, mode="lexical")) == ALL


def test_a_database_that_vanished_or_is_none_deletes_nothing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "pages.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE page (id TEXT PRIMARY KEY, body TEXT)")
        connection.executemany(
            "INSERT INTO page VALUES (?, ?)", [(name, "everywhere") for name in sorted(ALL)]
        )
    connection.close()
    world.add_tenant()
    add_source(world, "sqlite", path, table="page", key="id", body="body")
    published(world)
    aside = path.with_name("aside")
    path.rename(aside)
    assert world.capture()[0].error
    assert not path.exists(), "a look must not make an empty database"
    path.write_bytes(b"this is no database at all" * 100)
    assert world.capture()[0].error
    with sqlite3.connect(path.with_name("empty.sqlite3")) as connection:
        connection.execute("CREATE TABLE other (id TEXT)")
    connection.close()
    path.with_name("empty.sqlite3").replace(path)
    assert "page" in world.capture()[0].error
    assert world.run().status == "unchanged"
    assert set(world.found("everywhere", k=100, mode="lexical")) == ALL
    aside.replace(path)
    assert world.capture()[0].error == ""


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"\x00\x01\x02"), "is binary"),
        (lambda path: path.write_bytes("fa\u00e7ade".encode("latin-1")), "is not UTF-8 text"),
        (lambda path: (path.unlink(), path.symlink_to("nowhere.md")), "cannot be read"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "not a regular file"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/hostname")), "leads out of the folder"),
    ],
)
def test_a_document_that_breaks_keeps_its_last_good_version_marked_stale(
    folder: Folder, spoil: Callable[[Path], object], why: str
) -> None:
    spoil(folder.root / "one.md")
    folder.write("six.md", "number six says everywhere")
    assert folder.capture() == ""
    assert folder.found() == ALL
    outcome = published(folder.world)
    assert (outcome.documents.stale, outcome.documents.deleted, outcome.documents.added) == (1, 0, 1)
    assert folder.states() == {"one.md": "stale"} | dict.fromkeys((ALL | {"six.md"}) - {"one.md"}, "live")
    assert why in folder.errors()["one.md"]
    hits = {hit.document: hit for hit in folder.world.search("everywhere", k=100).hits}
    assert {key for key, hit in hits.items() if hit.stale} == {"one.md"}
    assert hits["one.md"].position != hits["six.md"].position
    (folder.root / "one.md").unlink()
    folder.write("one.md", "mended, everywhere")
    published(folder.world)
    assert set(folder.states().values()) == {"live"}


def test_a_jsonl_file_that_cannot_be_read_deletes_none_of_its_documents(folder: Folder) -> None:
    lines = [json.dumps({"_id": f"n{n}", "text": f"line {n} says everywhere"}) for n in range(4)]
    folder.write("rows.jsonl", "\n".join(lines))
    published(folder.world)
    keys = {f"rows.jsonl#n{n}" for n in range(4)}
    (folder.root / "rows.jsonl").unlink()
    os.mkfifo(folder.root / "rows.jsonl")
    assert folder.capture() == ""
    assert folder.found() == ALL | keys
    published(folder.world)
    states = folder.states()
    assert {key for key, state in states.items() if state == "stale"} == keys
    assert states["rows.jsonl"] == "quarantined"
    (folder.root / "rows.jsonl").unlink()
    folder.write("rows.jsonl", "\n".join([*lines[:2], lines[2][:-5], lines[3]]))
    published(folder.world)
    assert {key: state for key, state in folder.states().items() if "rows" in key} == {
        "rows.jsonl#n0": "live", "rows.jsonl#n1": "live", "rows.jsonl#n2": "stale", "rows.jsonl#n3": "live",
    }  # fmt: skip


def _after_first_scan(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None], every: bool = False) -> None:
    """Do something after the first look of a capture (or after every one)."""
    real, done = folder_source.scan, []

    def scan(root: Path) -> Any:
        seen = real(root)
        if every or not done:
            done.append(True)
            act()
        return seen

    monkeypatch.setattr(folder_source, "scan", scan)


def test_a_file_that_disappears_between_the_scans_is_just_gone(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("six.md", "number six says everywhere")
    folder.write("one.md", "one says everywhere in new words")
    with monkeypatch.context() as patch:
        _after_first_scan(patch, lambda: (folder.root / "six.md").unlink())
        assert folder.capture() == ""
    published(folder.world)
    assert folder.states() == dict.fromkeys(ALL, "live")
    assert "new words" in folder.world.texts()["one.md"][0]


def test_a_folder_that_never_rests_is_an_error_and_the_next_look_brings_all(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = iter(range(1000))
    monkeypatch.setattr(folder_source, "PAUSE_SECONDS", 0)
    with monkeypatch.context() as patch:
        _after_first_scan(patch, lambda: folder.write("busy.md", f"everywhere {next(counter)}"), every=True)
        assert "keeps changing" in folder.capture()
    assert folder.healthy() == {"docs": False}
    assert folder.world.run().sources
    assert folder.found() >= ALL
    assert folder.capture() == ""
    folder.world.run()
    assert folder.found() == ALL | {"busy.md"}


class WallClock(SetClock):
    """The time that other processes have too."""

    def __call__(self) -> datetime:
        return utc_now()


class Waiting(FakeEncoder):
    """An encoder that stops in the middle of a build until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.go = threading.Event(), threading.Event()
        self.go.set()

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.reached.set()
        assert self.go.wait(120)
        return super().encode(texts)


def test_of_two_ingests_at_once_one_is_told_and_the_other_publishes(tmp_path: Path) -> None:
    """The second is refused whether it is a call in this process or a command in another one."""
    encoder = Waiting()
    with opened_world(tmp_path / "home", encoder=encoder, clock=WallClock()) as world:
        folder = Folder(world, tmp_path / "documents")
        folder.write("six.md", "number six says everywhere")
        encoder.reached.clear()
        encoder.go.clear()
        outcomes: list[Any] = []
        first = threading.Thread(target=lambda: outcomes.append(world.run()))
        first.start()
        assert encoder.reached.wait(60)
        with pytest.raises(IngestBusy, match="another ingest of tenant acme is running"):
            world.ingestion.build(world.tenant, "the second")
        ended = Home(world.home, folder.root, {})("ingest", "--tenant", "acme", "--json")
        encoder.go.set()
        first.join()
        assert ended.status == 1
        error = document(ended)["error"]
        assert error["code"] == "ingest_busy"
        assert "another ingest of tenant acme is running" in error["message"]
        assert [outcome.status for outcome in outcomes] == ["published"]
        assert folder.found() == ALL | {"six.md"}
        assert world.run().status == "unchanged"


def test_a_retired_generation_is_refused_by_its_state_and_those_that_are_served_are_named(
    folder: Folder,
) -> None:
    world = folder.world
    world.set_contract(retained_generations=1)
    for version in range(2):
        folder.write("one.md", f"one says everywhere, edition {version}")
        published(world)
    said = "generation 1 of tenant acme is retired; served are 3, 2"
    with pytest.raises(GenerationNotServed, match=said):
        world.search("everywhere", as_of=1)
    with pytest.raises(GenerationNotServed, match="generation 9 of tenant acme does not exist"):
        world.search("everywhere", as_of=9)
    assert {hit.document for hit in world.search("everywhere", as_of=2).hits} == ALL
    home = Home(world.home, folder.root, {})
    for command in (["search", "everywhere"], ["document", "list"]):
        ended = home(*command, "--tenant", "acme", "--as-of", "1", "--json")
        assert (ended.status, document(ended)["error"]["code"]) == (2, "generation_not_served")
        assert said in document(ended)["error"]["message"]
    with api_over(world) as api:
        error = error_of(api.post({"query": "everywhere", "as_of": 1}), 410, "generation_not_served")
        assert said in error["message"]


def test_the_command_says_that_a_source_vanished(folder: Folder) -> None:
    """Red for whoever looks: the exit status, the list of sources, Dagster's check `source_healthy`."""
    folder.root.rename(folder.root.with_name("aside"))
    home = Home(folder.world.home, folder.root, {})
    assert "cannot be read" in folder.capture()
    ended = home("source", "list", "--tenant", "acme", "--json")
    assert "cannot be read: No such file" in json.dumps(document(ended))
    ended = home("doctor", "--json")
    assert (ended.status, "failing" in json.dumps(document(ended))) == (1, True)
    assert folder.found() == ALL


@pytest.mark.skipif(not FULL, reason="chunks 50 MB; HOLDFAST_FULL=1 runs it")
@pytest.mark.timeout(1800)
def test_fifty_megabytes_of_text_are_one_document_like_any_other(folder: Folder) -> None:
    paragraph = "The harbour is everywhere. " * 40
    numbered = "\n\n".join(f"{paragraph} {n % 500}" for n in range(50 * 2**20 // (len(paragraph) + 6)))
    folder.write("huge.txt", numbered)
    folder.world.ingestion = replace(
        folder.world.ingestion, preparer=DocumentPreparer.of(folder.world.settings)
    )
    outcome = published(folder.world)
    assert outcome.documents.live == 6
    assert outcome.chunks.live > 40_000
    assert set(folder.states().values()) == {"live"}
    assert folder.found() == ALL | {"huge.txt"}, "most chunks of this query are those of one document"
    assert folder.world.found("file number three", mode="lexical")[0] == "three.md"
