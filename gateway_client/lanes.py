"""The two lanes of a pool."""

from __future__ import annotations

from enum import StrEnum


class Lane(StrEnum):
    """Who waits for an answer: a person, or nobody in particular."""

    INTERACTIVE = "interactive"
    BATCH = "batch"
