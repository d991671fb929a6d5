"""Everything that canaries can raise.

CanaryError
├── InvalidCanary        a line of a canary file is not one
├── InvalidJudgements    a query or judgement file is not what it should be
└── CanaryCrashed        the canaries could not be asked: says nothing about recall
"""

from __future__ import annotations


class CanaryError(Exception):
    """The root of the room's errors."""


class InvalidCanary(CanaryError):
    """A line of a canary file is not a canary."""


class InvalidJudgements(CanaryError):
    """A query or judgement file is not what it should be."""


class CanaryCrashed(CanaryError):
    """The canaries could not be asked. This says nothing about recall: look at the cause."""
