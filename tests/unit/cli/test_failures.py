"""Every error has a stable code and the right exit status."""

from __future__ import annotations

import pytest
from dagster_shared.error import SerializableErrorInfo
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

import canaries.errors
import cli.errors
import pipelines.errors
import registry.errors
import retrieval.errors
from cli.failures import REFUSED, WRONG_USE, describe
from cli.ingesting import step_error
from pipelines.errors import IngestBusy, SourceError, SourceUnavailable
from registry.errors import KeyRejected, NotFound, PublicationRefused, RegistryError
from registry.settings import Settings, settings
from retrieval.errors import InvalidQuery, NothingPublished
from tests.support.command_line import HereCommand


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (NotFound("no"), "not_found", WRONG_USE),
        (RegistryError("a bad name"), "registry_error", WRONG_USE),
        (InvalidQuery("empty"), "invalid_request", WRONG_USE),
        (SourceError("a bad option"), "source_error", WRONG_USE),
        (SourceUnavailable("gone"), "source_unavailable", REFUSED),
        (NothingPublished("none yet"), "nothing_published", REFUSED),
        (IngestBusy("busy"), "ingest_busy", REFUSED),
        (PublicationRefused("fenced", "fenced off"), "publication_refused", REFUSED),
        (cli.errors.RunFailed("lease_lost", "over"), "lease_lost", REFUSED),
        (PermissionError(13, "Permission denied", "registry.sqlite3"), "permission_error", REFUSED),
        (OperationalError("SELECT", {}, Exception("no such host")), "registry_unavailable", REFUSED),
    ],
)
def test_known_errors(error: Exception, code: str, status: int) -> None:
    failure = describe(error)
    assert failure is not None
    assert (failure.code, failure.status) == (code, status)
    assert failure.as_json() == {"error": {"code": code, "message": failure.message}}
    assert failure.message
    assert "\n" not in failure.message


def test_every_error_of_every_room_is_known() -> None:
    rooms = (registry.errors, retrieval.errors, pipelines.errors, canaries.errors, cli.errors)
    kinds = [kind for room in rooms for kind in vars(room).values() if isinstance(kind, type)]
    made = [kind.__new__(kind) for kind in kinds if issubclass(kind, Exception)]
    assert len(made) > 30
    special = ("FloorUnmet", "RunFailed")
    assert [type(e).__name__ for e in made if type(e).__name__ not in special and describe(e) is None] == []


def test_bad_settings_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_PORT", "many")
    with pytest.raises(ValidationError) as raised:
        Settings()
    failure = describe(raised.value)
    assert failure is not None
    assert failure.status == WRONG_USE
    assert failure.message.startswith("the settings do not hold together: HOLDFAST_PORT: ")


def test_an_error_that_nobody_expected_stays_unknown() -> None:
    assert describe(ZeroDivisionError("division by zero")) is None
    assert describe(KeyRejected("unknown", "no such key")) is not None


def serialised(*chain: tuple[str, str]) -> SerializableErrorInfo:
    """Errors as Dagster records them, the outermost first."""
    (name, message), *causes = chain
    return SerializableErrorInfo(message, [], name, serialised(*causes) if causes else None)


def test_a_step_fails_with_what_our_own_code_raised() -> None:
    around = (
        "DagsterExecutionStepExecutionError",
        "dagster._core.errors.DagsterExecutionStepExecutionError: step\n",
    )
    busy = serialised(
        around,
        (
            "IngestBusy",
            "pipelines.errors.IngestBusy: another ingest of tenant acme is running: ingest:acme-1\n",
        ),
        ("LeaseHeld", "registry.errors.LeaseHeld: ingest:acme-1 is held\n"),
    )
    error = step_error("build", busy)
    assert isinstance(error, IngestBusy)
    assert str(error) == "another ingest of tenant acme is running: ingest:acme-1"

    corrupt = step_error(
        "build", serialised(around, ("IndexCorrupt", "retrieval.errors.IndexCorrupt: a: b\n"))
    )
    failure = describe(corrupt)
    assert failure is not None
    assert (failure.code, failure.message, failure.status) == ("index_corrupt", "build: a: b", REFUSED)


def test_an_interrupted_run_is_no_refusal() -> None:
    around = (
        "DagsterExecutionStepExecutionError",
        "dagster._core.errors.DagsterExecutionStepExecutionError: s",
    )
    interrupted = serialised(around, ("DagsterExecutionInterruptedError", "dagster._core.errors.Dagster…\n"))
    # An error of Dagster's own that wraps nothing is what it is.
    failure = describe(step_error("build", interrupted))
    assert failure is not None
    assert (failure.code, failure.status) == ("interrupted", 130)


def test_a_log_level_that_there_is_not_is_refused(
    holdfast: HereCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_LOG_LEVEL", "loud")
    settings.cache_clear()
    ended = holdfast("tenant", "list", "--json")
    assert (ended.status, ended.error["code"]) == (2, "invalid_settings")
    assert "HOLDFAST_LOG_LEVEL: Input should be 'DEBUG'" in ended.error["message"]
    monkeypatch.setenv("HOLDFAST_LOG_LEVEL", "warning")
    settings.cache_clear()
    assert holdfast("tenant", "list", "--json").status == 0


def test_a_file_that_is_not_there_is_said_so(acme: HereCommand) -> None:
    ended = acme("canary", "import", "nowhere.jsonl", "--tenant", "acme", "--json")
    assert ended.error["message"] == "nowhere.jsonl cannot be read: No such file or directory"
