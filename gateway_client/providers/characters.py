"""Text that arrives in pieces: JSON may cut a character beyond U+FFFF into two escapes, and a stream between them."""

from __future__ import annotations

from gateway_client.providers.wire import whole_characters


class Characters:
    """Pieces of one text, each given out in whole characters. Half a one at the end of a piece waits for the next."""

    def __init__(self) -> None:
        self._half = ""

    def take(self, piece: str) -> str:
        """What can be said after this piece."""
        piece, self._half = self._half + piece, ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        return whole_characters(piece)
