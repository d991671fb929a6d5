"""Generated git histories, as nasty as they come: the index is the tree at the pin, and what went is gone at once."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from pipelines.sources.files import MEDIA_TYPES
from registry import deletions
from retrieval.documents import listed
from tests.support.datasets import FULL
from tests.support.git_repository import File, GitRepository
from tests.support.real_sources import add_source, content_digest, opened_world, published
from tests.support.world import World, red

SEEDS = range(int(os.environ.get("HOLDFAST_HISTORIES", "40" if FULL else "6")))
STEPS = 12
WORD = "everywhere"  # every readable document has it, so that one query asks for all of them
BROKEN = b"not UTF-8 nor any other text: \x81\xfa\xfe"
PATHS = tuple(
    f"{folder}{name}{suffix}".encode()
    for folder in ("", "guides/", "guides/deep er/")
    for name, suffix in (
        ("one", ".md"),
        ("two", ".txt"),
        ("drei-\u00fc", ".rst"),
        ("four", ".html"),
        ("five", ".MD"),
    )
)
OTHERS = (b"logo.png", b".github/readme.md", b"code.py", b"guides/.hidden.txt")


@dataclass
class History:
    """A repository whose branch `main` is moved by random operations. `trees` has every commit's files."""

    repository: GitRepository
    random: random.Random
    trees: dict[str, dict[bytes, File]] = field(default_factory=dict)
    line: list[str] = field(default_factory=list)
    texts: int = 0
    lost: list[tuple[bytes, File]] = field(default_factory=list)

    @property
    def tip(self) -> str:
        return self.line[-1]

    def begin(self, documents: int = 12) -> None:
        files: dict[bytes, File] = {path: self.text() for path in PATHS[:documents]}
        files |= {b"logo.png": b"\x89PNG", b"code.py": b"pass", b".github/readme.md": self.text()}
        self.advance(files)

    def text(self) -> bytes:
        """A text that no other commit ever had; some take several chunks."""
        self.texts += 1
        sentences = [f"Edition marker{self.texts:05d} is {WORD}."]
        sentences += [
            f"Sentence {n} of text {self.texts} goes on and on." for n in range(self.random.choice([1, 9]))
        ]
        return " ".join(sentences).encode()

    def commit(self, files: dict[bytes, File], parents: tuple[str, ...], branch: str = "main") -> str:
        made = self.repository.commit(files, parents, branch)
        self.trees[made] = dict(files)
        assert self.repository.tree(made).keys() == files.keys()
        return made

    def advance(self, files: dict[bytes, File], *merged: str) -> None:
        self.line.append(self.commit(files, (*self.line[-1:], *merged)))

    def operate(self) -> str:
        operations = (
            self.edit, self.edit, self.add, self.add, self.delete, self.rename, self.rename, self.rename_and_edit,
            self.bring_back, self.bring_back, self.shake, self.merge, self.merge, self.foxtrot, self.force_push,
            self.break_or_mend, self.overwrite_by_rename,
        )  # fmt: skip
        operation = self.random.choice(operations)
        operation()
        return operation.__name__

    # Operations on the tip.

    def edit(self) -> None:
        files = dict(self.trees[self.tip])
        for path in self._some(files, 3):
            files[path] = self.text()
        self.advance(files)

    def add(self) -> None:
        files = dict(self.trees[self.tip])
        free = [path for path in (*PATHS, *OTHERS) if path not in files]
        for path in self.random.sample(free, min(len(free), 2)):
            files[path] = self.text()
        self.advance(files)

    def delete(self) -> None:
        files = dict(self.trees[self.tip])
        for path in self._some(files, 2):
            self._lose(path, files.pop(path))
        self.advance(files)

    def rename(self) -> None:
        """Maybe in a chain: the next rename may take the same document further, or back."""
        files = dict(self.trees[self.tip])
        for path in self._some(files, 2):
            self._move(files, path)
        self.advance(files)

    def rename_and_edit(self) -> None:
        files = dict(self.trees[self.tip])
        for path in self._some(files, 1):
            if target := self._move(files, path):
                files[target] = self.text()
        self.advance(files)

    def overwrite_by_rename(self) -> None:
        files = dict(self.trees[self.tip])
        paths = self._some(files, 2)
        if len(paths) == 2:
            files[paths[0]] = files.pop(paths[1])
            self.advance(files)

    def bring_back(self) -> None:
        """A document that left returns, as it was or with another text."""
        files = dict(self.trees[self.tip])
        for path, file in self.random.sample(self.lost, min(2, len(self.lost))):
            files.setdefault(path, self.random.choice([file, self.text()]))
        self.advance(files)

    def shake(self) -> None:
        """Gone in one commit and back in the next: a reader may see neither between two captures."""
        files = dict(self.trees[self.tip])
        path = self._some(files, 1)
        if path:
            kept = files.pop(path[0])
            self.advance(files)
            self.advance({**files, path[0]: self.random.choice([kept, self.text()])})

    def break_or_mend(self) -> None:
        files = dict(self.trees[self.tip])
        path = self._some(files, 1)
        if path:
            broken: tuple[File, ...] = (BROKEN, b"", ("120000", b"guides/one.md"))
            files[path[0]] = self.random.choice(broken) if _marker(files[path[0]]) else self.text()
            self.advance(files)

    def merge(self) -> None:
        """A side branch, commits on it and on main, then a merge with main as the first parent."""
        base = self.tip
        side = self._side(base)
        self.edit()
        mine, theirs, before = self.trees[self.tip], self.trees[side], self.trees[base]
        merged = {
            path: theirs[path] if theirs.get(path) != before.get(path) and path in theirs else mine[path]
            for path in {**mine, **theirs}
            if not (path in before and (path not in theirs or path not in mine))
        }
        self.advance(merged, side)

    def foxtrot(self) -> None:
        """The side branch merges main into itself and becomes main: the old tip leaves the first-parent line."""
        base = self.tip
        side = self._side(base)
        self.delete()
        merged = {**self.trees[self.tip], **self.trees[side]}
        tip = self.commit(merged, (side, self.tip))
        self.line = [*self.line[: self.line.index(base) + 1], *self._between(base, side), tip]

    def force_push(self) -> None:
        """Main is reset to an older commit, or rewritten from there; some commits never were."""
        if len(self.line) < 3:
            return
        keep = self.random.randrange(max(1, len(self.line) - 4), len(self.line))
        dropped, self.line = self.line[keep:], self.line[:keep]
        self.repository.git("update-ref", "refs/heads/main", self.tip)
        if self.random.random() < 0.7:
            files = dict(self.trees[self.random.choice([self.tip, dropped[-1]])])
            for path in self._some(files, 2):
                files[path] = self.text()
            self.advance(files)

    def _side(self, base: str) -> str:
        files, at = dict(self.trees[base]), base
        for _ in range(self.random.randrange(1, 3)):
            for path in self._some(files, 2):
                files[path] = self.text()
            for path in [p for p in PATHS if p not in files][:1]:
                files[path] = self.text()
            at = self.commit(files, (at,), "side")
        return at

    def _between(self, base: str, tip: str) -> list[str]:
        line = self.repository.git("rev-list", "--first-parent", "--reverse", f"{base}..{tip}")
        return line.split()

    def _some(self, files: dict[bytes, File], most: int) -> list[bytes]:
        known = sorted(path for path in files if path in PATHS)
        return self.random.sample(known, min(len(known), self.random.randrange(1, most + 1)))

    def _move(self, files: dict[bytes, File], path: bytes) -> bytes | None:
        free = [target for target in PATHS if target not in files]
        if not free:
            return None
        target = self.random.choice(free)
        self._lose(path, files[path])
        files[target] = files.pop(path)
        return target

    def _lose(self, path: bytes, file: File) -> None:
        if _marker(file):
            self.lost.append((path, file))


def _marker(file: File) -> str | None:
    """What names the one version that has this content; None for a file that cannot be read as a document."""
    if isinstance(file, tuple) or f" is {WORD}".encode() not in file:
        return None
    return file.split()[1].decode()


def documents(files: dict[bytes, File]) -> dict[str, str | None]:
    """Key to marker of the files that are documents by their names."""
    found = {}
    for path, file in files.items():
        key = path.decode()
        parts = PurePosixPath(key).parts
        if PurePosixPath(key).suffix.lower() in MEDIA_TYPES and not any(
            part.startswith(".") for part in parts
        ):
            found[key] = _marker(file)
    return found


@dataclass
class Log:
    """Trees in the order in which capture must have seen them, since the live generation."""

    steps: list[dict[bytes, File]]

    def hidden(self, keys: set[str]) -> set[str]:
        """Of documents of the live generation: those whose deletion, anywhere since, was not a rename that stands."""
        return {key for key in keys if any(self._ends(key, i) for i in self._departures(key))}

    def _departures(self, key: str) -> Iterator[int]:
        path = key.encode()
        for i in range(1, len(self.steps)):
            if path in self.steps[i - 1] and path not in self.steps[i]:
                yield i

    def _ends(self, key: str, at: int) -> bool:
        before, after = self.steps[at - 1], self.steps[at]
        content = before[key.encode()]
        if isinstance(content, tuple):
            return True
        arrivals = [p.decode() for p, file in after.items() if file == content and before.get(p) != file]
        arrivals = [arrival for arrival in arrivals if arrival in documents(after)]
        return not any(self._stands(arrival, at) for arrival in arrivals)

    def _stands(self, key: str, since: int) -> bool:
        following = next((i for i in self._departures(key) if i > since), None)
        return following is None or not self._ends(key, following)


@dataclass
class Tenancy:
    """A tenant that follows `main`, with our own account of what it must be served."""

    world: World
    history: History
    captured: str = ""
    log: Log = field(default_factory=lambda: Log([]))
    served: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)

    def capture(self) -> None:
        """Capture, and at once what was deleted is not found, before anything is built."""
        self._note_commits()
        self.world.clock.advance(60)
        [captured] = self.world.capture()
        assert (captured.error, captured.position) == ("", self.history.tip)
        if self.served:
            self.is_served(self.log.hidden(set(self.states)))

    def _note_commits(self) -> None:
        tip, trees, line = self.history.tip, self.history.trees, self.history.line
        if self.captured in line:
            self.log.steps += [trees[commit] for commit in line[line.index(self.captured) + 1 :]]
        else:
            self.log.steps.append(trees[tip])
        self.captured = tip

    def publish(self) -> None:
        """Build and publish: every document of the tree, no other, in the version that the tree has."""
        gone = self.log.hidden(set(self.states))
        outcome = self.world.run()
        faults = [f"{check.name}: {check.summary}" for check in outcome.checks if check.holds_back]
        assert outcome.status in ("published", "unchanged"), (outcome.status, outcome.reason, faults)
        # Of trailing commits that touched no document the tenant keeps the position before them.
        pinned, tree = self.history.trees[outcome.sources["docs"]], self.history.trees[self.captured]
        assert {p: f for p, f in pinned.items() if p.decode() in documents(pinned)} == {
            p: f for p, f in tree.items() if p.decode() in documents(tree)
        }
        self._account(gone)
        self.log = Log([self.history.trees[self.captured]])
        assert self.world.documents() == self.states
        assert self.index_markers() == self.served
        self.is_served(set())

    def _account(self, gone: set[str]) -> None:
        states, served = {}, {}
        for key, marker in documents(self.history.trees[self.captured]).items():
            if marker is not None:
                states[key], served[key] = "live", marker
            elif key in self.served and key not in gone:
                states[key], served[key] = "stale", self.served[key]
            else:
                states[key] = "quarantined"
        self.states, self.served = states, served

    def is_served(self, hidden: set[str]) -> None:
        """What searches find, lexical and hybrid, and what the list says, is what is served minus what is hidden."""
        for mode in ("lexical", "hybrid"):
            answer = self.world.search(WORD, k=1000, mode=mode)
            found = {hit.document: _marker(hit.text.encode()) for hit in answer.hits if WORD in hit.text}
            assert found == {key: marker for key, marker in self.served.items() if key not in hidden}, mode
            assert not {hit.document for hit in answer.hits} & hidden
            assert answer.hidden_since == len(hidden)
        with self.world.reading() as session:
            states = {row.document: row.state for row in listed(session, self.world.tenant)}
        assert states == {key: "hidden" if key in hidden else state for key, state in self.states.items()}

    def index_markers(self) -> dict[str, str]:
        """Document to the marker of its text, over the points of the index; every chunk is of that one text."""
        found = {}
        for key, texts in self.world.texts().items():
            markers = {
                word for text in texts for word in text.replace(".", " ").split() if word.startswith("marker")
            }
            assert len(markers) == 1, (key, markers)
            found[key] = markers.pop()
        return found


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(GitRepository(tmp_path / "repository.git"), random.Random(0))


@pytest.fixture
def world(tmp_path: Path, history: History) -> Iterator[World]:
    with opened_world(tmp_path / "home") as world:
        world.add_tenant()
        add_source(world, "git", history.repository.path, branch="main")
        yield world


@pytest.mark.parametrize("seed", SEEDS)
def test_the_index_is_the_tree_at_every_step(
    seed: int, world: World, history: History, tmp_path: Path
) -> None:
    """Merges, renames, returns, broken files, force-pushes; at the end a fresh home holds the same content."""
    history.random.seed(seed)
    history.begin()
    world.set_contract(mass_deletion_share=1.0, quarantine_share=1.0)
    tenancy = Tenancy(world, history)
    done = []
    for step in range(STEPS):
        if step:
            done += [history.operate() for _ in range(history.random.randrange(1, 4))]
        tenancy.capture()
        if step == 0 or step == STEPS - 1 or history.random.random() < 0.6:
            done.append("publish")
            tenancy.publish()
    assert world.alerts("mass_deletion_held") == []
    with opened_world(tmp_path / "fresh") as fresh:
        fresh.add_tenant()
        add_source(fresh, "git", history.repository.path, branch="main")
        fresh.set_contract(mass_deletion_share=1.0, quarantine_share=1.0)
        published(fresh)
        stale = {key for key, state in tenancy.states.items() if state == "stale"}
        assert {k for k, state in fresh.documents().items() if state != "live"} == {
            k for k, state in tenancy.states.items() if state != "live"
        }
        if not stale:
            assert content_digest(world) == content_digest(fresh)
        assert _texts_but(world, stale) == _texts_but(fresh, stale)


def _texts_but(world: World, left_out: set[str]) -> dict[str, list[str]]:
    return {key: texts for key, texts in world.texts().items() if key not in left_out}


def test_a_mass_deletion_waits_for_a_person_and_hides_nothing(world: World, history: History) -> None:
    """Four of twelve documents go in a commit: held. What comes after it is not in the index until then."""
    tenancy = _begun(world, history)
    before = history.tip
    files = dict(history.trees[before])
    gone = [path for path in sorted(files) if path in PATHS][:4]
    history.advance({path: file for path, file in files.items() if path not in gone})
    offending = history.tip
    history.edit()
    _captured(world, history)
    tenancy.is_served(set())
    outcome = world.run()
    assert (outcome.status, outcome.held, outcome.sources) == (
        "held",
        {"docs": [offending]},
        {"docs": before},
    )
    assert "deletion list" in outcome.reason
    assert [alert.details["commits"] for alert in world.alerts("mass_deletion_held")] == [[offending]]
    tenancy.is_served(set())
    with world.registry.write() as session:
        [held] = deletions.decide(session, world.tenant, "confirmed", "a person", world.clock())
    assert held.documents == tuple(path.decode() for path in gone)
    tenancy.is_served({path.decode() for path in gone})
    tenancy.captured = history.tip
    tenancy.publish()


def test_one_more_deletion_after_an_accident_still_takes_effect_at_once(
    world: World, history: History
) -> None:
    tenancy = _begun(world, history)
    files = dict(history.trees[history.tip])
    for path in PATHS[:4]:
        del files[path]
    history.advance(files)
    _captured(world, history)
    tenancy.is_served(set())
    del files[PATHS[5]]
    history.advance(files)
    _captured(world, history)
    tenancy.is_served({PATHS[5].decode()})
    assert world.run().status == "held"
    tenancy.is_served({PATHS[5].decode()})


def test_a_rejected_mass_deletion_keeps_its_documents_marked_stale(world: World, history: History) -> None:
    tenancy = _begun(world, history)
    before = dict(history.trees[history.tip])
    kept = {path: before[path] for path in PATHS[:5]}
    history.advance({path: file for path, file in before.items() if path not in kept})
    history.edit()
    _captured(world, history)
    with world.registry.write() as session:
        deletions.decide(session, world.tenant, "rejected", "a person", world.clock())
    published(world)
    tree = documents(history.trees[history.tip])
    tenancy.states = dict.fromkeys(tree, "live") | {path.decode(): "stale" for path in kept}
    tenancy.served = {key: marker for key, marker in tree.items() if marker} | {
        path.decode(): str(_marker(file)) for path, file in kept.items()
    }
    assert world.documents() == tenancy.states
    assert tenancy.index_markers() == tenancy.served
    tenancy.is_served(set())
    assert {hit.document for hit in world.search(WORD, k=100).hits if hit.stale} == {p.decode() for p in kept}


def test_an_accident_that_is_reverted_was_never_published(world: World, history: History) -> None:
    """Everything goes and comes back: nobody has to decide, and nothing was hidden in between."""
    tenancy = _begun(world, history)
    files = dict(history.trees[history.tip])
    history.advance({b"code.py": b"pass"})
    _captured(world, history)
    tenancy.is_served(set())
    assert world.run().status == "held"
    history.advance(files)
    _captured(world, history)
    tenancy.is_served(set())
    published(world)
    tenancy.is_served(set())
    with world.reading() as session:
        assert deletions.held(session, world.tenant) == []


def test_a_force_push_that_drops_half_of_the_documents_is_held_too(world: World, history: History) -> None:
    tenancy = _begun(world, history)
    files = {path: history.text() for path in PATHS[6:12]}
    history.line = []
    history.advance(files)
    _captured(world, history)
    tenancy.is_served(set())
    assert world.run().status == "held"
    tenancy.is_served(set())
    with world.registry.write() as session:
        deletions.decide(session, world.tenant, "confirmed", "a person", world.clock())
    tenancy.is_served({path.decode() for path in PATHS[:6]})
    tenancy.captured = history.tip
    tenancy.publish()


def test_a_rename_of_everything_is_no_mass_deletion(world: World, history: History) -> None:
    tenancy = _begun(world, history)
    files = dict(history.trees[history.tip])
    history.advance({b"moved/" + path: file for path, file in files.items()})
    _captured(world, history)
    tenancy.is_served(set())
    published(world)
    assert world.documents() == {f"moved/{key}": "live" for key in tenancy.states}


def test_what_was_deleted_does_not_come_back_with_a_broken_file_of_its_name(
    world: World, history: History
) -> None:
    """Deleted, then there again but unreadable, between two runs: the last good version was deleted for good."""
    tenancy = _begun(world, history)
    files = dict(history.trees[history.tip])
    files.pop(PATHS[0])
    history.advance(files)
    history.advance({**files, PATHS[0]: BROKEN})
    tenancy.capture()
    tenancy.is_served({PATHS[0].decode()})
    outcome = world.run()
    assert (outcome.status, red(outcome.checks)) == ("published", set())
    assert world.documents()[PATHS[0].decode()] == "quarantined"
    assert PATHS[0].decode() not in world.texts()


def _begun(world: World, history: History) -> Tenancy:
    history.begin()
    tenancy = Tenancy(world, history)
    tenancy.capture()
    tenancy.publish()
    return tenancy


def _captured(world: World, history: History) -> None:
    world.clock.advance(60)
    [captured] = world.capture()
    assert (captured.error, captured.position) == ("", history.tip)
