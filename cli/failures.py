"""From an exception to what a person or a program is told: a stable code, a message, an exit status."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from canaries.errors import CanaryError, InvalidCanary, InvalidJudgements
from cli.errors import CliError, RunFailed, WrongUse
from gateway_client.errors import GatewayError, InvalidBill, InvalidBudget, InvalidCall
from pipelines.errors import PipelineError, SourceError
from registry.errors import AlreadyExists, InvalidContract, NotFound, RegistryError, SchemaOutdated
from retrieval.errors import FloorUnmet, GenerationNotServed, InvalidQuery, RetrievalError

DONE, REFUSED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
INTERRUPTION = "interrupted"

KNOWN = (CliError, RegistryError, RetrievalError, PipelineError, CanaryError, GatewayError, OSError)
USER_FAULTS = (
    WrongUse,
    NotFound,
    AlreadyExists,
    InvalidContract,
    SchemaOutdated,
    InvalidQuery,
    GenerationNotServed,
    InvalidCanary,
    InvalidJudgements,
    InvalidCall,
    InvalidBudget,
    InvalidBill,
)
# A room's root, raised itself, says that an argument does not fit.
BARE_USER_FAULTS = (RegistryError, SourceError)
# As the API calls them.
CODES = {InvalidQuery.__name__: "invalid_request", FloorUnmet.__name__: "result_floor_unmet"}


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong. `more` are further fields of the JSON error."""

    code: str
    message: str
    status: int
    more: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The one shape of every error."""
        return {"error": {"code": self.code, "message": self.message, **self.more}}


def describe(error: Exception) -> Failure | None:
    """The failure that a known error stands for; None for one that nobody expected."""
    if isinstance(error, RunFailed):
        return Failure(error.code, str(error), INTERRUPTED if error.code == INTERRUPTION else REFUSED)
    if isinstance(error, FloorUnmet):
        floor = dataclasses.asdict(error.answer.floor)
        return Failure(code_of(type(error).__name__), str(error), REFUSED, {"floor": floor})
    if isinstance(error, KNOWN):
        faulty_use = isinstance(error, USER_FAULTS) or type(error) in BARE_USER_FAULTS
        return Failure(code_of(type(error).__name__), _message(error), WRONG_USE if faulty_use else REFUSED)
    return _describe_foreign(error)


def _describe_foreign(error: Exception) -> Failure | None:
    # By name: importing pydantic and SQLAlchemy here would slow every start.
    module, name = type(error).__module__, type(error).__name__
    if module.startswith("pydantic") and name == "ValidationError":
        return Failure("invalid_settings", f"the settings do not hold together: {_fields(error)}", WRONG_USE)
    if module == "sqlalchemy.exc" and name in ("OperationalError", "ArgumentError", "NoSuchModuleError"):
        text = str(error).splitlines()[0]
        if "disk is full" in text or "No space left on device" in text:
            message = f"the disk of the registry is full: free some room, then run it again ({text})"
            return Failure("disk_full", message, REFUSED)
        message = f"the registry cannot be reached: {text}; look at HOLDFAST_HOME and HOLDFAST_REGISTRY_URL"
        return Failure("registry_unavailable", message, REFUSED)
    return None


def code_of(name: str) -> str:
    """A stable code for an exception's class: its name in snake case."""
    return CODES.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _fields(error: Any) -> str:  # noqa: ANN401 - pydantic's error, not imported here
    prefix = "HOLDFAST_GATEWAY_" if error.title == "GatewaySettings" else "HOLDFAST_"
    flaws = (f"{prefix}{'_'.join(map(str, flaw['loc'])).upper()}: {flaw['msg']}" for flaw in error.errors())
    return "; ".join(flaws)
