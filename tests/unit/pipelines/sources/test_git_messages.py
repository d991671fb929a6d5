"""What is told of a git that failed."""

from __future__ import annotations

import signal

import pytest

from pipelines.sources.git.repository import message


@pytest.mark.parametrize(
    ("said", "returncode", "told"),
    [
        (b"fatal: bad\n  object", 128, "fatal: bad object"),
        (b"fatal: https://ann:secret@example.org/r not found", 128, "fatal: https://example.org/r not found"),
        (b"", -signal.SIGTERM, "git was ended by signal 15"),
        (b" \n", 2, "git ended with status 2"),
        (b"", 0, "git said nothing"),
    ],
)
def test_what_git_said_or_how_it_ended(said: bytes, returncode: int, told: str) -> None:
    assert message(said, returncode) == told
