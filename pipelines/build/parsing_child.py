"""The process in which documents are parsed, so that one of them can be given up by killing it.

An inherited socket carries how to begin, and then a document and its outcome in turns. `ParsingProcess` has the
other end of it.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from multiprocessing.connection import Connection
from typing import NamedTuple

from pipelines.build.prepared import PreparedDocument, Preparer
from pipelines.errors import ParseError

OUT_OF_MEMORY = 86  # exit status, as far from those that a library would choose as any


class Start(NamedTuple):
    """What the process is told first. memory: bytes that it may hold."""

    preparer: Preparer
    memory: int


def main(descriptor: int) -> None:
    """Prepare one document after the other until the other end is closed."""
    _end_with_parent()
    connection = Connection(descriptor)
    try:
        start: Start = connection.recv()
        _be_silent()
        resource.setrlimit(resource.RLIMIT_DATA, (start.memory, start.memory))
        connection.send(None)
        while True:
            connection.send(_outcome(start.preparer, *connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # nothing that would need more of it


def _outcome(
    preparer: Preparer, content: bytes, media_type: str, title: str
) -> PreparedDocument | ParseError:
    try:
        return preparer.prepare(content, media_type, title)
    except ParseError as error:
        return error
    except MemoryError:
        raise
    except Exception as error:
        # As in `pipelines.parsing.dispatch`: one document must never stop the others, and the message may quote it.
        return ParseError(f"cannot be cut into chunks ({type(error).__name__})")


def _end_with_parent() -> None:
    """End when the parent does, whatever ended it and whatever is being parsed.

    The parent holds the other end of standard input and never writes to it. That it closes is told by SIGIO,
    whose default is to end the process: a thread that waited for it might never get the interpreter's lock.
    A signal to the whole group or service is the parent's to act on, which needs an outcome of the document.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)


def _be_silent() -> None:
    """What a library writes about a document may quote it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
