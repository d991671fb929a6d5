"""One process that parses, as its parent sees it: started, asked, killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any

from pipelines.build import parsing_child
from pipelines.build.prepared import PreparedDocument, Preparer
from pipelines.errors import ParseError, ParserUnavailable

START_SECONDS = 60.0


class OutOfTime(Exception):
    """The document in hand took longer than it may."""


class Ended(Exception):
    """The process ended before it answered. The message says how."""


def _started(descriptor: int) -> subprocess.Popen[bytes]:
    """The child, with the modules that this process finds and, of its open files, the socket alone.

    A session of its own: what a terminal sends to its group must not look as if a document had ended it.
    """
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-P", "-c", f"from {parsing_child.__name__} import main; main({descriptor})"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=[descriptor],
        start_new_session=True,
        env=found,
    )


class ParsingProcess:
    """A child that prepares one document at a time. It ends with this process, however that ends.

    memory: bytes that the child may hold. Raises ParserUnavailable where it does not start.
    """

    def __init__(self, preparer: Preparer, memory: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _started(theirs.fileno())
        self._connection = Connection(ours.detach())
        try:
            self._send(parsing_child.Start(preparer, memory))
            self._answer(START_SECONDS)
        except (OutOfTime, Ended) as error:
            self.kill()
            raise ParserUnavailable(
                f"the process that parses documents did not start: it {error}. No document was touched: mend the "
                "installation, or free memory, and run it again"
            ) from error

    def prepare(
        self, content: bytes, media_type: str, title: str, seconds: float
    ) -> PreparedDocument | ParseError:
        """The outcome of a document.

        Raises OutOfTime after `seconds`, Ended where the process dies; nothing but `kill` is left then.
        """
        self._send((content, media_type, title))
        answer: PreparedDocument | ParseError = self._answer(seconds)
        return answer

    def kill(self) -> None:
        """End the process at once. Killing twice is no error."""
        self._process.kill()
        self._process.wait()
        self._connection.close()
        if self._process.stdin:
            self._process.stdin.close()

    def _send(self, question: object) -> None:
        try:
            self._connection.send(question)
        except OSError:
            raise Ended(self._how_it_ended()) from None

    def _answer(self, seconds: float) -> Any:  # noqa: ANN401
        if not self._connection.poll(seconds):
            raise OutOfTime(f"did not answer within {seconds:g} s")
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            raise Ended(self._how_it_ended()) from None

    def _how_it_ended(self) -> str:
        status = self._process.wait(START_SECONDS)
        if status == parsing_child.OUT_OF_MEMORY:
            return "ran out of the memory that it may hold"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
