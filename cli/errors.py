"""Everything that the command line itself can raise.

CliError
├── WrongUse              an argument or option makes no sense (exit status 2)
├── RunFailed             the run of an ingestion ended without an outcome
├── PortTaken             something else listens on a port that is needed
├── NotReady              a supervised process did not come up
└── DemoSourceError       a demo source cannot be built
"""

from __future__ import annotations


class CliError(Exception):
    """The root of the room's errors."""


class WrongUse(CliError):
    """An argument or option makes no sense."""


class RunFailed(CliError):
    """The run of an ingestion ended without an outcome. `code` names the cause."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class PortTaken(CliError):
    """Something else listens on a port that is needed."""


class NotReady(CliError):
    """A supervised process did not come up."""


class DemoSourceError(CliError):
    """A demo source cannot be built: a foreign target, damaged examples, or no working git."""
