"""The application: its parts, its routes, and its one way to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi_offline import FastAPIOffline

from registry.clock import Clock, utc_now
from registry.settings import Settings
from retrieval.api import errors
from retrieval.api.answers import answers
from retrieval.api.operations import operations
from retrieval.api.request_ids import RequestIds
from retrieval.api.service import Service
from retrieval.opening import Retrieval, open_retrieval


def create_app(settings: Settings, clock: Clock = utc_now, retrieval: Retrieval | None = None) -> FastAPI:
    """The API over these settings. The model loads in the background; `/readyz` says when it is there.

    Raises SchemaOutdated, IndexUnavailable.
    """
    parts = retrieval or open_retrieval(settings, clock)
    parts.registry.ensure_current()
    service = Service.of(settings, parts, clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.begin()
        yield
        await run_in_threadpool(service.close)

    app = FastAPIOffline(  # its pages load nothing from elsewhere
        title="Holdfast",
        description="Searches one tenant's published generation. The tenant comes from the key.",
        version="0.1.0",
        lifespan=lifespan,
        # A redirect would be a failure that has another shape.
        redirect_slashes=False,
    )
    app.state.service = service
    app.add_middleware(RequestIds, requests=service.metrics.requests)
    errors.install(app)
    app.include_router(operations(service))
    app.include_router(answers(service))
    return app
