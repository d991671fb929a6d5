"""The routes for whoever holds a key: search, generations, contract. The key decides whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import ValidationError
from pydantic_core import to_json
from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import contracts, generations, keys
from registry.errors import KeyRejected
from registry.schema import Generation, GenerationPin, Source, Tenant
from retrieval.api.errors import TooLarge, documented
from retrieval.api.schemas import ContractResponse, GenerationResponse, SearchRequest, SearchResponse
from retrieval.api.service import Service
from retrieval.errors import FloorUnmet, GenerationNotServed, InvalidQuery, NothingPublished
from retrieval.search.query import Answer, SearchQuery

MAX_BODY_BYTES = 128 * 1024
LISTED = ("live", "retained", "retired", "rejected")
ANSWERED = tuple(name for name in SearchResponse.model_fields if name != "request_id")

bearer = HTTPBearer(auto_error=False, description="A key of `holdfast key create`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": SearchRequest.model_json_schema()}},
    }
}


def answers(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["answers"])

    @router.post(
        "/search",
        response_model=SearchResponse,
        responses=documented(401, 403, 404, 410, 413, 422),
        openapi_extra=REQUEST_BODY,
    )
    async def search(request: Request, credentials: Credentials) -> Response:
        """The best chunks of the tenant's live generation, minus what was deleted since."""
        body = await _body(request)
        asking = partial(_search, service, request.state.request_id, _key(credentials), body)
        found = await anyio.to_thread.run_sync(asking, limiter=service.searching)
        return Response(found, media_type="application/json")

    @router.get("/generations", responses=documented(401, 403))
    def list_generations(credentials: Credentials) -> list[GenerationResponse]:
        """The tenant's generations, newest first."""
        with _reading(service, credentials) as (session, tenant):
            found = generations.of_tenant(session, tenant.id, LISTED)
            places = _positions(session, tenant.id)
        return [_generation(generation, places.get(generation.number, {})) for generation in found]

    @router.get("/contract", responses=documented(401, 403, 404))
    def contract(credentials: Credentials) -> ContractResponse:
        """The tenant's contract in force."""
        with _reading(service, credentials) as (session, tenant):
            found = contracts.current(session, tenant.id)
            version = contracts.version(session, tenant.id)
        return ContractResponse(
            version=version, hash=found.hash, **found.model_dump(mode="json", exclude={"alert_webhook"})
        )

    return router


async def _body(request: Request) -> bytes:
    """The whole body, with or without a length of its own, up to what a query can need."""
    refusal = TooLarge(f"the body is larger than {MAX_BODY_BYTES:,} bytes")
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise refusal
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > MAX_BODY_BYTES:
            raise refusal
    return bytes(read)


def _key(credentials: HTTPAuthorizationCredentials | None) -> str:
    if credentials is None:
        raise KeyRejected("missing", "send a key: `Authorization: Bearer <key>`")
    return credentials.credentials


@contextmanager
def _reading(
    service: Service, credentials: HTTPAuthorizationCredentials | None
) -> Iterator[tuple[Session, Tenant]]:
    key = _key(credentials)
    with service.parts.registry.read() as session:
        yield session, keys.authenticate(session, key, service.clock(), "reader")


def _search(service: Service, request_id: str, key: str, body: bytes) -> bytes:
    asker = Asker(service, key)
    try:
        asked = SearchRequest.model_validate_json(body)
        query = SearchQuery(asked.query, asked.k, asked.mode, asked.collapse, asked.filter)
    except (ValidationError, InvalidQuery):
        # Who may not ask is told so, whatever they ask.
        with service.parts.registry.read() as session:
            asker(session)
        raise
    answer = _counted(service, asker, query, asked.as_of)
    # Not through the response model: it would validate a page of text that comes from our own index.
    return to_json({"request_id": request_id, **{name: getattr(answer, name) for name in ANSWERED}})


class Asker:
    """Finds the tenant of a key, and remembers its id for the metrics."""

    def __init__(self, service: Service, key: str) -> None:
        self._key = key
        self._clock = service.clock
        self.tenant_id = ""

    def __call__(self, session: Session) -> Tenant:
        tenant = keys.authenticate(session, self._key, self._clock(), "search")
        self.tenant_id = tenant.id
        return tenant


def _counted(service: Service, asker: Asker, query: SearchQuery, as_of: int | None) -> Answer:
    outcome = "failed"
    try:
        answer = service.parts.searcher.search_served(asker, query, service.serving, as_of)
        outcome = "answered" if answer.floor.met else "flagged"
    except FloorUnmet:
        outcome = "refused"
        raise
    except (InvalidQuery, NothingPublished, GenerationNotServed):
        outcome = "rejected"
        raise
    finally:
        if asker.tenant_id:
            service.metrics.count(asker.tenant_id, query.mode, outcome)
    service.metrics.time(answer.timings)
    service.usage.note(asker.tenant_id)
    return answer


def _positions(session: Session, tenant_id: str) -> dict[int, dict[str, str]]:
    """Every generation's positions by source, in one query."""
    query = (
        select(GenerationPin.generation, Source.name, GenerationPin.position)
        .join(Source, Source.id == GenerationPin.source_id)
        .where(GenerationPin.tenant_id == tenant_id)
        .order_by(Source.name)
    )
    found: dict[int, dict[str, str]] = {}
    for generation, name, position in session.execute(query):
        found.setdefault(generation, {})[name] = position
    return found


def _generation(found: Generation, sources: dict[str, str]) -> GenerationResponse:
    return GenerationResponse(
        generation=found.number,
        status=found.status,
        sources=sources,
        quiescent=found.quiescent,
        documents=found.documents,
        quarantined=found.quarantined,
        chunks=found.chunks,
        model=found.model_id,
        published_at=found.published_at,
        created_at=found.created_at,
    )
