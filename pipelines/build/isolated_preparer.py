"""A preparer whose documents are parsed in a process of their own, each within a limit of time and memory.

A parser that spins cannot be stopped from within its process, and one that crashes takes its process along.
The child is kept from document to document: to start one takes half a second.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

from pipelines.build.configuration import BuildConfiguration
from pipelines.build.parsing_process import Ended, OutOfTime, ParsingProcess
from pipelines.build.prepared import PreparedDocument, Preparer
from pipelines.errors import ParseAborted, ParseError
from registry.settings import Settings

_LARGE = 10 * 2**20
_THEN = "then `holdfast deadletter retry`"


def time_limit(size: int, seconds: float) -> float:
    """Seconds for a document of `size` bytes: `seconds`, and as many again for each 10 MB."""
    return seconds * (1 + size // _LARGE)


class IsolatedPreparer:
    """Another preparer, sent to a child that starts with the first document. Safe to share between threads.

    seconds: that one document may take, more where it is large; memory: bytes that the child may hold.
    """

    def __init__(self, preparer: Preparer, seconds: float, memory: int) -> None:
        self._preparer = preparer
        self._seconds = seconds
        self._memory = memory
        self._lock = threading.Lock()
        self._process: ParsingProcess | None = None
        self._end: Callable[[], object] = lambda: None

    @classmethod
    def of(cls, preparer: Preparer, settings: Settings) -> IsolatedPreparer:
        """A preparer within the limits of these settings."""
        return cls(preparer, settings.parse_seconds, settings.parse_memory_mb * 2**20)

    def configuration(self, model_id: str) -> BuildConfiguration:
        """That of the preparer: where documents are parsed changes nothing of them."""
        return self._preparer.configuration(model_id)

    def prepare(self, content: bytes, media_type: str, title: str) -> PreparedDocument:
        """Parse and chunk one document. Raises ParseError, ParseAborted among it; ParserUnavailable."""
        try:
            with self._lock:
                result = self._asked(content, media_type, title)
        except OutOfTime:
            spent = time_limit(len(content), self._seconds)
            raise ParseAborted(
                f"was given up after {spent:g} s of parsing: split it, or raise HOLDFAST_PARSE_SECONDS; {_THEN}"
            ) from None
        except Ended as error:
            raise ParseAborted(
                f"ended the process that parsed it, which {error}: store it again in another form, or raise "
                f"HOLDFAST_PARSE_MEMORY_MB if it is large; {_THEN}"
            ) from None
        if isinstance(result, ParseError):
            raise result
        return result

    def close(self) -> None:
        """End the child. The next document starts another."""
        self._process = None
        self._end()

    def _asked(self, content: bytes, media_type: str, title: str) -> PreparedDocument | ParseError:
        """A process that had parsed others before may have ended for their sake, or for none of a document's."""
        if self._process is not None:
            try:
                return self._ask(self._process, content, media_type, title)
            except Ended:
                pass
        return self._ask(self._start(), content, media_type, title)

    def _ask(
        self, process: ParsingProcess, content: bytes, media_type: str, title: str
    ) -> PreparedDocument | ParseError:
        try:
            return process.prepare(content, media_type, title, time_limit(len(content), self._seconds))
        except BaseException:
            self.close()  # after an interrupt too: this document's answer must not be taken for the next one's
            raise

    def _start(self) -> ParsingProcess:
        self._process = process = ParsingProcess(self._preparer, self._memory)
        self._end = weakref.finalize(self, process.kill)
        return process
