"""Every failure becomes one JSON shape: `{error: {code, message, request_id, …}}`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from registry.errors import KeyRejected, NotFound, TenantSuspended
from retrieval.api.schemas import ErrorResponse
from retrieval.errors import (
    DiskFull,
    EncoderUnavailable,
    FloorUnmet,
    GenerationNotServed,
    IndexCorrupt,
    IndexUnavailable,
    InvalidQuery,
    ModelMismatch,
    NothingPublished,
)

log = logging.getLogger("holdfast.api")

LONGEST_NAME = 80

STATUS: dict[type[Exception], tuple[int, str]] = {
    InvalidQuery: (422, "invalid_request"),
    NothingPublished: (404, "nothing_published"),
    GenerationNotServed: (410, "generation_not_served"),
    FloorUnmet: (422, "result_floor_unmet"),
    NotFound: (404, "not_found"),
    TenantSuspended: (403, "tenant_suspended"),
}
# What the operator must mend. Their own messages name folders, files and statements: those are the log's.
UNAVAILABLE: dict[type[Exception], tuple[str, str]] = {
    ModelMismatch: (
        "model_mismatch",
        "this generation's embedding model is not the one that can be loaded now",
    ),
    IndexUnavailable: ("index_unavailable", "this generation's index is not on disk"),
    IndexCorrupt: ("index_corrupt", "this generation's index does not match its digests"),
    DiskFull: ("disk_full", "the disk of the index is full"),
    EncoderUnavailable: ("encoder_unavailable", "the embedding model is not loaded (yet)"),
    OperationalError: ("registry_unavailable", "the registry cannot be read now"),
    PoolTimeout: ("registry_unavailable", "the registry cannot be read now"),
}
HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}


class TooLarge(Exception):
    """A body that no query needs."""


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The failures of a route, for OpenAPI."""
    return {status: {"model": ErrorResponse} for status in (*statuses, 500, 503)}


def error_response(
    request: Request,
    status: int,
    code: str,
    message: str,
    headers: Mapping[str, str] | None = None,
    **more: Any,  # noqa: ANN401
) -> JSONResponse:
    """The one shape, with the request's id."""
    body = {"code": code, "message": message, "request_id": request.state.request_id, **more}
    return JSONResponse({"error": body}, status, headers)


def internal_error(request: Request) -> JSONResponse:
    """What nobody foresaw; the log has it."""
    message = "an unexpected error; the log has it under this request_id"
    return error_response(request, 500, "internal_error", message)


def install(app: FastAPI) -> None:
    """Give every kind of failure its handler."""
    for kind in STATUS:
        app.add_exception_handler(kind, _known)
    for kind in (*UNAVAILABLE, DatabaseError):
        app.add_exception_handler(kind, _unavailable)
    app.add_exception_handler(KeyRejected, _key_rejected)
    app.add_exception_handler(TooLarge, _too_large)
    app.add_exception_handler(ValidationError, _invalid)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def _known(request: Request, error: Exception) -> JSONResponse:
    status, code = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    more = {"floor": dataclasses.asdict(error.answer.floor)} if isinstance(error, FloorUnmet) else {}
    return error_response(request, status, code, str(error), **more)


def _unavailable(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, DBAPIError) and type(error) not in (DatabaseError, OperationalError):
        raise error  # a statement that is wrong, not a database that is away
    kind = next((kind for kind in type(error).__mro__ if kind in UNAVAILABLE), OperationalError)
    code, message = UNAVAILABLE[kind]
    log.error("request %s: %s: %s", request.state.request_id, code, error)
    told = f"{message}; the log has more under this request_id"
    return error_response(request, 503, code, told, {"Retry-After": "5"})


def _key_rejected(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, KeyRejected)
    if error.reason in ("forbidden", "suspended"):
        return error_response(request, 403, f"key_{error.reason}", str(error))
    return error_response(request, 401, f"key_{error.reason}", str(error), {"WWW-Authenticate": "Bearer"})


def _too_large(request: Request, error: Exception) -> JSONResponse:
    # Whatever of the body was not read is not worth reading.
    return error_response(request, 413, "too_large", str(error), {"Connection": "close"})


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ValidationError | RequestValidationError)
    # The offending input is left out: it may be a document's text, or a megabyte.
    fields = [{"field": _field(fault["loc"]), "message": fault["msg"]} for fault in error.errors()]
    message = "; ".join(f"{fault['field'] or 'body'}: {fault['message']}" for fault in fields)
    return error_response(request, 422, "invalid_request", message, fields=fields)


def _field(location: tuple[int | str, ...]) -> str:
    name = ".".join(str(part) for part in location)
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = HTTP_CODES.get(error.status_code, "http_error")
    return error_response(request, error.status_code, code, str(error.detail), error.headers)
