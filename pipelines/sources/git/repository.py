"""A git repository on this machine, asked through a hardened git command; its work tree is never read."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from pipelines.errors import SourceError, SourceUnavailable

_CREDENTIALS = re.compile(r"://[^/@\s]+@")
_SETTINGS = (
    "safe.directory=*",  # repositories of other owners are read, nothing of them is run
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.quotePath=false",
    "gc.autoDetach=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
)


@cache
def _git() -> str:
    path = shutil.which("git")
    if path is None:
        raise SourceError("git is not installed; sources of kind git need the git command")
    return path


def environment() -> dict[str, str]:
    """The environment of every git process: no prompts, no configuration but the repository's own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {
        **inherited,
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_LITERAL_PATHSPECS": "1",
    }


def command(*arguments: str) -> list[str]:
    """A git command line with our settings."""
    return [_git(), "--no-pager", *(part for setting in _SETTINGS for part in ("-c", setting)), *arguments]


def message(stderr: bytes, returncode: int = 0) -> str:
    """What git said, on one line, without credentials in URLs; where it said nothing, how it ended."""
    said = _CREDENTIALS.sub("://", " ".join(stderr.decode(errors="replace").split()))
    if said or not returncode:
        return said or "git said nothing"
    return (
        f"git was ended by signal {-returncode}" if returncode < 0 else f"git ended with status {returncode}"
    )


def ask(
    *arguments: str, timeout: float | None = None, holding: tuple[int, ...] = (), **variables: str
) -> bytes:
    """Runs git and returns its output. Raises SourceUnavailable with git's message where it fails.

    `holding`: descriptors that this git, and every git that it starts, keeps open until it ends.
    """
    try:
        done = subprocess.run(  # noqa: S603
            command(*arguments),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**environment(), **variables},
            timeout=timeout,
            pass_fds=holding,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailable(f"git took longer than {timeout:g} s") from error
    if done.returncode:
        raise SourceUnavailable(f"git cannot read the repository: {message(done.stderr, done.returncode)}")
    return done.stdout


class Repository:
    """The repository in a git directory. Every question raises SourceUnavailable where git cannot answer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def ask(self, *arguments: str) -> bytes:
        """git's output."""
        return ask(f"--git-dir={self.directory}", *arguments)

    def find(self, *arguments: str) -> str | None:
        """git's output without its line end, None where git fails: for questions that may have no answer."""
        try:
            return self.ask(*arguments).decode().rstrip("\n")
        except SourceUnavailable:
            return None

    @contextmanager
    def process(
        self, *arguments: str, stdin: int | IO[bytes] = subprocess.DEVNULL
    ) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
        """A running git and the file that takes its messages; ended at the latest when the block is left."""
        with tempfile.TemporaryFile() as stderr:
            running = subprocess.Popen(  # noqa: S603
                command(f"--git-dir={self.directory}", *arguments),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment(),
            )
            try:
                yield running, stderr
            finally:
                running.kill()
                for pipe in (running.stdin, running.stdout):
                    if pipe is not None:
                        pipe.close()
                running.wait()


def failure(stderr: IO[bytes], returncode: int | None = None) -> SourceUnavailable:
    """The error of a process that ended early, with git's message or, where that is known, how it ended."""
    stderr.seek(0)
    return SourceUnavailable(f"git cannot read the repository: {message(stderr.read(), returncode or 0)}")
