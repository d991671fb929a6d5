"""Whatever a document does to its parser, it is that document alone which is given up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pipelines.build.document_preparer import DocumentPreparer
from pipelines.build.isolated_preparer import IsolatedPreparer, time_limit
from pipelines.build.prepared import PreparedDocument
from pipelines.errors import ParseAborted, ParseError, ParserUnavailable
from registry.settings import Settings
from tests.support.children import Child
from tests.support.hostile_preparer import SECRET, HostilePreparer, Unreadable

MEMORY = 512 * 2**20
SECONDS = 0.5


@pytest.fixture
def hostile(tmp_path: Path) -> HostilePreparer:
    return HostilePreparer(tmp_path / "asked")


@pytest.fixture
def isolated(hostile: HostilePreparer) -> Iterator[IsolatedPreparer]:
    preparer = IsolatedPreparer(hostile, SECONDS, MEMORY)
    yield preparer
    preparer.close()


def process_of(preparer: IsolatedPreparer) -> int:
    """The process that parses an innocent document."""
    return int(preparer.prepare(b"innocent", "text/plain", "").title)


def ended(pid: int) -> bool:
    """Whether a process of another parent is gone, or waits to be buried."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for_end(pid: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not ended(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.005)


def test_one_other_process_prepares_one_document_after_the_other(isolated: IsolatedPreparer) -> None:
    first = process_of(isolated)
    assert process_of(isolated) == first != os.getpid()


@pytest.mark.parametrize("deed", ["!spin", "!spin-in-c", "!sleep"])
def test_a_document_out_of_time_is_given_up_and_the_next_one_is_prepared(
    isolated: IsolatedPreparer, hostile: HostilePreparer, deed: str
) -> None:
    first = process_of(isolated)
    with pytest.raises(ParseAborted, match=r"after 0\.5 s of parsing.*HOLDFAST_PARSE_SECONDS.*deadletter"):
        isolated.prepare(deed.encode(), "text/plain", "")
    assert ended(first)
    assert process_of(isolated) != first
    assert hostile.asked_for() == ["innocent", deed, "innocent"], "time is not spent twice"


@pytest.mark.parametrize(
    ("deed", "how"),
    [
        ("!exit", "ended with status 3"),
        ("!kill", "was ended by SIGKILL"),
        ("!crash", "was ended by SIGSEGV"),
        ("!swallow", "ran out of the memory"),
    ],
)
def test_a_document_that_ends_its_process_is_given_up_and_the_next_one_is_prepared(
    isolated: IsolatedPreparer, hostile: HostilePreparer, deed: str, how: str
) -> None:
    with pytest.raises(ParseAborted, match=f"{how}.*HOLDFAST_PARSE_MEMORY_MB.*deadletter retry"):
        IsolatedPreparer(hostile, 30, MEMORY).prepare(deed.encode(), "text/plain", "")
    assert hostile.asked_for() == [deed]
    assert process_of(isolated)


def test_a_document_that_follows_a_poisonous_one_is_tried_in_a_fresh_process(
    isolated: IsolatedPreparer, hostile: HostilePreparer
) -> None:
    first = int(isolated.prepare(b"!poison", "text/plain", "").title)
    assert process_of(isolated) != first
    assert hostile.asked_for() == ["!poison", "innocent", "innocent"]


def test_a_process_that_was_ended_between_two_documents_is_replaced(isolated: IsolatedPreparer) -> None:
    first = process_of(isolated)
    os.kill(first, signal.SIGKILL)
    wait_for_end(first)
    assert process_of(isolated) != first


def test_what_a_parser_says_of_a_document_is_told_as_before(isolated: IsolatedPreparer) -> None:
    first = process_of(isolated)
    with pytest.raises(ParseError, match=r"^is refused$"):
        isolated.prepare(b"!refuse", "text/plain", "")
    with pytest.raises(ParseError, match=r"^cannot be cut into chunks \(ValueError\)$") as raised:
        isolated.prepare(b"!fail", "text/plain", "")
    assert SECRET not in str(raised.value)
    assert process_of(isolated) == first


def test_what_is_written_while_parsing_is_seen_by_nobody(
    isolated: IsolatedPreparer, capfd: pytest.CaptureFixture[str]
) -> None:
    isolated.prepare(b"!talk", "text/plain", "")
    assert capfd.readouterr() == ("", "")


def test_signals_to_a_whole_service_leave_the_document_in_hand_alone(isolated: IsolatedPreparer) -> None:
    first = process_of(isolated)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(first, number)
    assert process_of(isolated) == first
    assert os.getsid(first) == first, "a terminal's signals go to its own session"


def test_an_interrupt_leaves_no_answer_behind_for_the_next_document(isolated: IsolatedPreparer) -> None:
    first = process_of(isolated)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            isolated.prepare(b"!sleep", "text/plain", "")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert process_of(isolated) != first
    assert ended(first)


def test_a_process_that_does_not_start_blames_no_document(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    preparer = IsolatedPreparer(Unreadable(tmp_path / "asked"), 30, MEMORY)
    with pytest.raises(ParserUnavailable, match=r"did not start: it ended with status 1.*No document"):
        preparer.prepare(b"innocent", "text/plain", "")
    assert "Traceback" in capfd.readouterr().err, "why, for whoever mends it"


def test_closing_and_forgetting_end_the_process(hostile: HostilePreparer) -> None:
    preparer = IsolatedPreparer(hostile, SECONDS, MEMORY)
    preparer.close()
    first = process_of(preparer)
    preparer.close()
    assert ended(first)
    second = process_of(preparer)
    del preparer
    assert ended(second)


def spin_for(asked: str, deed: str) -> None:
    IsolatedPreparer(HostilePreparer(Path(asked)), 600, MEMORY).prepare(deed.encode(), "text/plain", "")


@pytest.mark.parametrize("deed", ["!spin", "!spin-in-c"])
def test_no_process_outlives_a_parent_that_is_killed(hostile: HostilePreparer, deed: str) -> None:
    parent = Child(spin_for, str(hostile.asked), deed)
    deadline = time.monotonic() + 60
    while not hostile.asked_for():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    spinning = hostile.process()
    assert not ended(spinning)
    parent.kill()
    wait_for_end(spinning)


@dataclass(frozen=True)
class Reporting(DocumentPreparer):
    """Titles every document with the heavy modules that its process holds."""

    def prepare(self, content: bytes, media_type: str, title: str) -> PreparedDocument:
        import sys

        DocumentPreparer.prepare(self, content, media_type, title)
        heavy = {"torch", "dagster", "sentence_transformers", "qdrant_edge", "sqlalchemy", "fastapi"}
        return PreparedDocument(",".join(sorted(heavy & set(sys.modules))), ())


def test_the_real_preparer_gives_the_same_in_a_process_without_anything_heavy() -> None:
    real = DocumentPreparer.of(Settings())
    isolated = IsolatedPreparer.of(real, Settings())
    fields = {name: getattr(real, name) for name in DocumentPreparer.__dataclass_fields__}
    reporting = IsolatedPreparer.of(Reporting(**fields), Settings())
    documents = [
        (b"# One\n\nSome **text** of it.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", "text/markdown"),
        (b"Two\n===\n\nA *paragraph*, and another.\n\n* an item\n", "text/x-rst"),
        (b"<h1>Three</h1><p>Text &amp; more.</p>", "text/html"),
        (b"Four.\n\nPlain. " * 500, "text/plain"),
    ]
    for content, media_type in documents:
        assert isolated.prepare(content, media_type, "given") == real.prepare(content, media_type, "given")
        assert reporting.prepare(content, media_type, "").title == ""
    with pytest.raises(ParseError, match="is a corrupt PDF"):
        isolated.prepare(b"%PDF-1.7 torn off", "application/pdf", "")
    assert isolated.configuration("model") == real.configuration("model")


def test_a_large_document_has_more_time() -> None:
    assert [time_limit(size * 2**20, 60) for size in (0, 9, 10, 64)] == [60, 60, 120, 420]
