"""Every failure becomes one JSON shape: `{error: {code, message, request_id, …}}`."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from registry.errors import KeyRejected, NotFound, TenantSuspended
from retrieval.errors import (
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

STATUS: dict[type[Exception], tuple[int, str]] = {
    InvalidQuery: (422, "invalid_request"),
    NothingPublished: (404, "nothing_published"),
    GenerationNotServed: (410, "generation_not_served"),
    FloorUnmet: (422, "result_floor_unmet"),
    NotFound: (404, "not_found"),
    TenantSuspended: (403, "tenant_suspended"),
    ModelMismatch: (503, "model_mismatch"),
    IndexUnavailable: (503, "index_unavailable"),
    IndexCorrupt: (503, "index_corrupt"),
    EncoderUnavailable: (503, "encoder_unavailable"),
}
HTTP_CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def error_response(request: Request, status: int, code: str, message: str, **more: Any) -> JSONResponse:  # noqa: ANN401
    """The one shape, with the request's id."""
    body = {"code": code, "message": message, "request_id": getattr(request.state, "request_id", ""), **more}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": body}, status, headers)


def install(app: FastAPI) -> None:
    """Give every kind of failure its handler."""
    for kind in STATUS:
        app.add_exception_handler(kind, _known)
    app.add_exception_handler(KeyRejected, _key_rejected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)


def _known(request: Request, error: Exception) -> JSONResponse:
    status, code = STATUS[type(error)]
    if status >= 500:
        log.error("%s: %s", code, error)
    more = {"floor": dataclasses.asdict(error.answer.floor)} if isinstance(error, FloorUnmet) else {}
    return error_response(request, status, code, str(error), **more)


def _key_rejected(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, KeyRejected)
    status = 403 if error.reason in ("forbidden", "suspended") else 401
    return error_response(request, status, f"key_{error.reason}", str(error))


def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # The offending input is left out: it may be a document's text, or a megabyte.
    fields = [{"field": ".".join(map(str, e["loc"][1:])), "message": e["msg"]} for e in error.errors()]
    message = "; ".join(f"{fault['field'] or 'body'}: {fault['message']}" for fault in fields)
    return error_response(request, 422, "invalid_request", message, fields=fields)


def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = HTTP_CODES.get(error.status_code, "http_error")
    return error_response(request, error.status_code, code, str(error.detail))


def _unknown(request: Request, error: Exception) -> JSONResponse:
    log.error("request %s failed", request.state.request_id, exc_info=error)
    return error_response(request, 500, "internal_error", "an unexpected error; the log has it under this request_id")
