"""The application: who asks, what they may ask, and what they get."""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from registry import contracts, generations, keys
from registry.clock import Clock, utc_now
from registry.errors import KeyRejected
from registry.schema import Tenant
from registry.settings import Settings
from retrieval.api import errors
from retrieval.api.metrics import ApiMetrics
from retrieval.api.readiness import Readiness
from retrieval.api.schemas import ErrorResponse, GenerationResponse, SearchRequest, SearchResponse
from retrieval.api.serving import ServingGenerations
from retrieval.api.usage import Usage
from retrieval.errors import FloorUnmet, RetrievalError
from retrieval.opening import Retrieval, open_retrieval
from retrieval.search.query import Answer, SearchQuery

MAX_BODY_BYTES = 128 * 1024
log = logging.getLogger("holdfast.api")
bearer = HTTPBearer(auto_error=False, description="A key of `holdfast key create`.")
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse} for status in (401, 403, 404, 410, 413, 422, 500, 503)
}


def create_app(settings: Settings, clock: Clock = utc_now, retrieval: Retrieval | None = None) -> FastAPI:
    """The API over these settings. The model loads in the background; `/readyz` says when it is there."""
    parts = retrieval or open_retrieval(settings, clock)
    parts.registry.ensure_current()
    readiness = Readiness(parts, settings.embedding_model)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        readiness.begin()
        yield
        await run_in_threadpool(app.state.serving.close)
        parts.close()

    app = FastAPI(
        title="Holdfast",
        description="Searches one tenant's published generation. The tenant comes from the key.",
        version="0.1.0",
        lifespan=lifespan,
        responses=FAILURES,
    )
    app.state.parts, app.state.clock, app.state.readiness = parts, clock, readiness
    app.state.serving = ServingGenerations(parts.registry, parts.store, parts.encoders)
    app.state.metrics = ApiMetrics(parts.registry, clock)
    app.state.usage = Usage(parts.registry, clock)
    app.middleware("http")(_guard)
    errors.install(app)
    _operations(app)
    _answers(app)
    return app


async def _guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Give each request an id and refuse bodies that no query needs."""
    request.state.request_id = uuid.uuid4().hex
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES or "chunked" in request.headers.get("transfer-encoding", ""):
        message = f"the body is larger than {MAX_BODY_BYTES:,} bytes or does not say its length"
        return errors.error_response(request, 413, "too_large", message)
    response = await call_next(request)
    response.headers["X-Request-Id"] = request.state.request_id
    return response


def _tenant_of(role: keys.Role) -> Callable[..., Tenant]:
    def authenticate(
        request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
    ) -> Tenant:
        if credentials is None:
            raise KeyRejected("missing", "send a key: `Authorization: Bearer <key>`")
        with request.app.state.parts.registry.read() as session:
            return keys.authenticate(session, credentials.credentials, request.app.state.clock(), role)

    return authenticate


Searching = Annotated[Tenant, Depends(_tenant_of("search"))]
Reading = Annotated[Tenant, Depends(_tenant_of("reader"))]


def _operations(app: FastAPI) -> None:
    @app.get("/healthz", tags=["operations"])
    def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"])
    def readyz(request: Request) -> Response:
        """The model is loaded and a search would work."""
        state = app.state.readiness.state()
        if state.ready:
            return Response('{"status": "ready"}', media_type="application/json")
        return errors.error_response(request, 503, "not_ready", state.reason)

    @app.get("/metrics", tags=["operations"])
    def metrics() -> Response:
        """For Prometheus."""
        return Response(generate_latest(app.state.metrics.collectors), media_type=CONTENT_TYPE_LATEST)


def _answers(app: FastAPI) -> None:
    @app.post("/v1/search", tags=["answers"])
    def search(request: Request, body: SearchRequest, tenant: Searching) -> SearchResponse:
        """The best chunks of the tenant's live generation, minus what was deleted since."""
        answer = _search(app, tenant, body)
        app.state.usage.note(tenant.id)
        return SearchResponse.model_validate(
            {"request_id": request.state.request_id, **dataclasses.asdict(answer)}
        )

    @app.get("/v1/generations", tags=["answers"])
    def list_generations(tenant: Reading) -> list[GenerationResponse]:
        """The tenant's generations, newest first."""
        with app.state.parts.registry.read() as session:
            return [
                GenerationResponse(
                    generation=g.number,
                    status=g.status,
                    sources=generations.positions(session, tenant.id, g.number),
                    quiescent=g.quiescent,
                    documents=g.documents,
                    quarantined=g.quarantined,
                    chunks=g.chunks,
                    model=g.model_id,
                    published_at=g.published_at,
                    created_at=g.created_at,
                )
                for g in generations.of_tenant(session, tenant.id, ("live", "retained", "retired", "rejected"))
            ]

    @app.get("/v1/contract", tags=["answers"])
    def contract(tenant: Reading) -> dict[str, Any]:
        """The tenant's contract in force."""
        with app.state.parts.registry.read() as session:
            found = contracts.current(session, tenant.id)
            version = contracts.version(session, tenant.id)
        return {"version": version, "hash": found.hash, **found.model_dump(mode="json")}


def _search(app: FastAPI, tenant: Tenant, body: SearchRequest) -> Answer:
    metrics: ApiMetrics = app.state.metrics
    started, outcome = time.perf_counter(), "failed"
    try:
        query = SearchQuery(body.query, body.k, body.mode, body.collapse, body.filter)
        answer: Answer = app.state.parts.searcher.search(
            tenant.id, query, as_of=body.as_of, serving=app.state.serving.number
        )
        outcome = "answered" if answer.floor.met else "flagged"
        for stage, milliseconds in answer.timings.items():
            metrics.seconds.labels(stage.removesuffix("_ms")).observe(milliseconds / 1000)
    except FloorUnmet:
        outcome = "refused"
        raise
    except RetrievalError:
        outcome = "rejected"
        raise
    else:
        return answer
    finally:
        metrics.searches.labels(tenant.id, body.mode, outcome).inc()
        if outcome in ("flagged", "refused"):
            metrics.below_floor.labels(tenant.id).inc()
        log.debug("search of tenant %s took %.1f ms", tenant.id, 1000 * (time.perf_counter() - started))
